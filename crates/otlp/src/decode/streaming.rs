//! Which calls are streams, whose duration says how long somebody listened and not how slow it was.
//!
//! OpenTelemetry has no attribute that says so. Three signs are taken, each cheap to see on the way:
//! more messages than a unary call can have, the WebSocket upgrade (status 101), and a WebSocket
//! scheme or protocol. A gRPC stream without message events is not recognised.

use crate::value::{Attribute, RawValue};

/// A unary RPC has one message each way (semantic conventions, event `message` or `rpc.message`);
/// from the third on it is a stream.
pub(super) const MESSAGES_OF_A_STREAM: u32 = 3;

/// Whether an event of this name stands for one message of a call.
pub(super) fn is_message_name(name: &[u8]) -> bool {
    matches!(name, b"message" | b"rpc.message")
}

/// Whether an attribute shows a stream.
#[inline]
pub(super) fn is_streaming(attribute: &Attribute<'_>) -> bool {
    match attribute.key {
        b"http.response.status_code" | b"http.status_code" => {
            matches!(attribute.value, RawValue::Int(101))
        }
        b"url.scheme" | b"http.scheme" => {
            matches!(attribute.value.as_str_bytes(), b"ws" | b"wss")
        }
        b"network.protocol.name" => {
            attribute.value.as_str_bytes().eq_ignore_ascii_case(b"websocket")
        }
        _ => false,
    }
}

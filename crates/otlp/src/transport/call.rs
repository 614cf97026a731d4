//! The server's side of one gRPC call: a request stream and a reply to be sent once.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::transport::frame::{self, PREFIX_BYTES};
use crate::transport::rpc_status::RpcStatus;

const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// What requests may be compressed with.
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A call that waits for its reply. Dropped without one, the stream is reset.
pub(crate) struct Call {
    pub(crate) head: Parts,
    pub(crate) reply: Reply,
}

/// The right to reply, once.
pub(crate) struct Reply {
    respond: SendResponse<Bytes>,
}

/// A reply of many messages.
pub(crate) struct ReplyStream {
    stream: SendStream<Bytes>,
}

impl Call {
    pub(crate) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> (Self, RecvStream) {
        let (head, body) = request.into_parts();
        (Self { head, reply: Reply { respond } }, body)
    }

    /// Whether the request says that it is gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        let kind = self.head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let rest = kind.strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }
}

// Errors of sending mean that the client is gone, and then nobody is left to be told.
impl Reply {
    /// Ends the call with one message.
    pub(crate) fn message(mut self, message: &[u8]) {
        let Ok(mut stream) = self.respond.send_response(head(), false) else { return };
        let mut data = BytesMut::with_capacity(PREFIX_BYTES + message.len());
        data.put_slice(&frame::prefix(message.len(), false));
        data.put_slice(message);
        if stream.send_data(data.freeze(), false).is_ok() {
            drop(stream.send_trailers(trailers(&RpcStatus::OK)));
        }
    }

    /// Ends the call without a message.
    pub(crate) fn fail(mut self, status: &RpcStatus) {
        let mut response = head();
        status.write_to(response.headers_mut());
        response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
        drop(self.respond.send_response(response, true));
    }

    /// Answers somebody who does not speak gRPC.
    pub(crate) fn not_grpc(mut self, text: String) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        if let Ok(mut stream) = self.respond.send_response(response, false) {
            drop(stream.send_data(Bytes::from(text), true));
        }
    }

    /// Starts a reply of many messages.
    pub(crate) fn stream(mut self) -> Result<ReplyStream, h2::Error> {
        Ok(ReplyStream { stream: self.respond.send_response(head(), false)? })
    }
}

impl ReplyStream {
    /// Sends one message, given in two pieces, as fast as the client reads.
    pub(crate) async fn send(&mut self, [head, body]: [Bytes; 2]) -> Result<(), h2::Error> {
        let mut start = BytesMut::with_capacity(PREFIX_BYTES + head.len());
        start.put_slice(&frame::prefix(head.len() + body.len(), false));
        start.put_slice(&head);
        frame::send(&mut self.stream, start.freeze(), false).await?;
        frame::send(&mut self.stream, body, false).await
    }

    /// Waits until the client resets the stream or the connection is gone.
    pub(crate) async fn gone(&mut self) {
        // Any outcome means that the client is gone.
        drop(std::future::poll_fn(|cx| self.stream.poll_reset(cx)).await);
    }

    /// Ends the reply.
    pub(crate) fn finish(mut self, status: &RpcStatus) {
        drop(self.stream.send_trailers(trailers(status)));
    }
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn trailers(status: &RpcStatus) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    status.write_to(&mut trailers);
    trailers
}

//! How a gRPC call ended, and the headers that say it.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::status::{Detail, Encoding, Status, parse_retry_delay};
use crate::transport::base64;
use crate::transport::code::Code;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Longest `grpc-message` taken from a server.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Longest text sent: what does not fit is cut.
const TEXT_BYTES_MAX: usize = 256;

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct RpcStatus {
    /// Code.
    pub code: Code,
    /// Text for people; sent cut to 256 bytes.
    pub message: Cow<'static, str>,
    /// What a client can act on.
    pub detail: Option<Detail>,
}

impl RpcStatus {
    /// A status without details.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), detail: None }
    }

    /// Success.
    pub const OK: Self = Self { code: Code::Ok, message: Cow::Borrowed(""), detail: None };

    /// With a pause after which to try again (`RetryInfo`).
    #[must_use]
    pub fn with_retry_after(self, pause: Duration) -> Self {
        Self { detail: Some(Detail::RetryInfo(pause)), ..self }
    }

    /// With the text as what is wrong with the request (`BadRequest`).
    #[must_use]
    pub fn with_bad_request(self) -> Self {
        Self { detail: Some(Detail::BadRequest(self.message.to_string())), ..self }
    }

    /// When to try again, if the other side said so.
    pub const fn retry_after(&self) -> Option<Duration> {
        match &self.detail {
            Some(Detail::RetryInfo(pause)) => Some(*pause),
            _ => None,
        }
    }

    /// As the body of an HTTP reply.
    pub(crate) fn body(&self, encoding: Encoding) -> Vec<u8> {
        self.to_status().encode(encoding)
    }

    /// Adds the status to headers or trailers.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, HeaderValue::from(self.code as u16));
        if self.message.is_empty() {
            return;
        }
        if let Ok(text) = HeaderValue::from_str(&percent_encode(&self.message)) {
            headers.insert(GRPC_MESSAGE, text);
        }
        if self.detail.is_some() {
            let details = base64::encode(&self.to_status().encode(Encoding::Protobuf));
            if let Ok(details) = HeaderValue::from_str(&details) {
                headers.insert(GRPC_STATUS_DETAILS, details);
            }
        }
    }

    /// The status in headers or trailers; `None` if there is none.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = Code::from_decimal(headers.get(GRPC_STATUS)?.as_bytes());
        let text = headers.get(GRPC_MESSAGE).map_or(&b""[..], HeaderValue::as_bytes);
        let details = headers.get(GRPC_STATUS_DETAILS).map(HeaderValue::as_bytes);
        let pause = details.and_then(base64::decode).and_then(|bytes| parse_retry_delay(&bytes));
        let message = percent_decode(&text[..text.len().min(MESSAGE_BYTES_MAX)]);
        Some(Self { code, message: message.into(), detail: pause.map(Detail::RetryInfo) })
    }

    fn to_status(&self) -> Status {
        Status {
            code: self.code as u8,
            message: self.message.to_string(),
            detail: self.detail.clone(),
        }
    }
}

/// gRPC's percent encoding: printable ASCII except `%` stays.
fn percent_encode(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    let mut encoded = String::with_capacity(text.len());
    for b in text.bytes() {
        if matches!(b, b' '..=b'~') && b != b'%' {
            encoded.push(char::from(b));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(b >> 4)]));
            encoded.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    encoded
}

/// The reverse; what is not valid stays as it is, and what is not UTF-8 is replaced.
fn percent_decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        let value = match tail {
            [high, low, ..] if b == b'%' => hex_value(*high).zip(hex_value(*low)),
            _ => None,
        };
        bytes.push(value.map_or(b, |(high, low)| high << 4 | low));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_headers() {
        let pause = Duration::from_millis(1_500);
        for status in [
            RpcStatus::OK,
            RpcStatus::new(Code::Unavailable, "später, 100 %\n").with_retry_after(pause),
            RpcStatus::new(Code::InvalidArgument, "no"),
        ] {
            let mut headers = HeaderMap::new();
            status.write_to(&mut headers);
            assert_eq!(RpcStatus::from_headers(&headers), Some(status));
        }
        assert_eq!(RpcStatus::from_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn text_is_cut_before_it_becomes_a_header() {
        let status = RpcStatus::new(Code::Internal, "ä".repeat(10_000));
        let mut headers = HeaderMap::new();
        status.write_to(&mut headers);
        assert!(headers[GRPC_MESSAGE].len() <= 3 * TEXT_BYTES_MAX);
    }

    #[test]
    fn broken_percent_codes_are_left_alone() {
        assert_eq!(percent_decode(b"a%2"), "a%2");
        assert_eq!(percent_decode(b"%zz%41"), "%zzA");
        assert_eq!(percent_decode(b"%+1"), "%+1");
    }
}

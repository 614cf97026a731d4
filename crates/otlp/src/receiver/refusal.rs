//! A request that was not taken, and what OTLP has a server say about it on each transport.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::admission::Full;
use crate::error::DecodeError;
use crate::receiver::port::RequestOutcome;
use crate::transport::{Code, RpcStatus};

/// What senders of other signals are told, on both transports.
pub(super) const TRACES_ONLY: &str = "spanwise takes traces only: set \
    OTEL_METRICS_EXPORTER=none and OTEL_LOGS_EXPORTER=none, or send the other signals elsewhere";
/// Longest text sent back.
const TEXT_BYTES_MAX: usize = 256;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    /// At most 256 bytes, nothing of the input in it.
    pub(super) text: Cow<'static, str>,
}

/// What kind of refusal it is: decides codes and whether the client may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalKind {
    /// Over a limit; never retried.
    TooLarge,
    /// Not OTLP; never retried.
    Undecodable,
    /// To be sent again after this long.
    Overloaded(Duration),
    /// Compression or content type not supported; never retried.
    Unsupported,
    /// The body came too slowly.
    TooSlow,
    /// The body broke off.
    Truncated,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            let end = text.floor_char_boundary(TEXT_BYTES_MAX);
            text.to_mut().truncate(end);
        }
        Self { kind, text }
    }

    pub(super) fn overloaded(retry_after: Duration) -> Self {
        Self::new(RefusalKind::Overloaded(retry_after), "overloaded; send the request again later")
    }

    /// No budget at the door. `retry_after` is for the case that waiting helps.
    pub(super) fn full(full: Full, retry_after: Duration) -> Self {
        match full {
            Full::Busy => Self::overloaded(retry_after),
            Full::Never { .. } => Self::new(RefusalKind::TooLarge, full.to_string()),
        }
    }

    pub(super) fn too_large(n_bytes: u64, limit: u64) -> Self {
        DecodeError::TooLarge { n_bytes, limit }.into()
    }

    pub(super) const fn outcome(&self) -> RequestOutcome {
        match self.kind {
            RefusalKind::TooLarge => RequestOutcome::TooLarge,
            RefusalKind::Undecodable => RequestOutcome::Undecodable,
            RefusalKind::Overloaded(_) => RequestOutcome::Overloaded,
            RefusalKind::Unsupported => RequestOutcome::Unsupported,
            RefusalKind::TooSlow | RefusalKind::Truncated => RequestOutcome::Incomplete,
        }
    }

    /// When to come again, if that helps.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            RefusalKind::Overloaded(after) => Some(after),
            _ => None,
        }
    }

    pub(super) const fn http_status(&self) -> StatusCode {
        match self.kind {
            RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RefusalKind::Undecodable | RefusalKind::Truncated => StatusCode::BAD_REQUEST,
            RefusalKind::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            RefusalKind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    const fn code(&self) -> Code {
        match self.kind {
            // Without RetryInfo, so that no client sends it again.
            RefusalKind::TooLarge => Code::ResourceExhausted,
            RefusalKind::Undecodable | RefusalKind::Truncated => Code::InvalidArgument,
            RefusalKind::Overloaded(_) => Code::Unavailable,
            RefusalKind::Unsupported => Code::Unimplemented,
            RefusalKind::TooSlow => Code::DeadlineExceeded,
        }
    }

    /// As a gRPC status: also the body of an HTTP reply.
    pub(super) fn status(&self) -> RpcStatus {
        let status = RpcStatus::new(self.code(), self.text.clone());
        match self.kind {
            RefusalKind::Overloaded(after) => status.with_retry_after(after),
            RefusalKind::Undecodable => status.with_bad_request(),
            _ => status,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let kind =
            if error.is_oversize() { RefusalKind::TooLarge } else { RefusalKind::Undecodable };
        Self::new(kind, error.to_string())
    }
}

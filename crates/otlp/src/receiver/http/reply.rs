//! Replies: always in the encoding of the request, errors as a `google.rpc.Status`.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;

use crate::receiver::http::route::Response;
use crate::receiver::intake::Accepted;
use crate::receiver::refusal::Refusal;
use crate::status::{Encoding, PartialSuccess, export_response};
use crate::transport::{Code, RpcStatus};

pub(super) fn accepted(accepted: Accepted, encoding: Encoding) -> Response {
    let n_rejected = accepted.n_rejected.into();
    let partial = accepted.message.map(|message| PartialSuccess { n_rejected, message });
    reply(StatusCode::OK, export_response(partial.as_ref(), encoding), encoding)
}

pub(super) fn refused(refusal: &Refusal, encoding: Encoding) -> Response {
    let mut response = error(refusal.http_status(), &refusal.status(), encoding);
    if let Some(pause) = refusal.retry_after() {
        // Whole seconds, rounded up: never earlier than asked.
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) fn error(code: StatusCode, status: &RpcStatus, encoding: Encoding) -> Response {
    reply(code, status.body(encoding), encoding)
}

pub(super) fn method_not_allowed() -> Response {
    let status = RpcStatus::new(Code::Unimplemented, "traces are sent with POST");
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &status, Encoding::Json);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// What a gRPC client understands: the status in the headers.
pub(super) fn grpc_hint(hint: String) -> Response {
    let mut response = Response::default();
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    RpcStatus::new(Code::Unimplemented, hint).write_to(response.headers_mut());
    response
}

fn reply(code: StatusCode, body: Vec<u8>, encoding: Encoding) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static(match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    });
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

//! Errors as `application/problem+json` (RFC 9457), with a code for programs and a hint for people.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// What went wrong with a request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'static str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: String, hint: &'static str) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self { kind: "about:blank", title, status: status.as_u16(), code, detail, hint }
    }

    /// The request's parameters make no sense.
    pub(crate) fn invalid(detail: String, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail, hint)
    }

    /// There is nothing of that name.
    pub(crate) fn not_found(detail: String, hint: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail, hint)
    }

    /// The path exists, but not for this method.
    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this path answers GET and HEAD only".to_owned();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, "")
    }

    /// The request came under a name that is not ours.
    pub(crate) fn foreign_host(host: &str) -> Self {
        let shown: String = host.chars().take(80).collect();
        let detail = format!("the host {shown:?} is not served on this listener");
        let hint = "use localhost or 127.0.0.1; other names are answered only with --insecure (`listen.insecure`)";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail, hint)
    }

    /// Too many at once.
    pub(crate) fn too_many(detail: String) -> Self {
        let hint = "close a stream that is no longer needed, or try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail, hint)
    }

    /// Something broke on our side.
    pub(crate) fn internal(detail: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail, "")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }
}

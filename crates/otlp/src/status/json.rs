//! The same two messages in protobuf's JSON mapping: camelCase keys, 64-bit integers as strings,
//! durations as seconds with an `s`.

use serde_json::{Value, json};

use super::{Detail, PartialSuccess, Status, cut};

pub(super) fn export_response(partial: Option<&PartialSuccess>) -> Vec<u8> {
    let body = match partial {
        None => json!({}),
        Some(partial) => json!({"partialSuccess": {
            "rejectedSpans": partial.n_rejected.to_string(),
            "errorMessage": cut(&partial.message),
        }}),
    };
    body.to_string().into_bytes()
}

pub(super) fn status(status: &Status) -> Vec<u8> {
    let mut body = json!({"code": status.code, "message": cut(&status.message)});
    if let Some(detail) = &status.detail {
        body["details"] = json!([any(detail)]);
    }
    body.to_string().into_bytes()
}

fn any(detail: &Detail) -> Value {
    match detail {
        Detail::BadRequest(text) => json!({
            "@type": detail.type_url(),
            "fieldViolations": [{"description": cut(text)}],
        }),
        Detail::RetryInfo(delay) => json!({
            "@type": detail.type_url(),
            "retryDelay": format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos()),
        }),
    }
}

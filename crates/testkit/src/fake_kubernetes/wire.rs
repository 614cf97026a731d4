//! Answers: JSON objects, `Status` failures, plain text.

use axum::body::Body;
use axum::response::Response;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::address::Address;

/// A JSON answer.
pub(super) fn json_answer(code: StatusCode, body: &Value) -> Response {
    let response =
        Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    response.body(Body::from(body.to_string())).expect("a valid response")
}

/// A `Status` failure without details.
pub(super) fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    failure_about(code, reason, message, &json!({}))
}

/// A `Status` failure about something.
pub(super) fn failure_about(
    code: StatusCode,
    reason: &str,
    message: &str,
    details: &Value,
) -> Response {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code.as_u16(),
    });
    json_answer(code, &body)
}

/// What the server says of a path it does not serve.
pub(super) fn page_not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An answer in plain text.
pub(super) fn plain(code: StatusCode, text: &'static str) -> Response {
    let response =
        Response::builder().status(code).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    response.body(Body::from(text)).expect("a valid response")
}

pub(super) fn unauthorized() -> Response {
    failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}

pub(super) fn forbidden(user: &str, verb: &str, address: &Address) -> Response {
    let object = match &*address.name {
        "" => address.qualified(),
        name => format!("{} \"{name}\"", address.qualified()),
    };
    let place = match &*address.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let message = format!(
        "{object} is forbidden: User \"{user}\" cannot {verb} resource \"{}\" in API group \"{}\" \
         {place}",
        address.full_resource(),
        address.group
    );
    failure_about(StatusCode::FORBIDDEN, "Forbidden", &message, &details(address))
}

pub(super) fn not_found(address: &Address) -> Response {
    let message = format!("{} \"{}\" not found", address.qualified(), address.name);
    failure_about(StatusCode::NOT_FOUND, "NotFound", &message, &details(address))
}

pub(super) fn already_exists(address: &Address, name: &str) -> Response {
    let message = format!("{} \"{name}\" already exists", address.qualified());
    failure_about(StatusCode::CONFLICT, "AlreadyExists", &message, &details(address))
}

/// A stale resourceVersion.
pub(super) fn modified(address: &Address) -> Response {
    let message = format!(
        "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply \
         your changes to the latest version and try again",
        address.qualified(),
        address.name
    );
    failure_about(StatusCode::CONFLICT, "Conflict", &message, &details(address))
}

/// The wrong uid.
pub(super) fn wrong_uid(address: &Address, wanted: &str, found: &str) -> Response {
    let group =
        if address.group.is_empty() { String::new() } else { format!(".{}", address.group) };
    let message = format!(
        "Operation cannot be fulfilled on {}{group} \"{}\": Precondition failed: UID in \
         precondition: {wanted}, UID in object meta: {found}",
        address.full_resource(),
        address.name
    );
    failure_about(StatusCode::CONFLICT, "Conflict", &message, &details(address))
}

/// A field that does not validate.
pub(super) fn invalid_scale(name: &str, problem: &str) -> Response {
    let message = format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {problem}");
    let cause =
        json!({"reason": "FieldValueInvalid", "message": problem, "field": "spec.replicas"});
    let details = json!({"name": name, "group": "autoscaling", "kind": "Scale", "causes": [cause]});
    failure_about(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &message, &details)
}

fn details(address: &Address) -> Value {
    let mut details = json!({"kind": address.resource});
    for (key, value) in [("name", &address.name), ("group", &address.group)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details
}

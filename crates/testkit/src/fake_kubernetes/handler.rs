//! The way of a request: who, fault, right, kind, deed. Authorisation comes before existence, so a
//! group that is not installed answers 403 to those who may not ask.

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Collected};
use parking_lot::Mutex;
use serde_json::Value;

use super::access::Access;
use super::address::Address;
use super::fault::{Fault, Faults};
use super::object::{self, Query};
use super::store::Store;
use super::{scale, wire};

/// The server's whole state.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) store: Store,
    pub(super) access: Access,
    pub(super) faults: Faults,
    pub(super) calls: Vec<Call>,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`, or `discover`.
    pub verb: String,
    /// Resource, a subresource after a slash; for `discover` the group and version.
    pub resource: String,
    /// Query parameters as sent.
    pub query: String,
    /// Body as sent.
    pub body: String,
    /// Code of the answer; 0 if there was none.
    pub code: u16,
}

/// Answers a request.
pub(super) async fn answer(server: &Mutex<Server>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    let Some(address) = Address::parse(head.uri.path()) else { return wire::page_not_found() };
    let verb = verb(&head.method, &address);
    let resource = match verb {
        "discover" => format!("{}/{}", address.group, address.version),
        _ => address.full_resource(),
    };
    let fault = server.lock().faults.take(verb, &resource);
    if let Some(Fault::Slow(delay)) = fault {
        tokio::time::sleep(delay).await;
    }
    let response = match fault {
        Some(Fault::Hang) => None,
        Some(fault) => refuse(fault).or_else(|| {
            before(&mut server.lock().store, &address, fault);
            Some(handle(&mut server.lock(), verb, &head, &address, &body))
        }),
        None => Some(handle(&mut server.lock(), verb, &head, &address, &body)),
    };
    let response = response.filter(|_| fault != Some(Fault::LoseAnswer));
    server.lock().calls.push(Call {
        verb: verb.to_owned(),
        resource,
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        code: response.as_ref().map_or(0, |response| response.status().as_u16()),
    });
    match response {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

fn verb(method: &Method, address: &Address) -> &'static str {
    match *method {
        Method::GET if address.resource.is_empty() => "discover",
        Method::GET if address.name.is_empty() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "unknown",
    }
}

/// The answer of a server in trouble; `None` if the fault is of another sort.
fn refuse(fault: Fault) -> Option<Response> {
    match fault {
        Fault::TooManyRequests(seconds) => {
            let text = "Too many requests, please try again later.\n";
            let mut response = wire::plain(StatusCode::TOO_MANY_REQUESTS, text);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Some(response)
        }
        Fault::Unavailable => {
            let message = "the server is currently unable to handle the request";
            Some(wire::failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message))
        }
        Fault::InternalError => {
            let message = "Internal error occurred: etcdserver: leader changed";
            Some(wire::failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message))
        }
        _ => None,
    }
}

/// What somebody else does just before the request.
fn before(store: &mut Store, address: &Address, fault: Fault) {
    let object_address = Address { subresource: String::new(), ..address.clone() };
    let Some(mut object) = store.get(&object_address).cloned() else { return };
    match fault {
        Fault::StatusMoves => store.touch(&object_address),
        Fault::ReplicasBecome(replicas) => {
            object["spec"]["replicas"] = replicas.into();
            store.update(&object_address, object);
        }
        Fault::Recreated => {
            store.delete(&object_address);
            store.create(&Address { name: String::new(), ..object_address }, object);
        }
        _ => {}
    }
}

fn handle(
    server: &mut Server,
    verb: &str,
    head: &Parts,
    address: &Address,
    body: &[u8],
) -> Response {
    let Some(user) = server.access.user(&head.headers) else { return wire::unauthorized() };
    if verb == "discover" {
        return object::discover(&server.store, address);
    }
    if !user.may(verb, address) {
        return wire::forbidden(&user.name, verb, address);
    }
    let Some(kind) = server.store.kind(address).cloned() else { return wire::page_not_found() };
    let scale = match &*address.subresource {
        "" => false,
        "scale" if kind.scalable => true,
        _ => return wire::page_not_found(),
    };
    let query = parse_query(head.uri.query().unwrap_or_default());
    let store = &mut server.store;
    match verb {
        "list" => return object::list(store, address, &kind, &query),
        "create" => {
            return with_json(body, |value| object::create(store, address, value));
        }
        "patch" => {
            if let Some(refusal) = unacceptable(head, &query) {
                return refusal;
            }
        }
        _ => {}
    }
    let object_address = Address { subresource: String::new(), ..address.clone() };
    let Some(object) = store.get(&object_address).cloned() else {
        return wire::not_found(&object_address);
    };
    let dry_run = query.contains_key("dryRun");
    match (verb, scale) {
        ("get", false) => wire::json_answer(StatusCode::OK, &object),
        ("get", true) => wire::json_answer(StatusCode::OK, &scale::of(&object)),
        ("patch", true) => {
            with_json(body, |patch| scale::patch(store, address, &object, &patch, dry_run))
        }
        ("patch", false) => {
            with_json(body, |patch| object::patch(store, address, &object, &patch, dry_run))
        }
        ("delete", false) => {
            store.delete(address);
            wire::json_answer(StatusCode::OK, &object)
        }
        _ => wire::failure(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
    }
}

fn with_json(body: &[u8], then: impl FnOnce(Value) -> Response) -> Response {
    match serde_json::from_slice(body) {
        Ok(value) => then(value),
        Err(error) => {
            let message = format!("error decoding patch: {error}");
            wire::failure(StatusCode::BAD_REQUEST, "BadRequest", &message)
        }
    }
}

/// What is wrong with the media type or the options of a patch.
fn unacceptable(head: &Parts, query: &Query) -> Option<Response> {
    let media = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media != Some("application/merge-patch+json") {
        let message = "the body of the request was in an unknown format - accepted media types \
                       include: application/json-patch+json, application/merge-patch+json, \
                       application/apply-patch+yaml";
        return Some(wire::failure(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        ));
    }
    let dry_run = query.get("dryRun").filter(|value| *value != "All")?;
    let message = format!(
        "PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"{dry_run}\": \
         supported values: \"All\""
    );
    Some(wire::failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &message))
}

fn parse_query(query: &str) -> Query {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key.to_owned(), decode(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let escaped = byte.filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

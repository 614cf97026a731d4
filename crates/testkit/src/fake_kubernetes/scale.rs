//! The scale subresource. Its resourceVersion and uid are those of the object.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::address::Address;
use super::store::Store;
use super::wire;

/// The scale of an object: zeros are left out of spec and kept in status.
pub(super) fn of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let replicas = object["spec"]["replicas"].as_u64().unwrap_or(0);
    let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": spec,
        "status": {
            "replicas": object["status"]["replicas"].as_u64().unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

/// Applies a merge patch to the scale of `object`.
pub(super) fn patch(
    store: &mut Store,
    address: &Address,
    object: &Value,
    patch: &Value,
    dry_run: bool,
) -> Response {
    if let Some(refusal) = precondition(address, object, patch) {
        return refusal;
    }
    let replicas = match &patch["spec"]["replicas"] {
        Value::Null if patch.pointer("/spec/replicas").is_some() => 0,
        Value::Null => object["spec"]["replicas"].as_i64().unwrap_or(0),
        value => match value.as_i64() {
            Some(replicas) => replicas,
            None => return wire::invalid_scale(&address.name, &format!("Invalid value: {value}")),
        },
    };
    if replicas < 0 {
        let problem = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return wire::invalid_scale(&address.name, &problem);
    }
    let mut wanted = object.clone();
    wanted["spec"]["replicas"] = json!(replicas);
    let stored = if dry_run { wanted } else { store.update(address, wanted) };
    wire::json_answer(StatusCode::OK, &of(&stored))
}

/// What the metadata of a patch demands of the object; shared with patches of objects.
pub(super) fn precondition(address: &Address, object: &Value, patch: &Value) -> Option<Response> {
    let stored = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let demanded = |field: &str| patch["metadata"][field].as_str();
    if let Some(uid) = demanded("uid").filter(|uid| *uid != stored("uid")) {
        return Some(wire::wrong_uid(address, uid, stored("uid")));
    }
    // An empty one and "0" are no demand.
    let revision = demanded("resourceVersion").filter(|revision| !matches!(*revision, "" | "0"))?;
    if revision.parse::<u64>().is_err() {
        let message = format!("invalid resource version \"{revision}\"");
        return Some(wire::failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &message));
    }
    (revision != stored("resourceVersion")).then(|| wire::modified(address))
}

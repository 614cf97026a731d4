//! Requests on objects and lists of them, and discovery.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::address::Address;
use super::scale;
use super::store::{Kind, Store};
use super::wire;

/// The kinds of one group, as discovery lists them.
pub(super) fn discover(store: &Store, address: &Address) -> Response {
    let kinds = store.group(address);
    if kinds.is_empty() {
        return wire::page_not_found();
    }
    let group_version = match &*address.group {
        "" => address.version.clone(),
        group => format!("{group}/{}", address.version),
    };
    let resources: Vec<Value> = kinds.into_iter().flat_map(resources_of).collect();
    let body = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    });
    wire::json_answer(StatusCode::OK, &body)
}

fn resources_of(kind: &Kind) -> Vec<Value> {
    let verbs = ["create", "delete", "get", "list", "patch", "update"];
    let mut resources = vec![json!({
        "name": kind.plural,
        "singularName": kind.name.to_lowercase(),
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": verbs,
    })];
    if kind.scalable {
        resources.push(json!({
            "name": format!("{}/scale", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        }));
    }
    resources
}

/// A list, or a page of it. Items carry neither kind nor apiVersion.
pub(super) fn list(store: &Store, address: &Address, kind: &Kind, query: &Query) -> Response {
    let after = query.get("continue").map(String::as_str).unwrap_or_default();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut items: Vec<Value> =
        store.list(address).into_iter().filter(|o| *name(o) > *after).cloned().collect();
    let mut metadata = json!({"resourceVersion": store.revision().to_string()});
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).filter(|&limit| limit > 0);
    if let Some(limit) = limit.filter(|&limit| items.len() > limit) {
        metadata["remainingItemCount"] = json!(items.len() - limit);
        items.truncate(limit);
        metadata["continue"] = json!(items.last().map(name));
    }
    for item in &mut items {
        let fields = item.as_object_mut();
        fields.map(|fields| (fields.remove("kind"), fields.remove("apiVersion")));
    }
    let group_version = match &*kind.group {
        "" => kind.version.clone(),
        group => format!("{group}/{}", kind.version),
    };
    let body = json!({
        "kind": format!("{}List", kind.name),
        "apiVersion": group_version,
        "metadata": metadata,
        "items": items,
    });
    wire::json_answer(StatusCode::OK, &body)
}

/// Creates an object.
pub(super) fn create(store: &mut Store, address: &Address, object: Value) -> Response {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        let message = "name or generateName is required";
        return wire::failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    }
    if !address.namespace.is_empty() {
        let namespace = Address {
            version: "v1".to_owned(),
            resource: "namespaces".to_owned(),
            name: address.namespace.clone(),
            ..Address::default()
        };
        if store.get(&namespace).is_none() {
            return wire::not_found(&namespace);
        }
    }
    let taken = store.get(&Address { name: name.clone(), ..address.clone() }).is_some();
    if taken {
        return wire::already_exists(address, &name);
    }
    wire::json_answer(StatusCode::CREATED, &store.create(address, object))
}

/// Merge-patches an object.
pub(super) fn patch(
    store: &mut Store,
    address: &Address,
    object: &Value,
    patch: &Value,
    dry_run: bool,
) -> Response {
    if let Some(refusal) = scale::precondition(address, object, patch) {
        return refusal;
    }
    let mut wanted = object.clone();
    merge(&mut wanted, patch);
    let stored = if dry_run { wanted } else { store.update(address, wanted) };
    wire::json_answer(StatusCode::OK, &stored)
}

/// Query parameters.
pub(super) type Query = BTreeMap<String, String>;

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|fields| fields.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_follows_its_rfc() {
        let check = |mut target: Value, patch: Value, expected: Value| {
            merge(&mut target, &patch);
            assert_eq!(target, expected);
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b"}), json!({"a": null}), json!({}));
        check(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        check(json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]}));
        check(json!({}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {}}}));
    }
}

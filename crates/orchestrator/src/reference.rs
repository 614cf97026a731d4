//! What a reference to a Kubernetes workload may hold, as far as it can be told without a cluster.
//! Also there in builds without the backend, so that a configuration is checked alike everywhere.

use spanwise_model::TargetRef;

/// Longest name Kubernetes allows, and longest namespace.
const NAME_BYTES_MAX: usize = 253;
const NAMESPACE_BYTES_MAX: usize = 63;
/// (kind, group, version, plural) of the kinds every cluster can scale.
pub(crate) const BUILT_IN: [(&str, &str, &str, &str); 4] = [
    ("Deployment", "apps", "v1", "deployments"),
    ("StatefulSet", "apps", "v1", "statefulsets"),
    ("ReplicaSet", "apps", "v1", "replicasets"),
    ("ReplicationController", "", "v1", "replicationcontrollers"),
];

/// Why a reference can lead to no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ReferenceError {
    /// The key that is wrong: `kind`, `api_version`, `namespace` or `name`.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Checks a reference to a Kubernetes workload. An empty kind stands for `Deployment`, an empty
/// namespace for the client's own.
pub fn check_reference(target: &TargetRef) -> Result<(), ReferenceError> {
    let fail = |key, problem| Err(ReferenceError { key, problem });
    let kind = &*target.kind;
    if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) || kind.len() > NAMESPACE_BYTES_MAX {
        return fail("kind", format!("`{}` is not a kind", shown(kind)));
    }
    let api = &*target.api_version;
    let is_built_in = kind.is_empty() || BUILT_IN.iter().any(|(name, ..)| *name == kind);
    if api.is_empty() && !is_built_in {
        let problem = format!(
            "kind {kind} is not built in: name its API, as in api_version: argoproj.io/v1alpha1"
        );
        return fail("api_version", problem);
    }
    let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
    if !api.is_empty() && !((group.is_empty() || is_name(group)) && is_name(version)) {
        return fail("api_version", format!("`{}` is not GROUP/VERSION", shown(api)));
    }
    let namespace = &*target.namespace;
    let is_label =
        is_name(namespace) && namespace.len() <= NAMESPACE_BYTES_MAX && !namespace.contains('.');
    if !namespace.is_empty() && !is_label {
        return fail("namespace", format!("`{}` is not a namespace", shown(namespace)));
    }
    if !is_name(&target.object) {
        return fail("name", format!("`{}` is not a Kubernetes name", shown(&target.object)));
    }
    Ok(())
}

/// Whether a name can stand in a path as it is: what Kubernetes itself allows (RFC 1123), so that no
/// configuration can address another path.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let fits = bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(|&b| allowed(b));
    fits && edge(bytes.first()) && edge(bytes.last())
}

/// As much of a wrong name as a message needs.
fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn check([kind, api_version, namespace, object]: [&str; 4], wrong: Option<&str>) {
        let target = TargetRef {
            name: Arc::from("cart"),
            backend: Arc::from("kubernetes"),
            kind: Arc::from(kind),
            api_version: Arc::from(api_version),
            namespace: Arc::from(namespace),
            object: Arc::from(object),
        };
        let found = check_reference(&target).map_err(|error| error.key);
        assert_eq!(found.err(), wrong, "{target:?}");
    }

    #[test]
    fn references_that_lead_nowhere_name_the_wrong_key() {
        check(["Deployment", "", "shop", "cart"], None);
        check(["", "", "", "cart.v2"], None);
        check(["StatefulSet", "apps/v1", "shop", "cart"], None);
        check(["Rollout", "argoproj.io/v1alpha1", "shop", "cart"], None);
        check(["Rollout", "", "shop", "cart"], Some("api_version"));
        check(["Rollout", "argoproj.io/", "shop", "cart"], Some("api_version"));
        check(["Rollout", "../v1", "shop", "cart"], Some("api_version"));
        check(["Deploy/ment", "", "shop", "cart"], Some("kind"));
        check(["Deployment", "", "Shop", "cart"], Some("namespace"));
        check(["Deployment", "", "shop.eu", "cart"], Some("namespace"));
        check(["Deployment", "", "shop", ""], Some("name"));
        check(["Deployment", "", "shop", "Cart Service"], Some("name"));
        check(["Deployment", "", "shop", "../cart"], Some("name"));
    }
}

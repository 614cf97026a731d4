//! What the workload itself tells beside its scale: readiness, rollout, pauses, resources. Read
//! leniently, because kinds that are not built in lay their status out as they please: what is
//! missing is unknown, not an error.

use serde_json::Value;
use spanwise_model::{Owner, Resources};

use super::quantity::{cpu_millis, memory_bytes};

/// Our own pause.
const OUR_PAUSE: &str = "spanwise.io/paused";
/// KEDA's pauses whose value is a boolean; what is not one counts as true.
const KEDA_PAUSES: [&str; 3] = [
    "autoscaling.keda.sh/paused",
    "autoscaling.keda.sh/paused-scale-in",
    "autoscaling.keda.sh/paused-scale-out",
];
/// KEDA's pause whose value is a number of replicas: it pauses by being there.
const KEDA_PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
/// Names the container a person means when naming none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The object's uid, empty if it has none.
pub(super) fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

/// Ready replicas. Zeros are left out of a status, so an absent number is 0 where there is a status
/// at all that follows the spec.
pub(super) fn ready(object: &Value) -> Option<u32> {
    let number = |name: &str| count(object.pointer(&format!("/status/{name}")));
    number("readyReplicas").or_else(|| observed_generation(object).map(|_| 0))
}

/// Whether no rollout is in progress: the controller has seen the spec and every wanted replica is
/// of its latest revision.
pub(super) fn settled(object: &Value, desired: u32) -> Option<bool> {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_u64)?;
    let observed = observed_generation(object)?;
    let updated = count(object.pointer("/status/updatedReplicas")).unwrap_or(0);
    Some(observed >= generation && updated == desired)
}

/// The annotation that pauses scaling, with its value.
pub(super) fn paused_by(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?.as_object()?;
    let value = |key: &str| annotations.get(key).and_then(Value::as_str);
    let says_so = |key: &&str| value(key).is_some_and(|text| !is_false(text));
    let flag = std::iter::once(OUR_PAUSE).chain(KEDA_PAUSES).find(says_so);
    let key = flag.or_else(|| value(KEDA_PAUSED_REPLICAS).map(|_| KEDA_PAUSED_REPLICAS))?;
    Some(format!("annotation {key}: {}", value(key).unwrap_or_default()))
}

/// The workload that made this one and sets its replicas, such as the Deployment of a `ReplicaSet`.
pub(super) fn controller(object: &Value) -> Option<Owner> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let text = |owner: &Value, key: &str| {
        owner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let scales = |owner: &&Value| {
        matches!(&*text(owner, "kind"), "Deployment" | "StatefulSet" | "ReplicaSet" | "Rollout")
    };
    let owner = owners.iter().filter(controls).find(scales)?;
    Some(Owner::Unknown(format!("{} {}", text(owner, "kind"), text(owner, "name"))))
}

/// Resources of the main container: limits, else requests.
pub(super) fn resources(object: &Value) -> Resources {
    let Some(container) = main_container(object) else { return Resources::default() };
    let text = |name: &str| {
        let at = |part: &str| container.pointer(&format!("/resources/{part}/{name}"));
        at("limits").or_else(|| at("requests")).and_then(as_text)
    };
    Resources {
        cpu_millis: text("cpu").and_then(|text| cpu_millis(&text)),
        memory_bytes: text("memory").and_then(|text| memory_bytes(&text)),
    }
}

/// The container that the default-container annotation names, else the first.
pub(super) fn main_container(object: &Value) -> Option<&Value> {
    let template = object.pointer("/spec/template")?;
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let annotations = template.pointer("/metadata/annotations");
    let wanted = annotations.and_then(|a| a.get(DEFAULT_CONTAINER)).and_then(Value::as_str);
    let named = |c: &&Value| wanted.is_some() && c.get("name").and_then(Value::as_str) == wanted;
    containers.iter().find(named).or_else(|| containers.first())
}

/// A quantity may be written as a string or as a number.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Argo writes it as a string.
fn observed_generation(object: &Value) -> Option<u64> {
    let value = object.pointer("/status/observedGeneration")?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn count(value: Option<&Value>) -> Option<u32> {
    value?.as_u64().and_then(|n| u32::try_from(n).ok())
}

/// The spellings of false that KEDA's parser knows.
fn is_false(text: &str) -> bool {
    matches!(text, "0" | "f" | "F" | "false" | "FALSE" | "False")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_settled_when_seen_and_updated() {
        let check = |generation: u64, status: Value, expected: Option<bool>| {
            let object = json!({"metadata": {"generation": generation}, "status": status});
            assert_eq!(settled(&object, 3), expected, "{object}");
        };
        check(4, json!({"observedGeneration": 4, "updatedReplicas": 3}), Some(true));
        check(4, json!({"observedGeneration": "4", "updatedReplicas": 3}), Some(true));
        check(5, json!({"observedGeneration": 4, "updatedReplicas": 3}), Some(false));
        check(4, json!({"observedGeneration": 4, "updatedReplicas": 2}), Some(false));
        check(4, json!({"observedGeneration": 4}), Some(false));
        check(4, json!({"updatedReplicas": 3}), None);
    }

    #[test]
    fn absent_ready_replicas_are_none_or_zero() {
        let check = |status: Value, expected: Option<u32>| {
            assert_eq!(ready(&json!({"status": status})), expected);
        };
        check(json!({"readyReplicas": 2}), Some(2));
        check(json!({"observedGeneration": 1}), Some(0));
        check(json!({}), None);
    }

    #[test]
    fn anything_but_false_pauses() {
        let check = |key: &str, value: &str, expected: bool| {
            let object = json!({"metadata": {"annotations": {key: value}}});
            assert_eq!(paused_by(&object).is_some(), expected, "{key}: {value}");
        };
        check("spanwise.io/paused", "true", true);
        check("spanwise.io/paused", "since monday", true);
        check("spanwise.io/paused", "", true);
        check("spanwise.io/paused", "false", false);
        check("autoscaling.keda.sh/paused", "1", true);
        check("autoscaling.keda.sh/paused-scale-out", "False", false);
        check("autoscaling.keda.sh/paused-replicas", "0", true);
        check("example.com/paused", "true", false);
        assert_eq!(paused_by(&json!({"metadata": {}})), None);
    }

    #[test]
    fn the_deployment_behind_a_replica_set_owns_it() {
        let check = |kind: &str, controller: bool, expected: bool| {
            let owner = json!({"kind": kind, "name": "web", "controller": controller});
            let object = json!({"metadata": {"ownerReferences": [owner]}});
            assert_eq!(super::controller(&object).is_some(), expected, "{object}");
        };
        check("Deployment", true, true);
        check("Deployment", false, false);
        check("HelmRelease", true, false);
    }

    #[test]
    fn resources_are_those_of_the_main_container() {
        let containers = json!([
            {"name": "proxy", "resources": {"limits": {"cpu": "100m"}}},
            {"name": "web", "resources": {"limits": {"cpu": 2}, "requests": {"memory": "1Gi"}}},
        ]);
        let of = |annotations: Value| {
            let template = json!({"metadata": {"annotations": annotations},
                "spec": {"containers": containers.clone()}});
            resources(&json!({"spec": {"template": template}}))
        };
        assert_eq!(of(json!({})).cpu_millis, Some(100));
        let web = of(json!({"kubectl.kubernetes.io/default-container": "web"}));
        assert_eq!(web, Resources { cpu_millis: Some(2000), memory_bytes: Some(1 << 30) });
        assert_eq!(resources(&json!({})), Resources::default());
    }
}

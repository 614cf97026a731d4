//! Vertical scaling is not carried out on Kubernetes. What a person would apply is worked out
//! instead: a strategic merge patch of the pod template.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use spanwise_model::{Resources, TargetRef};

use super::Kubernetes;
use super::api::Failure;
use super::scale::Look;
use super::workload::{main_container, resources};
use crate::error::OrchError;

impl Kubernetes {
    /// The refusal that carries the patch; `Err` if the target cannot even be read.
    pub(super) async fn resize_by_hand(
        &self,
        target: &TargetRef,
        cpu_millis: Option<u64>,
        memory_bytes: Option<u64>,
    ) -> Result<OrchError, Failure> {
        let place = self.locate(target).await?;
        let Look { object, .. } = self.look(&place, Duration::ZERO).await?;
        let snippet = snippet(&object, Resources { cpu_millis, memory_bytes });
        let command = format!(
            "kubectl -n {} patch {} {} --type strategic --patch-file FILE",
            place.namespace, place.kind.plural, place.name
        );
        Ok(OrchError::Unsupported {
            what: "vertical scaling by this backend".to_owned(),
            detail: format!("apply it with `{command}`, where FILE holds:\n{snippet}"),
        })
    }
}

/// The patch as YAML, with the figures it replaces as comments. Requests follow limits, so that the
/// pod keeps its quality-of-service class.
fn snippet(object: &Value, wanted: Resources) -> String {
    let name = main_container(object).and_then(|c| c.get("name")).and_then(Value::as_str);
    let name = name.unwrap_or("CONTAINER");
    let current = resources(object);
    let lines = [
        ("cpu", wanted.cpu_millis.map(cpu), current.cpu_millis.map(cpu)),
        ("memory", wanted.memory_bytes.map(memory), current.memory_bytes.map(memory)),
    ];
    let mut out = format!(
        "spec:\n  template:\n    spec:\n      containers:\n      - name: {name}\n        \
         resources:\n"
    );
    for part in ["limits", "requests"] {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "          {part}:");
        for (what, wanted, current) in &lines {
            let Some(wanted) = wanted else { continue };
            let current = current.as_deref().unwrap_or("not set");
            let _ = writeln!(out, "            {what}: {wanted}  # was {current}");
        }
    }
    out
}

fn cpu(millis: u64) -> String {
    format!("{millis}m")
}

fn memory(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{}Mi", bytes >> 20) } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_patch_names_container_and_figures() {
        let object = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "server", "resources": {"limits": {"cpu": "250m"}}}
        ]}}}});
        let wanted = Resources { cpu_millis: Some(500), memory_bytes: Some(512 << 20) };
        let expected = "\
spec:
  template:
    spec:
      containers:
      - name: server
        resources:
          limits:
            cpu: 500m  # was 250m
            memory: 512Mi  # was not set
          requests:
            cpu: 500m  # was 250m
            memory: 512Mi  # was not set
";
        assert_eq!(snippet(&object, wanted), expected);
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let wanted = Resources { cpu_millis: None, memory_bytes: Some(1000) };
        let text = snippet(&json!({}), wanted);
        assert!(
            !text.contains("cpu") && text.contains("memory: 1000") && text.contains("CONTAINER")
        );
    }
}

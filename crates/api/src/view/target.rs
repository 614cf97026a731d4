//! Targets, in the words of the configuration.

use serde::{Deserialize, Serialize};
use spanwise_model::TargetRef;

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// The service it serves: its name in the configuration. For an alert the name of the alert.
    pub service: String,
    /// Which backend acts on it; empty for an alert.
    pub orchestrator: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// API group and version, where the kind is not built in.
    pub api_version: String,
    /// Namespace.
    pub ns: String,
    /// The workload's own name.
    pub name: String,
}

impl From<&TargetRef> for TargetView {
    fn from(target: &TargetRef) -> Self {
        Self {
            service: target.name.to_string(),
            orchestrator: target.backend.to_string(),
            kind: target.kind.to_string(),
            api_version: target.api_version.to_string(),
            ns: target.namespace.to_string(),
            name: target.object.to_string(),
        }
    }
}

impl From<TargetView> for TargetRef {
    fn from(view: TargetView) -> Self {
        Self {
            name: view.service.into(),
            backend: view.orchestrator.into(),
            kind: view.kind.into(),
            api_version: view.api_version.into(),
            namespace: view.ns.into(),
            object: view.name.into(),
        }
    }
}

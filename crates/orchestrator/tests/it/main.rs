//! Every backend against the suite that all must pass, and each against its own outside.
#![cfg(test)]

mod composite;
mod exec;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod recorder;

use spanwise_model::TargetRef;

/// A target of a backend.
fn target(backend: &str, namespace: &str, object: &str) -> TargetRef {
    TargetRef {
        name: format!("{object}service").into(),
        backend: backend.into(),
        kind: "Deployment".into(),
        api_version: "".into(),
        namespace: namespace.into(),
        object: object.into(),
    }
}

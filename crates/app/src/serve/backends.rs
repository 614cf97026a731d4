//! Makes the orchestrators that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spanwise_orchestrator::{Composite, Exec, ExecConfig, Orchestrator, Recorder};

use crate::config::built::{Backend, Backends};

/// Longest run of a command.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);

/// One orchestrator that routes to all of them.
///
/// `n_targets` are those on Kubernetes: with many of them calls come faster, up to what cluster
/// controllers themselves are allowed by default.
pub(super) async fn build(backends: &Backends, n_targets: usize) -> Result<Arc<dyn Orchestrator>> {
    let mut made: Vec<Arc<dyn Orchestrator>> = Vec::new();
    for (name, backend) in backends {
        made.push(match backend {
            Backend::Kubernetes => kubernetes(name, calls_per_s(n_targets)).await?,
            Backend::Exec { command, observe, replicas } => Arc::new(Exec::new(ExecConfig {
                id: name.clone(),
                apply: command.clone(),
                observe: observe.clone(),
                timeout: EXEC_TIMEOUT,
                initial_replicas: *replicas,
            })?),
            Backend::Recorder { replicas } => Arc::new(Recorder::new(name, *replicas)),
        });
    }
    Ok(Arc::new(Composite::new(made)))
}

/// 5 for up to 25 targets, 20 from 100 on: all of them can be acted on within a decision's minute.
fn calls_per_s(n_targets: usize) -> u32 {
    (n_targets / 5).clamp(5, 20) as u32
}

#[cfg(feature = "kubernetes")]
async fn kubernetes(name: &str, calls_per_s: u32) -> Result<Arc<dyn Orchestrator>> {
    use spanwise_orchestrator::{Kubernetes, KubernetesOptions};
    let options =
        KubernetesOptions { id: name.to_owned(), calls_per_s, ..KubernetesOptions::default() };
    Ok(Arc::new(Kubernetes::infer(options).await?))
}

#[cfg(not(feature = "kubernetes"))]
#[expect(clippy::unused_async, reason = "the other half of a feature")]
async fn kubernetes(_name: &str, _calls_per_s: u32) -> Result<Arc<dyn Orchestrator>> {
    anyhow::bail!("this spanwise was built without the feature kubernetes\n  fix: build it with it")
}

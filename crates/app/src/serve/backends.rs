//! Makes the orchestrators that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spanwise_orchestrator::{Composite, Exec, ExecConfig, Orchestrator, Recorder};

use crate::config::built::{Backend, Backends};

/// Longest run of a command.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);

/// One orchestrator that routes to all of them.
pub(super) async fn build(backends: &Backends) -> Result<Arc<dyn Orchestrator>> {
    let mut made: Vec<Arc<dyn Orchestrator>> = Vec::new();
    for (name, backend) in backends {
        made.push(match backend {
            Backend::Kubernetes => kubernetes(name).await?,
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

#[cfg(feature = "kubernetes")]
async fn kubernetes(name: &str) -> Result<Arc<dyn Orchestrator>> {
    use spanwise_orchestrator::{Kubernetes, KubernetesOptions};
    let options = KubernetesOptions { id: name.to_owned(), ..KubernetesOptions::default() };
    Ok(Arc::new(Kubernetes::infer(options).await?))
}

#[cfg(not(feature = "kubernetes"))]
#[expect(clippy::unused_async, reason = "the other half of a feature")]
async fn kubernetes(_name: &str) -> Result<Arc<dyn Orchestrator>> {
    anyhow::bail!("this spanwise was built without the feature kubernetes\n  fix: build it with it")
}

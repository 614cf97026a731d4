//! Makes the orchestrators that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spanwise_model::Mode;
use spanwise_orchestrator::{
    Absent, Composite, Exec, ExecConfig, OrchError, Orchestrator, Recorder,
};
use tracing::warn;

use crate::config::Config;
use crate::config::built::Backend;

/// Longest run of a command.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);

/// One orchestrator that routes to all of them. Makes no call yet.
///
/// # Errors
/// A backend cannot be made. A missing cluster is an error only where a target on it may be acted
/// on: elsewhere its place is taken by one that says so at every observation.
pub(super) async fn build(config: &Config) -> Result<Arc<dyn Orchestrator>> {
    let mut made: Vec<Arc<dyn Orchestrator>> = Vec::new();
    for (name, backend) in &config.backends {
        made.push(match backend {
            Backend::Kubernetes => cluster(name, config).await?,
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

/// The cluster, or what stands for it where nothing may be written anyway.
async fn cluster(name: &str, config: &Config) -> Result<Arc<dyn Orchestrator>> {
    let targets = &config.scaler.targets;
    let on_cluster = || targets.iter().filter(|target| &*target.reference.backend == name);
    // With many targets calls come faster, up to what cluster controllers are allowed by default.
    match kubernetes(name, calls_per_s(on_cluster().count())).await {
        Ok(orchestrator) => Ok(orchestrator),
        Err(error)
            if on_cluster()
                .any(|target| target.scalable && config.scaler.mode_of(target) == Mode::Act) =>
        {
            Err(error).context(
                "mode act needs its cluster\n  fix: set KUBECONFIG, or write `mode: recommend`",
            )
        }
        Err(error) => {
            warn!(
                error = format!("{error:#}"),
                "targets on kubernetes cannot be observed; decisions about them will say \
                 OrchestratorError. Set KUBECONFIG and start again"
            );
            let why = match error.downcast::<OrchError>() {
                Ok(error) => error,
                Err(error) => OrchError::Invalid { detail: error.to_string() },
            };
            Ok(Arc::new(Absent::new(name, why)))
        }
    }
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

//! Scales workloads of a Kubernetes cluster through the `/scale` subresource of any kind.
//!
//! A write is a compare-and-swap. Each attempt reads the scale first and everything that could
//! forbid the write (pause annotations, owners) after it, so that whatever changes on the object
//! between the two moves its resourceVersion and makes the write fail. On 409 the state is read and
//! judged again, never re-sent: the resourceVersion is that of the whole object, which moves with
//! every status update, so a conflict mostly means "status moved" and rarely "somebody scaled".
//!
//! Requests are made raw, with the handful of fields read here, because typed clients cannot scale
//! kinds they do not know and hide the `Retry-After` header. kube's own retries are off: they wait
//! as long as the server says and would land a decision minutes after it was made.
//!
//! Not here: leader election, events, watches, in-place resize of pods.

mod api;
mod kind;
mod owner;
mod pace;
mod quantity;
mod scale;
mod template;
mod workload;

use std::path::Path;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response};
// Nothing of it is used: kube compiles only with a version of the API types chosen, and choosing
// one takes a dependency.
use k8s_openapi as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use spanwise_model::{Observed, ScaleAction, TargetRef};
use tower_service::Service;

use self::api::Api;
use self::kind::Kinds;
use self::owner::Autoscalers;
use crate::error::OrchError;
use crate::port::{Applied, Caps, Guard, Orchestrator, check_request};

/// How old a list of autoscalers may be that an observation looks at: targets of one namespace that
/// are observed at the same time share it, waiting for its turn included. An action always reads its
/// own.
const AUTOSCALERS_AGE: Duration = Duration::from_secs(5);

/// Settings of the backend `kubernetes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// Name by which targets refer to the backend.
    pub id: String,
    /// Take it that no KEDA `ScaledObject` scales a target when the right to list them is missing.
    /// False by default: without that right nobody can tell, so nothing is observed or written.
    pub assume_no_keda: bool,
    /// Calls a second, with a burst of twice as many, at least 1. Default 5. Observing a target takes
    /// two calls and what its namespace shares, an action five.
    pub calls_per_s: u32,
}

/// Scales through the Kubernetes API; see the module text. Cheap to share behind an `Arc`. Its
/// constructors must run inside a tokio runtime, where kube keeps one task per client.
#[derive(Debug)]
pub struct Kubernetes {
    options: KubernetesOptions,
    namespace: String,
    api: Api,
    kinds: Kinds,
    /// Lists of autoscalers that observations share.
    autoscalers: Autoscalers,
}

impl Default for KubernetesOptions {
    /// Called `kubernetes`, assuming nothing.
    fn default() -> Self {
        Self { id: "kubernetes".to_owned(), assume_no_keda: false, calls_per_s: 5 }
    }
}

impl Kubernetes {
    /// Connects as the environment says: `KUBECONFIG`, else `~/.kube/config`, else the service
    /// account of the pod. `Invalid` if none of them leads to a cluster. Makes no call yet.
    pub async fn infer(options: KubernetesOptions) -> Result<Self, OrchError> {
        let config = Config::infer().await.map_err(|error| {
            OrchError::invalid(format!("no cluster found: {error}; set KUBECONFIG"))
        })?;
        Self::from_config(config, options)
    }

    /// Connects as a kubeconfig file says, with one of its contexts or its current one. Makes no
    /// call yet.
    pub async fn from_kubeconfig(
        path: &Path,
        context: Option<&str>,
        options: KubernetesOptions,
    ) -> Result<Self, OrchError> {
        let unusable = |error: kube::config::KubeconfigError| {
            OrchError::invalid(format!("kubeconfig {}: {error}", path.display()))
        };
        let file = Kubeconfig::read_from(path).map_err(unusable)?;
        let choice = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(file, &choice).await.map_err(unusable)?;
        Self::from_config(config, options)
    }

    /// Connects over a service that answers requests itself, such as a fake API server in the same
    /// process. Targets without a namespace lie in `namespace`.
    pub fn over<S, B>(service: S, namespace: &str, options: KubernetesOptions) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::with_client(Client::new(service, namespace), options)
    }

    fn from_config(mut config: Config, options: KubernetesOptions) -> Result<Self, OrchError> {
        config.default_retry = false;
        let client = Client::try_from(config)
            .map_err(|error| OrchError::invalid(format!("cannot set up the client: {error}")))?;
        Ok(Self::with_client(client, options))
    }

    fn with_client(client: Client, options: KubernetesOptions) -> Self {
        let namespace = client.default_namespace().to_owned();
        let api = Api::new(client, options.calls_per_s);
        let (kinds, autoscalers) = (Kinds::default(), Autoscalers::default());
        Self { options, namespace, api, kinds, autoscalers }
    }
}

impl Orchestrator for Kubernetes {
    fn id(&self) -> &str {
        &self.options.id
    }

    fn caps(&self, _target: &TargetRef) -> Caps {
        Caps::HORIZONTAL
            .with(Caps::DRY_RUN)
            .with(Caps::COMPARE_AND_SWAP)
            .with(Caps::OWNERSHIP)
            .with(Caps::EXTERNAL)
    }

    fn observe<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>> {
        async move {
            let place = self.locate(target).await?;
            Ok(self.look(&place, AUTOSCALERS_AGE).await?.observed)
        }
        .boxed()
    }

    fn apply<'a>(
        &'a self,
        target: &'a TargetRef,
        action: &'a ScaleAction,
        guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>> {
        async move {
            check_request(action, guard)?;
            match *action {
                ScaleAction::SetReplicas { to, .. } => self.scale(target, action, to, guard).await,
                ScaleAction::SetResources { cpu_millis, memory_bytes } => {
                    Err(self.resize_by_hand(target, cpu_millis, memory_bytes).await?)
                }
            }
        }
        .boxed()
    }
}

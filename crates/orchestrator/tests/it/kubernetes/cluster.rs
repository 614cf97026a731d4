//! Where the cases run, and how they prepare what they find there.

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use spanwise_model::TargetRef;
use spanwise_orchestrator::{Kubernetes, KubernetesOptions, Orchestrator};
use spanwise_testkit::FakeKubernetes;
use spanwise_testkit::conformance::{REPLICAS, Stage};
use spanwise_testkit::fake_kubernetes::ADMIN_TOKEN;

use crate::target;

/// Names namespaces apart within this process.
static N_NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A namespace of its own with the Deployment `web` of [`REPLICAS`] replicas in it.
pub(super) struct Cluster {
    /// The backend under test.
    pub(super) kubernetes: Kubernetes,
    /// The fake behind it, unless the server is real.
    pub(super) fake: Option<FakeKubernetes>,
    /// The namespace.
    pub(super) namespace: String,
    admin: Client,
}

/// Runs a case on the fake and, with `KUBECONFIG` set, on the real server; says which.
#[expect(clippy::needless_pass_by_value, reason = "a block reads better without an ampersand")]
pub(super) fn on_each_server(case: impl AsyncFn(&Cluster)) {
    on_fake(&case);
    let Some(path) = std::env::var_os("KUBECONFIG") else {
        say_once("Kubernetes cases: ran on the fake API server only, KUBECONFIG is not set");
        return;
    };
    say_once(&format!("Kubernetes cases: running on the server of {} too", path.display()));
    runtime(false).block_on(async {
        let admin = Client::try_default().await.expect("KUBECONFIG must lead to a cluster");
        let kubernetes = Kubernetes::infer(KubernetesOptions::default()).await.unwrap();
        run(Cluster::new(kubernetes, None, admin).await, &case).await;
    });
}

/// Runs a case on the fake alone, in virtual time.
#[expect(clippy::needless_pass_by_value, reason = "a block reads better without an ampersand")]
pub(super) fn on_fake(case: impl AsyncFn(&Cluster)) {
    runtime(true).block_on(async { run(Cluster::fake().await, &case).await });
}

/// Says once where the cases ran, past the test runner, which swallows what is printed.
fn say_once(text: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| writeln!(std::io::stderr(), "{text}").unwrap());
}

fn runtime(paused: bool) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(paused).build().unwrap()
}

/// Runs the case and removes the namespace, also when the case failed.
async fn run(cluster: Cluster, case: &impl AsyncFn(&Cluster)) {
    let outcome = AssertUnwindSafe(case(&cluster)).catch_unwind().await;
    let path = format!("/api/v1/namespaces/{}", cluster.namespace);
    cluster.send(Method::DELETE, &path, None).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Cluster {
    /// A cluster on a new fake.
    pub(super) async fn fake() -> Self {
        let fake = FakeKubernetes::new();
        let admin = Client::new(fake.as_user(ADMIN_TOKEN), "default");
        let service = fake.as_user(ADMIN_TOKEN);
        let kubernetes = Kubernetes::over(service, "default", KubernetesOptions::default());
        Self::new(kubernetes, Some(fake), admin).await
    }

    async fn new(kubernetes: Kubernetes, fake: Option<FakeKubernetes>, admin: Client) -> Self {
        let number = N_NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("spanwise-test-{}-{number}", std::process::id());
        let cluster = Self { kubernetes, fake, namespace, admin };
        let body = json!({"metadata": {"name": cluster.namespace}});
        cluster.post("/api/v1/namespaces", body).await;
        cluster.create_web().await;
        cluster
    }

    /// The fake; only for cases that run on it alone.
    pub(super) fn server(&self) -> &FakeKubernetes {
        self.fake.as_ref().expect("this case runs on the fake only")
    }

    /// The Deployment `web` as a target.
    pub(super) fn web(&self) -> TargetRef {
        target("kubernetes", &self.namespace, "web")
    }

    /// Path of a resource of an API group in the namespace.
    pub(super) fn path(&self, group_version: &str, resource: &str) -> String {
        format!("{group_version}/namespaces/{}/{resource}", self.namespace)
    }

    /// Creates an object; it must work.
    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let (code, answer) = self.send(Method::POST, path, Some(&body)).await;
        assert_eq!(code, StatusCode::CREATED, "POST {path}: {answer}");
        answer
    }

    /// Merge-patches an object; it must work.
    pub(super) async fn patch(&self, path: &str, body: Value) {
        let (code, answer) = self.send(Method::PATCH, path, Some(&body)).await;
        assert_eq!(code, StatusCode::OK, "PATCH {path}: {answer}");
    }

    /// A request as somebody who may do everything.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let media = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string().into_bytes()));
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        let response = self.admin.send(request.body(body).unwrap()).await.unwrap();
        let code = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// An autoscaler of `web`.
    pub(super) async fn create_autoscaler(&self, name: &str, target: &str) {
        let path = self.path("/apis/autoscaling/v2", "horizontalpodautoscalers");
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": target});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}});
        let spec = json!({"scaleTargetRef": reference, "maxReplicas": 5, "metrics": [metric]});
        let body = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name}, "spec": spec});
        self.post(&path, body).await;
    }

    /// Defines a namespaced kind of a group.
    pub(super) async fn define(&self, group: &str, plural: &str, kind: &str, scale: bool) {
        let schema = json!({"openAPIV3Schema": {"type": "object",
            "x-kubernetes-preserve-unknown-fields": true}});
        let mut version = json!({"name": "v1alpha1", "served": true, "storage": true,
            "schema": schema});
        if scale {
            version["subresources"] = json!({"scale": {"specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas"}});
        }
        let names = json!({"plural": plural, "singular": kind.to_lowercase(), "kind": kind});
        let spec = json!({"group": group, "scope": "Namespaced", "names": names,
            "versions": [version]});
        let body = json!({"apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")}, "spec": spec});
        self.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body).await;
    }

    /// Removes a definition.
    pub(super) async fn undefine(&self, group: &str, plural: &str) {
        let root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.send(Method::DELETE, &format!("{root}/{plural}.{group}"), None).await;
    }

    /// Path of the Deployment `web`.
    pub(super) fn web_path(&self) -> String {
        self.path("/apis/apps/v1", "deployments/web")
    }

    async fn create_web(&self) {
        let limits = json!({"cpu": "250m", "memory": "64Mi"});
        let container = json!({"name": "server", "image": "pause",
            "resources": {"limits": limits}});
        let labels = json!({"app": "web"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let spec = json!({"replicas": REPLICAS, "selector": {"matchLabels": labels},
            "template": template});
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web"}, "spec": spec});
        self.post(&self.path("/apis/apps/v1", "deployments"), body).await;
    }
}

impl Stage for Cluster {
    fn orchestrator(&self) -> &dyn Orchestrator {
        &self.kubernetes
    }

    fn target(&self) -> TargetRef {
        self.web()
    }

    fn set_replicas(&self, replicas: u32) -> BoxFuture<'_, ()> {
        async move { self.patch(&self.web_path(), json!({"spec": {"replicas": replicas}})).await }
            .boxed()
    }

    fn recreate(&self) -> Option<BoxFuture<'_, ()>> {
        let work = async move {
            let path = self.web_path();
            self.send(Method::DELETE, &path, None).await;
            while self.send(Method::GET, &path, None).await.0 == StatusCode::OK {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            self.create_web().await;
        };
        Some(work.boxed())
    }
}

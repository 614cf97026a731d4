//! The whole way: a kubeconfig file, a socket, a bearer token.

use std::path::Path;

use serde_json::json;
use spanwise_model::TargetRef;
use spanwise_orchestrator::{Kubernetes, KubernetesOptions, OrchError, Orchestrator};
use spanwise_testkit::FakeKubernetes;
use spanwise_testkit::conformance::{guard_for, replicas};
use spanwise_testkit::fake_kubernetes::{ADMIN_TOKEN, Fault};

use super::cluster::Cluster;

/// Writes a kubeconfig for a server and a token; JSON is YAML.
fn write_kubeconfig(dir: &Path, server: &str, token: &str, namespace: &str) -> std::path::PathBuf {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test",
            "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": token}}],
    });
    let path = dir.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test]
async fn a_kubeconfig_leads_to_the_server_and_its_namespace() {
    let cluster = Cluster::fake().await;
    let listening = cluster.server().listen().await;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("http://{}", listening.address);
    let path = write_kubeconfig(dir.path(), &server, ADMIN_TOKEN, &cluster.namespace);
    let options = KubernetesOptions::default();
    let kubernetes = Kubernetes::from_kubeconfig(&path, None, options).await.unwrap();
    let target = TargetRef { namespace: "".into(), ..cluster.web() };
    let state = kubernetes.observe(&target).await.unwrap();
    kubernetes.apply(&target, &replicas(3, 4), &guard_for(&state)).await.unwrap();
    assert_eq!(kubernetes.observe(&target).await.unwrap().desired, 4);
}

#[tokio::test]
async fn the_clients_own_retries_are_off() {
    let cluster = Cluster::fake().await;
    let listening = cluster.server().listen().await;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("http://{}", listening.address);
    let path = write_kubeconfig(dir.path(), &server, ADMIN_TOKEN, &cluster.namespace);
    let options = KubernetesOptions::default();
    let kubernetes = Kubernetes::from_kubeconfig(&path, None, options).await.unwrap();
    cluster.server().inject("get", "deployments/scale", Fault::Unavailable, 100);
    let refusal = kubernetes.observe(&cluster.web()).await.unwrap_err();
    assert_eq!(refusal.as_str(), "transient");
    assert_eq!(cluster.server().n_calls("get", "deployments/scale"), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_transient() {
    let address = FakeKubernetes::new().listen().await.address;
    let dir = tempfile::tempdir().unwrap();
    let path = write_kubeconfig(dir.path(), &format!("http://{address}"), "x", "default");
    let options = KubernetesOptions::default();
    let kubernetes = Kubernetes::from_kubeconfig(&path, None, options).await.unwrap();
    // The listener ended with its value, at the latest when its task is next polled.
    tokio::task::yield_now().await;
    let target = crate::target("kubernetes", "default", "web");
    let refusal = kubernetes.observe(&target).await.unwrap_err();
    assert!(matches!(refusal, OrchError::Transient { maybe_applied: false, .. }), "{refusal}");
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let options = KubernetesOptions::default();
    let absent = Path::new("/nowhere/kubeconfig");
    let refusal = Kubernetes::from_kubeconfig(absent, None, options.clone()).await.unwrap_err();
    assert!(refusal.to_string().starts_with("invalid: kubeconfig /nowhere/kubeconfig: "));
    let dir = tempfile::tempdir().unwrap();
    let path = write_kubeconfig(dir.path(), "http://127.0.0.1:1", "x", "default");
    let refusal = Kubernetes::from_kubeconfig(&path, Some("absent"), options).await.unwrap_err();
    assert_eq!(refusal.as_str(), "invalid");
}

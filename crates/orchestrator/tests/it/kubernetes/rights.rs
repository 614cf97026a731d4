//! What is said when rights are missing, and which rights suffice.

use std::collections::BTreeSet;

use spanwise_orchestrator::{Kubernetes, KubernetesOptions, OrchError, Orchestrator};
use spanwise_testkit::conformance::{guard_for, replicas};
use spanwise_testkit::fake_kubernetes::Rule;

use super::cluster::{Cluster, on_fake};

const USER: &str = "system:serviceaccount:spanwise:spanwise";

/// The Role that the documentation tells users to create.
fn role() -> Vec<Rule> {
    vec![
        Rule::new("get patch", "apps", "deployments/scale"),
        Rule::new("get", "apps", "deployments"),
        Rule::new("list", "autoscaling", "horizontalpodautoscalers"),
        Rule::new("list", "keda.sh", "scaledobjects"),
    ]
}

/// The backend as a user with `rules`.
fn as_user(cluster: &Cluster, rules: &[Rule], assume_no_keda: bool) -> Kubernetes {
    cluster.server().allow("limited", USER, rules);
    let options = KubernetesOptions { assume_no_keda, ..KubernetesOptions::default() };
    Kubernetes::over(cluster.server().as_user("limited"), "default", options)
}

async fn scale_up(kubernetes: &Kubernetes, cluster: &Cluster) -> Result<(), OrchError> {
    let state = kubernetes.observe(&cluster.web()).await?;
    kubernetes.apply(&cluster.web(), &replicas(3, 5), &guard_for(&state)).await.map(drop)
}

fn without(group: &str, resource: &str, verb: &str) -> Vec<Rule> {
    let mut rules = role();
    for rule in &mut rules {
        if rule.group == group && rule.resources.iter().any(|r| r == resource) {
            rule.verbs.retain(|v| v != verb);
        }
    }
    rules
}

#[test]
fn the_documented_role_suffices_and_every_right_of_it_is_used() {
    on_fake(async |cluster| {
        let setup = cluster.server().calls().len();
        scale_up(&as_user(cluster, &role(), false), cluster).await.unwrap();
        let calls = cluster.server().calls();
        let used: BTreeSet<String> =
            calls[setup..].iter().map(|call| format!("{} {}", call.verb, call.resource)).collect();
        let granted: BTreeSet<String> = role()
            .iter()
            .flat_map(|rule| rule.verbs.iter().map(move |v| format!("{v} {}", rule.resources[0])))
            .collect();
        assert_eq!(used, granted);
    });
}

#[test]
fn a_missing_right_is_named_with_verb_and_resource() {
    on_fake(async |cluster| {
        let check = async |group: &str, resource: &str, verb: &str| {
            let rules = without(group, resource, verb);
            let refusal = scale_up(&as_user(cluster, &rules, false), cluster).await.unwrap_err();
            let OrchError::Forbidden { verb: v, resource: r, detail } = refusal else {
                panic!("{refusal}")
            };
            assert_eq!((&*v, &*r), (verb, resource));
            assert!(detail.contains(USER), "the server's words belong to it: {detail}");
        };
        check("apps", "deployments/scale", "patch").await;
        check("apps", "deployments/scale", "get").await;
        check("apps", "deployments", "get").await;
        check("autoscaling", "horizontalpodautoscalers", "list").await;
        check("keda.sh", "scaledobjects", "list").await;
    });
}

#[test]
fn without_the_right_to_look_for_keda_nothing_is_written_unless_told_to_assume() {
    on_fake(async |cluster| {
        let rules = without("keda.sh", "scaledobjects", "list");
        let refusal = scale_up(&as_user(cluster, &rules, false), cluster).await.unwrap_err();
        assert!(refusal.to_string().contains("assume_no_keda: true"), "{refusal}");
        scale_up(&as_user(cluster, &rules, true), cluster).await.unwrap();
    });
}

#[test]
fn a_token_nobody_knows_is_forbidden() {
    on_fake(async |cluster| {
        let service = cluster.server().as_user("unknown");
        let kubernetes = Kubernetes::over(service, "default", KubernetesOptions::default());
        let refusal = kubernetes.observe(&cluster.web()).await.unwrap_err();
        let expected = "forbidden: may not get deployments/scale: Unauthorized";
        assert_eq!(refusal.to_string(), expected);
    });
}

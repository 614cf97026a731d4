//! What must hold on every API server.

use http::{Method, StatusCode};
use serde_json::json;
use spanwise_model::{Owner, ScaleAction, TargetRef};
use spanwise_orchestrator::{OrchError, Orchestrator};
use spanwise_testkit::conformance::{CASES, REPLICAS, Stage, guard_for, replicas};

use super::cluster::{Cluster, on_each_server};

/// Group of the kinds that the cases define, so that they cannot meet anybody's own.
const GROUP: &str = "test.spanwise.io";

async fn scale_up(cluster: &Cluster, target: &TargetRef) -> Result<(), OrchError> {
    let state = cluster.kubernetes.observe(target).await?;
    let action = replicas(state.desired, state.desired + 2);
    cluster.kubernetes.apply(target, &action, &guard_for(&state)).await.map(drop)
}

fn rollout(cluster: &Cluster, name: &str) -> TargetRef {
    TargetRef {
        kind: "Rollout".into(),
        api_version: format!("{GROUP}/v1alpha1").into(),
        object: name.into(),
        ..cluster.web()
    }
}

#[test]
fn kubernetes_keeps_the_promises() {
    for (name, case) in CASES {
        println!("kubernetes: {name}");
        on_each_server(async |cluster| case(cluster).await);
    }
}

#[test]
fn a_target_owned_by_an_autoscaler_is_refused_by_its_name() {
    on_each_server(async |cluster| {
        cluster.create_autoscaler("other-cpu", "other").await;
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!(state.owner, None);
        cluster.create_autoscaler("web-cpu", "web").await;
        let owner = Owner::HorizontalPodAutoscaler("web-cpu".to_owned());
        let guard = guard_for(&state);
        let refusal = cluster.kubernetes.apply(&cluster.web(), &replicas(3, 5), &guard).await;
        assert_eq!(refusal, Err(OrchError::Owned(owner.clone())));
        // Observations share a list for some seconds.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!((state.desired, state.owner), (REPLICAS, Some(owner)));
    });
}

#[test]
fn a_target_owned_by_a_scaled_object_is_refused_by_its_name() {
    on_each_server(async |cluster| {
        let path = cluster.path("/apis/keda.sh/v1alpha1", "scaledobjects");
        if cluster.fake.is_some() {
            cluster.define("keda.sh", "scaledobjects", "ScaledObject", false).await;
        } else if cluster.send(Method::GET, &path, None).await.0 == StatusCode::NOT_FOUND {
            println!("skipped on the real server: KEDA is not installed");
            return;
        }
        let guard = guard_for(&cluster.kubernetes.observe(&cluster.web()).await.unwrap());
        let spec = json!({"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "cron",
            "metadata": {"timezone": "UTC", "start": "0 6 * * *", "end": "0 20 * * *",
                "desiredReplicas": "3"}}]});
        let body = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "web-queue"}, "spec": spec});
        cluster.post(&path, body).await;
        let refusal = cluster.kubernetes.apply(&cluster.web(), &replicas(3, 5), &guard).await;
        assert_eq!(refusal, Err(OrchError::Owned(Owner::ScaledObject("web-queue".to_owned()))));
    });
}

#[test]
fn a_paused_target_is_not_written() {
    on_each_server(async |cluster| {
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert!(!state.paused);
        let annotation = json!({"metadata": {"annotations": {"spanwise.io/paused": "true"}}});
        cluster.patch(&cluster.web_path(), annotation).await;
        let guard = guard_for(&state);
        let refusal = cluster.kubernetes.apply(&cluster.web(), &replicas(3, 5), &guard).await;
        let by = "annotation spanwise.io/paused: true".to_owned();
        assert_eq!(refusal, Err(OrchError::Paused { by }));
        assert!(cluster.kubernetes.observe(&cluster.web()).await.unwrap().paused);
    });
}

#[test]
fn absent_replicas_are_read_as_zero_and_left_alone() {
    on_each_server(async |cluster| {
        cluster.set_replicas(0).await;
        let path = format!("{}/scale", cluster.web_path());
        let (code, scale) = cluster.send(Method::GET, &path, None).await;
        assert_eq!((code, &scale["spec"]), (StatusCode::OK, &json!({})), "the server omits zeros");
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!(state.desired, 0);
        let guard = guard_for(&state);
        for action in [replicas(0, 1), replicas(1, 2)] {
            let refusal = cluster.kubernetes.apply(&cluster.web(), &action, &guard).await;
            assert_eq!(refusal.unwrap_err().as_str(), "invalid");
        }
    });
}

#[test]
fn the_main_containers_resources_are_observed() {
    on_each_server(async |cluster| {
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!(state.resources.cpu_millis, Some(250));
        assert_eq!(state.resources.memory_bytes, Some(64 << 20));
    });
}

#[test]
fn vertical_is_refused_with_the_patch_of_the_template() {
    on_each_server(async |cluster| {
        let guard = guard_for(&cluster.kubernetes.observe(&cluster.web()).await.unwrap());
        let action =
            ScaleAction::SetResources { cpu_millis: Some(500), memory_bytes: Some(128 << 20) };
        let refusal = cluster.kubernetes.apply(&cluster.web(), &action, &guard).await.unwrap_err();
        let OrchError::Unsupported { detail, .. } = refusal else { panic!("{refusal}") };
        let expected = format!(
            "apply it with `kubectl -n {} patch deployments web --type strategic --patch-file \
             FILE`, where FILE holds:\n\
             spec:\n  template:\n    spec:\n      containers:\n      - name: server\n        \
             resources:\n          limits:\n            cpu: 500m  # was 250m\n            \
             memory: 128Mi  # was 64Mi\n          requests:\n            cpu: 500m  # was 250m\n            \
             memory: 128Mi  # was 64Mi\n",
            cluster.namespace
        );
        assert_eq!(detail, expected);
    });
}

#[test]
fn a_custom_kind_is_found_by_discovery_and_scaled() {
    on_each_server(async |cluster| {
        cluster.define(GROUP, "rollouts", "Rollout", true).await;
        let path = cluster.path(&format!("/apis/{GROUP}/v1alpha1"), "rollouts");
        let body = json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "Rollout",
            "metadata": {"name": "canary"}, "spec": {"replicas": 2}});
        // A real server serves a new kind a moment after it was defined.
        while cluster.send(Method::GET, &path, None).await.0 == StatusCode::NOT_FOUND {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        cluster.post(&path, body).await;
        let target = rollout(cluster, "canary");
        let outcome = scale_up(cluster, &target).await;
        let after = cluster.kubernetes.observe(&target).await;
        cluster.undefine(GROUP, "rollouts").await;
        outcome.unwrap();
        assert_eq!(after.unwrap().desired, 4);
    });
}

#[test]
fn a_kind_without_scale_is_unsupported() {
    on_each_server(async |cluster| {
        let target = TargetRef {
            kind: "HorizontalPodAutoscaler".into(),
            api_version: "autoscaling/v2".into(),
            ..cluster.web()
        };
        let refusal = cluster.kubernetes.observe(&target).await.unwrap_err();
        let expected = "scaling of HorizontalPodAutoscaler (autoscaling/v2) is not supported: the \
                        kind has no scale subresource";
        assert_eq!(refusal.to_string(), expected);
    });
}

#[test]
fn what_does_not_exist_is_named() {
    on_each_server(async |cluster| {
        let check = async |target: TargetRef, expected: &str| {
            let refusal = cluster.kubernetes.observe(&target).await.unwrap_err();
            assert_eq!(refusal.to_string(), expected);
        };
        let absent = TargetRef { object: "absent".into(), ..cluster.web() };
        check(absent, "not found: deployments.apps \"absent\" not found").await;
        let group = TargetRef {
            kind: "Rollout".into(),
            api_version: "absent.example.com/v1".into(),
            ..cluster.web()
        };
        check(group, "not found: API group absent.example.com/v1; is what brings it installed?")
            .await;
        let kind = TargetRef { kind: "Job".into(), api_version: "apps/v1".into(), ..cluster.web() };
        check(kind, "not found: kind Job in API group apps/v1").await;
        let unnamed = TargetRef { kind: "Rollout".into(), ..cluster.web() };
        check(
            unnamed,
            "invalid: kind Rollout is not built in: name its API, as in api_version: \
             argoproj.io/v1alpha1",
        )
        .await;
    });
}

#[test]
fn an_absent_group_answers_in_plain_text() {
    on_each_server(async |cluster| {
        let path = cluster.path("/apis/absent.example.com/v1", "rollouts/x/scale");
        let (code, body) = cluster.send(Method::GET, &path, None).await;
        assert_eq!((code, body), (StatusCode::NOT_FOUND, serde_json::Value::Null));
    });
}

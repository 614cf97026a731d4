//! A server in trouble, and others at work at the same moment. Only a fake can be told to do so.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use serde_json::json;
use spanwise_model::TargetRef;
use spanwise_orchestrator::{
    Applied, Guard, Kubernetes, KubernetesOptions, OrchError, Orchestrator,
};
use spanwise_testkit::conformance::{Stage, guard_for, replicas};
use spanwise_testkit::fake_kubernetes::{ADMIN_TOKEN, Fault};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, on_fake};

const SCALE: &str = "deployments/scale";

/// A decision against what is there now: 3 to 5, within a minute.
async fn decide(cluster: &Cluster) -> Guard {
    guard_for(&cluster.kubernetes.observe(&cluster.web()).await.unwrap())
}

async fn apply(cluster: &Cluster, guard: &Guard) -> Result<Applied, OrchError> {
    cluster.kubernetes.apply(&cluster.web(), &replicas(3, 5), guard).await
}

async fn replicas_now(cluster: &Cluster) -> u64 {
    let (_, object) = cluster.send(Method::GET, &cluster.web_path(), None).await;
    object["spec"]["replicas"].as_u64().unwrap()
}

/// The present of the paused clock.
fn moment() -> Instant {
    sleep(Duration::ZERO).deadline()
}

#[test]
fn a_write_carries_identity_revision_and_manager_and_no_more() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        apply(cluster, &guard).await.unwrap();
        let calls = cluster.server().calls();
        let write = calls.iter().find(|call| call.verb == "patch").unwrap();
        assert_eq!(write.query, "fieldManager=spanwise");
        let expected = format!(
            "{{\"metadata\":{{\"uid\":\"{}\",\"resourceVersion\":\"{}\"}},\"spec\":{{\"replicas\":5}}}}",
            guard.uid, guard.revision
        );
        assert_eq!(write.body, expected);
    });
}

#[test]
fn a_dry_run_says_so_to_the_server() {
    on_fake(async |cluster| {
        let guard = Guard { dry_run: true, ..decide(cluster).await };
        let applied = apply(cluster, &guard).await.unwrap();
        assert_eq!(applied.revision, guard.revision, "a dry run answers with the old revision");
        let calls = cluster.server().calls();
        let write = calls.iter().find(|call| call.verb == "patch").unwrap();
        assert_eq!(write.query, "fieldManager=spanwise&dryRun=All");
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn a_decision_survives_a_status_that_moved_before_it() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        assert!(cluster.server().run_controllers() >= 3, "a status moves in several steps");
        let applied = apply(cluster, &guard).await.unwrap();
        assert_eq!((applied.written, applied.n_rewrites), (true, 0));
        assert_ne!(applied.revision, guard.revision);
    });
}

#[test]
fn a_status_that_moves_between_read_and_write_costs_a_rewrite() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::StatusMoves, 2);
        let applied = apply(cluster, &guard).await.unwrap();
        assert_eq!(applied.n_rewrites, 2);
        assert_eq!(cluster.server().n_calls("patch", SCALE), 3);
        assert_eq!(replicas_now(cluster).await, 5);
    });
}

#[test]
fn a_storm_of_conflicts_ends_after_five_rewrites() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::StatusMoves, 100);
        let refusal = apply(cluster, &guard).await.unwrap_err();
        assert_eq!(refusal.as_str(), "conflict");
        assert_eq!(cluster.server().n_calls("patch", SCALE), 6);
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn replicas_that_somebody_sets_at_the_same_moment_stay() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::ReplicasBecome(7), 1);
        let refusal = apply(cluster, &guard).await;
        let changed = "replicas are 7, the decision saw 3".to_owned();
        assert_eq!(refusal, Err(OrchError::Conflict { changed }));
        assert_eq!(cluster.server().n_calls("patch", SCALE), 1);
        assert_eq!(replicas_now(cluster).await, 7);
    });
}

#[test]
fn a_target_recreated_at_the_same_moment_stays() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::Recreated, 1);
        let refusal = apply(cluster, &guard).await.unwrap_err();
        assert!(refusal.to_string().contains("recreated"), "{refusal}");
        assert_eq!(cluster.server().n_calls("patch", SCALE), 1);
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn a_pause_that_comes_between_read_and_write_holds() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        // The write waits two seconds for the server; the pause comes in the first of them.
        cluster.server().inject("patch", SCALE, Fault::Slow(Duration::from_secs(2)), 1);
        let pause = async {
            sleep(Duration::from_secs(1)).await;
            let annotation = json!({"metadata": {"annotations": {"spanwise.io/paused": "true"}}});
            cluster.patch(&cluster.web_path(), annotation).await;
        };
        let (refusal, ()) = futures_util::future::join(apply(cluster, &guard), pause).await;
        assert_eq!(refusal.unwrap_err().as_str(), "paused");
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_says() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::TooManyRequests(7), 1);
        let start = moment();
        apply(cluster, &guard).await.unwrap();
        let waited = moment() - start;
        assert!((7..10).contains(&waited.as_secs()), "{waited:?}");
        assert_eq!(replicas_now(cluster).await, 5);
    });
}

#[test]
fn what_changes_while_a_busy_server_is_waited_for_is_respected() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::TooManyRequests(7), 1);
        let change = async {
            sleep(Duration::from_secs(3)).await;
            cluster.set_replicas(4).await;
        };
        let (refusal, ()) = futures_util::future::join(apply(cluster, &guard), change).await;
        assert_eq!(refusal.unwrap_err().as_str(), "conflict");
        assert_eq!(replicas_now(cluster).await, 4);
    });
}

#[test]
fn a_server_busy_beyond_the_decisions_life_is_not_waited_for() {
    on_fake(async |cluster| {
        for (verb, resource) in [("patch", SCALE), ("get", SCALE), ("get", "deployments")] {
            let guard = decide(cluster).await;
            cluster.server().inject(verb, resource, Fault::TooManyRequests(120), 1);
            let start = moment();
            let refusal = apply(cluster, &guard).await.unwrap_err();
            assert_eq!(refusal.as_str(), "transient", "{verb} {resource}: {refusal}");
            assert!(moment() - start < Duration::from_secs(10), "{verb} {resource}");
        }
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn an_unavailable_server_is_transient_and_asked_once() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::Unavailable, 100);
        let refusal = apply(cluster, &guard).await.unwrap_err();
        let OrchError::Transient { maybe_applied: false, detail } = refusal else {
            panic!("{refusal}")
        };
        let expected = "patch deployments/scale answered 503 Service Unavailable: the server is \
                        currently unable to handle the request";
        assert_eq!(detail, expected);
        assert_eq!(
            cluster.server().n_calls("patch", SCALE),
            1,
            "retries are ours, not the client's"
        );
    });
}

#[test]
fn an_error_behind_a_write_leaves_its_effect_open() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::InternalError, 1);
        let refusal = apply(cluster, &guard).await.unwrap_err();
        assert!(matches!(refusal, OrchError::Transient { maybe_applied: true, .. }), "{refusal}");
    });
}

#[test]
fn a_hung_server_is_given_up_within_five_seconds() {
    on_fake(async |cluster| {
        let check = async |verb: &str, resource: &str, expected_maybe_applied: bool| {
            let guard = decide(cluster).await;
            sleep(Duration::from_secs(10)).await;
            cluster.server().inject(verb, resource, Fault::Hang, 1);
            let start = moment();
            let refusal = apply(cluster, &guard).await.unwrap_err();
            let OrchError::Transient { maybe_applied, .. } = refusal else { panic!("{refusal}") };
            assert_eq!(maybe_applied, expected_maybe_applied, "{verb} {resource}");
            let took = moment() - start;
            assert!(took <= Duration::from_millis(5_010), "{verb} {resource}: {took:?}");
        };
        check("get", SCALE, false).await;
        check("get", "deployments", false).await;
        check("list", "horizontalpodautoscalers", false).await;
        check("list", "scaledobjects", false).await;
        check("patch", SCALE, true).await;
        assert_eq!(replicas_now(cluster).await, 3);
    });
}

#[test]
fn a_write_whose_answer_is_lost_may_have_been_applied() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        cluster.server().inject("patch", SCALE, Fault::LoseAnswer, 1);
        let refusal = apply(cluster, &guard).await.unwrap_err();
        assert!(matches!(refusal, OrchError::Transient { maybe_applied: true, .. }), "{refusal}");
        assert_eq!(replicas_now(cluster).await, 5);
        let again = apply(cluster, &guard).await.unwrap();
        assert!(!again.written, "trying again finds it done");
    });
}

#[test]
fn nothing_is_written_after_the_decisions_life() {
    on_fake(async |cluster| {
        let guard = Guard { ttl: Duration::from_secs(3), ..decide(cluster).await };
        for (verb, resource) in [("get", SCALE), ("get", "deployments")] {
            cluster.server().inject(verb, resource, Fault::Slow(Duration::from_secs(4)), 1);
            let refusal = apply(cluster, &guard).await.unwrap_err();
            assert_eq!(refusal.as_str(), "fenced", "{refusal}");
        }
        assert_eq!(cluster.server().n_calls("patch", SCALE), 0);
    });
}

#[test]
fn nothing_is_written_after_waiting_for_its_turn_too_long() {
    on_fake(async |cluster| {
        let guard = Guard { ttl: Duration::from_secs(1), ..decide(cluster).await };
        // Four calls so far. Two more and the four reads of the apply use up the burst of ten, so
        // that the write itself has to wait for two seconds.
        let absent = TargetRef { object: "absent".into(), ..cluster.web() };
        for _ in 0..2 {
            cluster.kubernetes.observe(&absent).await.unwrap_err();
        }
        let n_calls = cluster.server().calls().len();
        let refusal = apply(cluster, &guard).await.unwrap_err();
        assert_eq!(refusal.as_str(), "fenced", "{refusal}");
        assert_eq!(cluster.server().calls().len(), n_calls + 4, "all reads and no write");
    });
}

#[test]
fn a_target_recreated_while_it_is_observed_is_a_conflict() {
    on_fake(async |cluster| {
        cluster.server().inject("get", "deployments", Fault::Recreated, 1);
        let refusal = cluster.kubernetes.observe(&cluster.web()).await.unwrap_err();
        assert_eq!(refusal.as_str(), "conflict");
        cluster.kubernetes.observe(&cluster.web()).await.unwrap();
    });
}

#[test]
fn an_owner_on_the_last_page_is_found() {
    on_fake(async |cluster| {
        for idx in 0..600 {
            cluster.create_autoscaler(&format!("a{idx:03}"), "other").await;
        }
        cluster.create_autoscaler("z-web", "web").await;
        let state = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!(state.owner.unwrap().to_string(), "HorizontalPodAutoscaler z-web");
        assert_eq!(cluster.server().n_calls("list", "horizontalpodautoscalers"), 3);
    });
}

#[test]
fn a_rollout_in_progress_is_observed() {
    on_fake(async |cluster| {
        cluster.server().run_controllers();
        let before = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!((before.settled, before.ready), (Some(true), Some(3)));
        apply(cluster, &guard_for(&before)).await.unwrap();
        let during = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!((during.desired, during.settled, during.ready), (5, Some(false), Some(3)));
        cluster.server().run_controllers();
        let after = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!((after.settled, after.ready), (Some(true), Some(5)));
    });
}

/// Scenario: a hundred targets of one namespace wait for a decision at the same time.
/// Guarantees: all are observed within the minute that a decision has, at the default pace and
/// sooner at a faster one; they share the lists of autoscalers, and a new autoscaler is seen by the
/// next observation that is not quite as fresh.
#[test]
fn a_hundred_targets_are_observed_within_a_minute() {
    const N_TARGETS: usize = 100;
    /// As many as the processor observes at once.
    const N_AT_ONCE: usize = 8;
    on_fake(async |cluster| {
        let (_, web) = cluster.send(Method::GET, &cluster.web_path(), None).await;
        let mut targets = Vec::new();
        for n in 0..N_TARGETS {
            let name = format!("web-{n}");
            let body = json!({"metadata": {"name": &name}, "spec": &web["spec"]});
            cluster.post(&cluster.path("/apis/apps/v1", "deployments"), body).await;
            targets.push(TargetRef { object: name.into(), ..cluster.web() });
        }
        for (calls_per_s, seconds_max) in [(5, 55), (20, 15)] {
            let options = KubernetesOptions { calls_per_s, ..KubernetesOptions::default() };
            let service = cluster.server().as_user(ADMIN_TOKEN);
            let kubernetes = Kubernetes::over(service, "default", options);
            let lists_before = cluster.server().n_calls("list", "horizontalpodautoscalers");
            let began = moment();
            let observed: Vec<_> = stream::iter(&targets)
                .map(|target| kubernetes.observe(target))
                .buffer_unordered(N_AT_ONCE)
                .collect()
                .await;
            assert!(observed.iter().all(Result::is_ok), "{observed:?}");
            let took = moment() - began;
            assert!(took < Duration::from_secs(seconds_max), "{calls_per_s}/s: {took:?}");
            let lists = cluster.server().n_calls("list", "horizontalpodautoscalers") - lists_before;
            assert!(lists <= N_TARGETS / 3, "{lists} lists");
        }
    });
}

#[test]
fn an_observation_shares_a_list_for_five_seconds_and_an_action_never() {
    on_fake(async |cluster| {
        let guard = decide(cluster).await;
        let body = json!({"metadata": {"name": "web"}, "spec": {"maxReplicas": 9,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        let path = cluster.path("/apis/autoscaling/v2", "horizontalpodautoscalers");
        cluster.post(&path, body).await;
        let observed = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert_eq!(observed.owner, None, "the list of before");
        let error = apply(cluster, &guard).await.unwrap_err();
        assert!(matches!(error, OrchError::Owned(_)), "{error}");
        sleep(Duration::from_secs(5)).await;
        let observed = cluster.kubernetes.observe(&cluster.web()).await.unwrap();
        assert!(observed.owner.is_some());
    });
}

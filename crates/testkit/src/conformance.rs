//! What every orchestrator promises, as one suite. A backend is put on a [`Stage`]; each case gets
//! a fresh one.

use std::time::Duration;

use futures_util::future::BoxFuture;
use spanwise_model::{Observed, Resources, ScaleAction, TargetRef};
use spanwise_orchestrator::{Applied, Caps, Guard, OrchError, Orchestrator};

/// Replicas of the target when a case begins.
pub const REPLICAS: u32 = 3;

/// A backend with one target of [`REPLICAS`] replicas, and somebody else who can touch it.
pub trait Stage: Send + Sync {
    /// The backend.
    fn orchestrator(&self) -> &dyn Orchestrator;

    /// Its target.
    fn target(&self) -> TargetRef;

    /// Somebody else sets the replicas, 0 included.
    fn set_replicas(&self, replicas: u32) -> BoxFuture<'_, ()>;

    /// Somebody else deletes the target and makes it anew with the same replicas. `None` where
    /// targets have no identity.
    fn recreate(&self) -> Option<BoxFuture<'_, ()>>;
}

type Case = for<'a> fn(&'a dyn Stage) -> BoxFuture<'a, ()>;

/// The cases by name.
pub const CASES: [(&str, Case); 10] = [
    ("what is applied is observed", |stage| Box::pin(applied_is_observed(stage))),
    ("the same action twice is harmless", |stage| Box::pin(twice_is_harmless(stage))),
    ("a decision against other replicas is a conflict", |stage| Box::pin(stale_from(stage))),
    ("a recreated target is a conflict", |stage| Box::pin(recreated(stage))),
    ("zero is never written", |stage| Box::pin(zero_never_written(stage))),
    ("a target at zero is left alone", |stage| Box::pin(zero_left_alone(stage))),
    ("an expired decision is not written", |stage| Box::pin(expired(stage))),
    ("a dry run changes nothing", |stage| Box::pin(dry_run(stage))),
    ("vertical is done or explained", |stage| Box::pin(vertical(stage))),
    ("an empty vertical action is invalid", |stage| Box::pin(empty_vertical(stage))),
];

/// Runs every case on a stage of its own, and prints which ones ran.
pub async fn check_orchestrator<S: Stage>(fresh: impl AsyncFn() -> S) {
    for (name, case) in CASES {
        let stage = fresh().await;
        println!("{}: {name}", stage.orchestrator().id());
        case(&stage).await;
    }
}

/// A guard with a minute left, made against `state`.
pub fn guard_for(state: &Observed) -> Guard {
    Guard {
        decision_id: 7,
        uid: state.uid.clone(),
        revision: state.revision.clone(),
        ttl: Duration::from_mins(1),
        dry_run: false,
        summary: "GetCart is slow".to_owned(),
    }
}

/// The action that sets replicas.
pub const fn replicas(from: u32, to: u32) -> ScaleAction {
    ScaleAction::SetReplicas { from, to }
}

/// What only a write can change; a status may move at any time.
fn essence(state: &Observed) -> (u32, &str, Resources) {
    (state.desired, &state.uid, state.resources)
}

async fn observe(stage: &dyn Stage) -> Observed {
    stage.orchestrator().observe(&stage.target()).await.expect("the target can be observed")
}

async fn apply(
    stage: &dyn Stage,
    action: &ScaleAction,
    guard: &Guard,
) -> Result<Applied, OrchError> {
    stage.orchestrator().apply(&stage.target(), action, guard).await
}

async fn expect_refusal(stage: &dyn Stage, action: &ScaleAction, guard: &Guard, kind: &str) {
    let before = observe(stage).await;
    let refusal = apply(stage, action, guard).await.expect_err("the action must be refused");
    assert_eq!(refusal.as_str(), kind, "{refusal}");
    let after = observe(stage).await;
    assert_eq!(essence(&after), essence(&before), "a refused action must change nothing");
}

async fn applied_is_observed(stage: &dyn Stage) {
    let state = observe(stage).await;
    assert_eq!(state.desired, REPLICAS);
    let caps = stage.orchestrator().caps(&stage.target());
    assert!(caps.contains(Caps::HORIZONTAL), "every backend scales horizontally");
    let applied = apply(stage, &replicas(REPLICAS, 5), &guard_for(&state)).await.unwrap();
    assert!(applied.written && !applied.dry_run);
    assert_eq!(applied.action, replicas(REPLICAS, 5));
    let after = observe(stage).await;
    assert_eq!(after.desired, 5);
    assert_eq!(after.uid, state.uid);
}

async fn twice_is_harmless(stage: &dyn Stage) {
    let guard = guard_for(&observe(stage).await);
    assert!(apply(stage, &replicas(REPLICAS, 4), &guard).await.unwrap().written);
    let again = apply(stage, &replicas(REPLICAS, 4), &guard).await.unwrap();
    assert!(!again.written, "the target is as wanted already");
    assert_eq!(observe(stage).await.desired, 4);
}

async fn stale_from(stage: &dyn Stage) {
    let guard = guard_for(&observe(stage).await);
    stage.set_replicas(6).await;
    expect_refusal(stage, &replicas(REPLICAS, 5), &guard, "conflict").await;
    assert_eq!(observe(stage).await.desired, 6);
}

async fn recreated(stage: &dyn Stage) {
    let before = observe(stage).await;
    let Some(recreate) = stage.recreate() else { return };
    recreate.await;
    assert_ne!(observe(stage).await.uid, before.uid, "the stage must give it a new identity");
    expect_refusal(stage, &replicas(REPLICAS, 5), &guard_for(&before), "conflict").await;
}

async fn zero_never_written(stage: &dyn Stage) {
    let guard = guard_for(&observe(stage).await);
    expect_refusal(stage, &replicas(REPLICAS, 0), &guard, "invalid").await;
}

async fn zero_left_alone(stage: &dyn Stage) {
    stage.set_replicas(0).await;
    let state = observe(stage).await;
    assert_eq!(state.desired, 0);
    expect_refusal(stage, &replicas(0, 2), &guard_for(&state), "invalid").await;
    expect_refusal(stage, &replicas(1, 2), &guard_for(&state), "invalid").await;
}

async fn expired(stage: &dyn Stage) {
    let guard = Guard { ttl: Duration::ZERO, ..guard_for(&observe(stage).await) };
    expect_refusal(stage, &replicas(REPLICAS, 5), &guard, "fenced").await;
}

async fn dry_run(stage: &dyn Stage) {
    let state = observe(stage).await;
    let guard = Guard { dry_run: true, ..guard_for(&state) };
    if !stage.orchestrator().caps(&stage.target()).contains(Caps::DRY_RUN) {
        expect_refusal(stage, &replicas(REPLICAS, 5), &guard, "unsupported").await;
        return;
    }
    let applied = apply(stage, &replicas(REPLICAS, 5), &guard).await.unwrap();
    assert!(applied.dry_run);
    let after = observe(stage).await;
    assert_eq!(essence(&after), essence(&state), "a dry run must change nothing");
}

async fn vertical(stage: &dyn Stage) {
    let guard = guard_for(&observe(stage).await);
    let action = ScaleAction::SetResources { cpu_millis: Some(750), memory_bytes: None };
    if stage.orchestrator().caps(&stage.target()).contains(Caps::VERTICAL) {
        assert!(apply(stage, &action, &guard).await.unwrap().written);
        assert_eq!(observe(stage).await.resources.cpu_millis, Some(750));
        return;
    }
    let refusal = apply(stage, &action, &guard).await.unwrap_err();
    let OrchError::Unsupported { detail, .. } = refusal else {
        panic!("vertical must be refused as unsupported, not as: {refusal}")
    };
    assert!(detail.contains("cpu: 750m"), "it must say what to do by hand: {detail}");
}

async fn empty_vertical(stage: &dyn Stage) {
    let guard = guard_for(&observe(stage).await);
    let action = ScaleAction::SetResources { cpu_millis: None, memory_bytes: None };
    expect_refusal(stage, &action, &guard, "invalid").await;
}

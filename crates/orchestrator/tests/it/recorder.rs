//! The recorder.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use spanwise_model::{Observed, TargetRef};
use spanwise_orchestrator::{Guard, Orchestrator, Recorder};
use spanwise_testkit::conformance::{REPLICAS, Stage, check_orchestrator, guard_for, replicas};

use crate::target;

struct RecorderStage(Recorder);

impl RecorderStage {
    fn state(&self) -> Observed {
        self.0.observe(&self.target()).now_or_never().unwrap().unwrap()
    }

    fn set(&self, state: Observed) {
        self.0.set(&self.target(), state).unwrap();
    }
}

impl Stage for RecorderStage {
    fn orchestrator(&self) -> &dyn Orchestrator {
        &self.0
    }

    fn target(&self) -> TargetRef {
        target("recorder", "shop", "cart")
    }

    fn set_replicas(&self, replicas: u32) -> BoxFuture<'_, ()> {
        self.set(Observed { desired: replicas, ..self.state() });
        ready(()).boxed()
    }

    fn recreate(&self) -> Option<BoxFuture<'_, ()>> {
        let state = self.state();
        let uid = format!("{}-again", state.uid);
        self.set(Observed { uid, ..state });
        Some(ready(()).boxed())
    }
}

#[tokio::test]
async fn the_recorder_keeps_the_promises() {
    check_orchestrator(async || RecorderStage(Recorder::new("recorder", REPLICAS))).await;
}

#[tokio::test]
async fn what_was_applied_is_remembered_and_dry_runs_are_not() {
    let recorder = Recorder::new("recorder", 1);
    let target = target("recorder", "shop", "cart");
    let guard = guard_for(&recorder.observe(&target).await.unwrap());
    let dry = Guard { dry_run: true, ..guard.clone() };
    recorder.apply(&target, &replicas(1, 2), &dry).await.unwrap();
    recorder.apply(&target, &replicas(1, 3), &guard).await.unwrap();
    let history = recorder.history();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].decision_id, &history[0].action), (7, &replicas(1, 3)));
}

#[tokio::test]
async fn memory_is_bounded_in_targets_and_in_history() {
    let recorder = Recorder::default();
    for idx in 0..4096 {
        recorder.observe(&target("recorder", "", &format!("t{idx}"))).await.unwrap();
    }
    let refusal = recorder.observe(&target("recorder", "", "one-too-many")).await.unwrap_err();
    assert_eq!(refusal.as_str(), "invalid");
    let first = target("recorder", "", "t0");
    for from in 1..1100 {
        let guard = guard_for(&recorder.observe(&first).await.unwrap());
        recorder.apply(&first, &replicas(from, from + 1), &guard).await.unwrap();
    }
    assert_eq!(recorder.history().len(), 1024);
}

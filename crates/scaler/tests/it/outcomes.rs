//! What becomes of plans, and what is remembered of them.

use spanwise_model::{Decision, Mode, Outcome, Reason, ScaleAction, Timestamp};
use spanwise_scaler::{Config, Refusal, Scaler, Target};

use crate::support::{Rig, at, by, cpu_percent, finding, healthy, reference};

fn text() -> String {
    "what the backend said".to_owned()
}

/// The amended record, and whether the target rests 10 s later.
fn after(refusal: Refusal) -> (Decision, bool) {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(by(1), at(0)).unwrap();
    let decision = rig.apply(&plan, Err(refusal), at(1));
    let rests = rig.fire(by(1), at(10)).is_none();
    (decision, rests)
}

#[test]
fn every_refusal_is_recorded_and_only_a_written_one_rests() {
    let check = |refusal, outcome, reason, rests| {
        let (decision, rested) = after(refusal);
        assert_eq!((decision.outcome, decision.reason, rested), (outcome, reason, rests));
        assert_eq!(decision.orchestrator, Some(text()));
        assert!(decision.summary.contains("scale cart from 3 to 4 replicas"));
    };
    let error = Reason::OrchestratorError;
    check(Refusal::Conflict(text()), Outcome::Failed, error, false);
    let owned = Reason::OtherControllerOwns;
    check(Refusal::Owned(text()), Outcome::Suppressed, owned, false);
    check(Refusal::Paused(text()), Outcome::Suppressed, Reason::Paused, false);
    check(Refusal::Unsupported(text()), Outcome::Suppressed, error, true);
    check(Refusal::Failed(text()), Outcome::Failed, error, true);
}

#[test]
fn a_target_waits_while_its_plan_is_under_way() {
    let mut rig = Rig::with(Mode::Act, |target| target.cooldown_ns = 1_000_000_000);
    let plan = rig.fire(by(1), at(0)).unwrap();
    rig.push(finding("other", by(1), at(5)), at(5));
    assert_eq!(rig.scaler.pending(), []);
    assert_eq!(rig.decide(&healthy(3), at(5)), None);
    rig.apply(&plan, Ok(""), at(6));
    assert_eq!(rig.scaler.pending(), [reference("cart")]);
    assert!(rig.decide(&healthy(4), at(8)).is_some());
}

#[test]
fn a_plan_nobody_reports_fails_after_its_time() {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(by(1), at(0)).unwrap();
    rig.records.clear();
    rig.scaler.tick(at(60), &mut rig.records);
    assert_eq!(rig.records, []);
    rig.scaler.tick(at(61), &mut rig.records);
    assert_eq!(rig.take(), [(Outcome::Failed, Reason::OrchestratorError, Some(3), Some(4))]);
    assert_eq!(rig.scaler.applied(plan.decision_id, Ok(text()), at(62)), None);
}

#[test]
fn steps_within_a_minute_are_capped_together() {
    let mut rig = Rig::with(Mode::Act, |target| target.cooldown_ns = 1_000_000_000);
    let mut step = |second, desired| {
        rig.push(finding("cart-slow", by(3), at(second)), at(second));
        let plan = rig.decide(&healthy(desired), at(second))?;
        rig.apply(&plan, Ok(""), at(second));
        match plan.action {
            ScaleAction::SetReplicas { to, .. } => Some(to),
            ScaleAction::SetResources { .. } => None,
        }
    };
    assert_eq!(step(0, 3), Some(6));
    assert_eq!(step(10, 6), Some(7), "one step from 3 goes to 7");
    assert_eq!(step(20, 7), None);
    assert_eq!(step(59, 7), None);
    assert_eq!(step(61, 7), Some(10), "the first step has left the window, from 6 to 12");
}

#[test]
fn cooldowns_and_ids_survive_a_restart() {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(by(1), at(0)).unwrap();
    let intent = rig.records.clone();
    let done = rig.apply(&plan, Ok(""), at(1));
    for (log, rest_s) in [(intent, 60), (vec![rig.records[0].clone(), done], 60)] {
        let mut later = Rig::new(Mode::Act);
        let config = later.scaler.config().clone();
        later.scaler = Scaler::new(config, at(2));
        later.scaler.restore(&log);
        assert_eq!(later.fire(by(1), at(rest_s - 1)), None);
        assert_eq!(later.records[0].reason, Reason::Cooldown);
        assert_eq!(later.records[0].id, plan.decision_id + 1);
        assert!(later.fire(by(1), at(2 + rest_s)).is_some());
    }
}

#[test]
fn a_record_from_the_future_does_not_make_a_target_rest_for_ever() {
    let mut rig = Rig::new(Mode::Act);
    rig.fire(by(1), at(0));
    let mut record = rig.records[0].clone();
    record.at = Timestamp(u64::MAX);
    let target = Target::new(reference("cart"), 20);
    let config = Config { mode: Mode::Act, targets: vec![target], fleet_max: None };
    rig.scaler = Scaler::new(config, at(100));
    rig.scaler.restore(&[record]);
    assert!(rig.fire(by(1), at(160)).is_some());
}

#[test]
fn non_decisions_do_not_make_a_target_rest_after_a_restart() {
    let mut rig = Rig::new(Mode::Observe);
    rig.fire(by(1), at(0));
    let log = std::mem::take(&mut rig.records);
    let mut later = Rig::new(Mode::Act);
    later.scaler.restore(&log);
    assert!(later.fire(by(1), at(1)).is_some());
}

#[test]
fn status_shows_where_a_target_stands() {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(cpu_percent(100), at(0)).unwrap();
    let status = |rig: &Rig, now| rig.scaler.status(now).remove(0);
    assert_eq!(status(&rig, at(0)).in_flight, Some(plan.decision_id));
    rig.apply(&plan, Ok(""), at(0));
    let found = status(&rig, at(20));
    assert_eq!((found.in_flight, found.rest_ns), (None, 40_000_000_000));
    assert_eq!((found.desired, found.bounds, found.mode), (Some(3), (1, 20), Mode::Act));
}

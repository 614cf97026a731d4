//! How far each mode goes, and what holds a target back.

use std::sync::Arc;

use spanwise_model::{
    Decision, Direction, Finding, Mode, Observed, Outcome, Owner, Reason, Resources, ScaleAction,
    Timestamp, WantedAction,
};
use spanwise_scaler::{Config, DECISION_TTL_NS, Scaler, Target};

use crate::support::{Rig, at, by, cpu_percent, finding, healthy, reference, short};

const OBSERVED: (Outcome, Reason) = (Outcome::Suppressed, Reason::ObserveOnly);

#[test]
fn observe_records_what_it_would_do_and_plans_nothing() {
    let mut rig = Rig::new(Mode::Observe);
    assert_eq!(rig.fire(by(1), at(0)), None);
    assert_eq!(rig.take(), [(OBSERVED.0, OBSERVED.1, Some(3), Some(4))]);
}

#[test]
fn recommend_publishes_and_rests_like_act() {
    let mut rig = Rig::new(Mode::Recommend);
    assert_eq!(rig.fire(by(1), at(0)), None);
    assert_eq!(rig.take(), [(Outcome::Recommended, Reason::LoadBound, Some(3), Some(4))]);
    assert_eq!(rig.fire(by(1), at(59)), None);
    assert_eq!(rig.take(), [(Outcome::Suppressed, Reason::Cooldown, None, None)]);
    assert_eq!(rig.fire(by(1), at(60)), None);
    assert_eq!(rig.take(), [(Outcome::Recommended, Reason::LoadBound, Some(3), Some(4))]);
}

#[test]
fn act_hands_out_a_plan_made_against_what_was_observed() {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(by(2), at(0)).unwrap();
    assert_eq!(plan.action, ScaleAction::SetReplicas { from: 3, to: 5 });
    assert_eq!((&*plan.revision, &*plan.uid), ("7", "u"));
    assert_eq!(plan.expires, at(0).plus_ns(DECISION_TTL_NS));
    let intent = rig.records[0].clone();
    assert_eq!((intent.id, intent.outcome), (plan.decision_id, Outcome::Recommended));
    let done = rig.apply(&plan, Ok("3 -> 5"), at(1));
    assert_eq!(
        (done.id, done.outcome, done.reason),
        (intent.id, Outcome::Acted, Reason::LoadBound)
    );
    assert_eq!(done.orchestrator.as_deref(), Some("3 -> 5"));
    assert_eq!(
        done.summary,
        "scale cart from 3 to 5 replicas: rule cart-slow counted 12 spans (needs 10) of \
         cart::GetCart with self+gap over 80ms in 30s"
    );
}

#[test]
fn a_target_never_goes_further_than_its_own_mode() {
    let mut rig = Rig::with(Mode::Act, |target| target.mode = Some(Mode::Observe));
    assert_eq!(rig.fire(by(1), at(0)), None);
    assert_eq!(rig.records[0].mode, Mode::Observe);
}

#[test]
fn act_needs_the_quorum_and_other_modes_say_that_it_is_missing() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(short(finding("cart-slow", by(1), at(0))), at(0));
    assert_eq!(rig.decide(&healthy(3), at(0)), None);
    assert_eq!(rig.take(), [(Outcome::Suppressed, Reason::InsufficientData, Some(3), Some(4))]);

    let mut rig = Rig::new(Mode::Recommend);
    rig.push(short(finding("cart-slow", by(1), at(0))), at(0));
    rig.decide(&healthy(3), at(0));
    assert_eq!(rig.records[0].outcome, Outcome::Recommended);
    assert_eq!(rig.records[0].bounds[0].reason, Reason::InsufficientData);
}

/// Scenario: a rule fires before the evidence suffices; a little later it does.
/// Guarantees: `act` acts on the second finding only, other modes answer the first only.
#[test]
fn a_burst_is_answered_once_whether_evidence_is_asked_for_or_not() {
    let answers = |mode| {
        let mut rig = Rig::with(mode, |target| target.cooldown_ns = 1_000_000_000);
        rig.push(short(finding("cart-slow", by(1), at(0))), at(0));
        let first = rig.decide(&healthy(3), at(0)).is_some();
        let resting = Finding { resting: true, ..short(finding("cart-slow", by(1), at(1))) };
        rig.push(resting, at(1));
        rig.push(Finding { completes: true, ..finding("cart-slow", by(1), at(5)) }, at(5));
        let second = rig.decide(&healthy(3), at(5)).is_some();
        let reasons: Vec<_> = rig.take().iter().map(|record| record.1).collect();
        (first, second, reasons)
    };
    let act = vec![Reason::InsufficientData, Reason::LoadBound];
    assert_eq!(answers(Mode::Act), (false, true, act));
    let recommend = vec![Reason::LoadBound, Reason::Cooldown];
    assert_eq!(answers(Mode::Recommend), (false, false, recommend));
}

#[test]
fn a_rule_with_a_quorum_acts_beside_one_without() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(short(finding("greedy", by(4), at(0))), at(0));
    rig.push(finding("sound", by(1), at(0)), at(0));
    let plan = rig.decide(&healthy(3), at(0)).unwrap();
    assert_eq!(plan.action, ScaleAction::SetReplicas { from: 3, to: 4 });
    let names: Vec<_> = rig.records[0].rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["sound"]);
}

#[test]
fn three_rules_on_one_target_become_one_plan() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(finding("a", by(1), at(0)), at(0));
    rig.push(finding("b", by(2), at(0)), at(0));
    let to = WantedAction::ReplicasTo { target: Arc::from("cart"), to: 4 };
    rig.push(finding("c", to, at(0)), at(0));
    assert_eq!(rig.scaler.pending(), [reference("cart")]);
    let plan = rig.decide(&healthy(3), at(0)).unwrap();
    assert_eq!(plan.action, ScaleAction::SetReplicas { from: 3, to: 5 });
    assert_eq!(rig.records.len(), 1);
    assert_eq!(rig.records[0].rules.len(), 3);
    assert_eq!(rig.scaler.pending(), []);
}

#[test]
fn a_fresh_process_observes_for_two_windows_before_it_acts() {
    let config = Config {
        mode: Mode::Act,
        targets: vec![Target::new(reference("cart"), 20)],
        fleet_max: None,
    };
    let mut rig = Rig { scaler: Scaler::new(config, at(0)), records: Vec::new() };
    assert_eq!(rig.fire(by(1), at(59)), None);
    assert_eq!(rig.take(), [(OBSERVED.0, OBSERVED.1, Some(3), Some(4))]);
    assert!(rig.fire(by(1), at(60)).is_some());
}

#[test]
fn every_obstacle_has_its_reason() {
    let check = |change: &dyn Fn(&mut Observed), expected: Reason| {
        let mut rig = Rig::new(Mode::Act);
        rig.push(finding("cart-slow", by(1), at(0)), at(0));
        let mut observed = healthy(3);
        change(&mut observed);
        assert_eq!(rig.decide(&observed, at(0)), None);
        let decision = &rig.records[0];
        assert_eq!((decision.outcome, decision.reason), (Outcome::Suppressed, expected));
        assert!(!decision.bounds.is_empty() && decision.summary.contains("cart-slow"));
    };
    check(&|o| o.desired = 0, Reason::Paused);
    check(&|o| o.paused = true, Reason::Paused);
    let owner = || Some(Owner::HorizontalPodAutoscaler("cart".to_owned()));
    check(&|o| o.owner = owner(), Reason::OtherControllerOwns);
    check(&|o| o.settled = Some(false), Reason::Stabilizing);
    check(&|o| o.ready = Some(2), Reason::Stabilizing);
    check(&|o| o.desired = 20, Reason::Stabilizing);
    check(
        &|o| {
            o.desired = 20;
            o.ready = Some(20);
        },
        Reason::AtMax,
    );
}

#[test]
fn a_target_that_cannot_be_observed_is_held() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(finding("cart-slow", by(1), at(0)), at(0));
    let plan = rig.scaler.decide(&reference("cart"), Err("timed out"), at(0), &mut rig.records);
    assert_eq!(plan, None);
    assert_eq!(rig.records[0].reason, Reason::OrchestratorError);
    assert!(rig.records[0].summary.contains("timed out"));
    assert_eq!(rig.scaler.pending(), []);
}

#[test]
fn percentages_of_unknown_resources_are_insufficient_data() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(finding("cart-slow", cpu_percent(100), at(0)), at(0));
    let unknown = Observed { resources: Resources::default(), ..healthy(3) };
    assert_eq!(rig.decide(&unknown, at(0)), None);
    assert_eq!(rig.take(), [(Outcome::Suppressed, Reason::InsufficientData, None, None)]);
}

#[test]
fn vertical_rules_set_resources() {
    let mut rig = Rig::new(Mode::Act);
    let plan = rig.fire(cpu_percent(100), at(0)).unwrap();
    let wanted = ScaleAction::SetResources { cpu_millis: Some(500), memory_bytes: None };
    assert_eq!(plan.action, wanted);
    assert_eq!(rig.take(), [(Outcome::Recommended, Reason::ResourceBound, Some(250), Some(500))]);
}

#[test]
fn of_two_axes_replicas_come_first_and_the_other_rests() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(finding("wider", by(1), at(0)), at(0));
    rig.push(finding("larger", cpu_percent(100), at(0)), at(0));
    let plan = rig.decide(&healthy(3), at(0)).unwrap();
    assert!(matches!(plan.action, ScaleAction::SetReplicas { .. }));
    let reasons: Vec<_> = rig.take().iter().map(|record| record.1).collect();
    assert_eq!(reasons, [Reason::LoadBound, Reason::Cooldown]);
}

#[test]
fn alerts_are_recorded_and_scale_nothing() {
    for mode in [Mode::Observe, Mode::Act] {
        let mut rig = Rig::new(mode);
        let alert = WantedAction::Alert { name: Arc::from("db-oncall") };
        rig.push(finding("db-slow", alert, at(0)), at(0));
        let Decision { outcome, reason, direction, ref target, .. } = rig.records[0];
        assert_eq!((outcome, reason), (Outcome::Recommended, Reason::ThresholdBreached));
        assert_eq!(
            (direction, &*target.name, &*target.backend),
            (Direction::Hold, "db-oncall", "")
        );
        assert_eq!(rig.scaler.pending(), []);
    }
}

#[test]
fn a_resting_rule_is_a_non_decision() {
    let mut rig = Rig::new(Mode::Act);
    let mut resting = finding("cart-slow", by(1), at(0));
    resting.resting = true;
    rig.push(resting, at(0));
    assert_eq!(rig.take(), [(Outcome::Suppressed, Reason::Cooldown, None, None)]);
    assert_eq!(rig.scaler.pending(), []);
}

#[test]
fn what_is_not_configured_or_not_scalable_is_recorded() {
    let mut rig = Rig::with(Mode::Act, |target| target.scalable = false);
    rig.push(finding("cart-slow", by(1), at(0)), at(0));
    let other = WantedAction::ReplicasBy { target: Arc::from("ghost"), by: 1 };
    rig.push(finding("ghost-slow", other, at(0)), at(0));
    let reasons: Vec<_> = rig.take().iter().map(|record| record.1).collect();
    assert_eq!(reasons, [Reason::Paused, Reason::OrchestratorError]);
    assert_eq!(rig.scaler.decide(&reference("ghost"), Err(""), at(0), &mut rig.records), None);
}

#[test]
fn a_non_decision_that_goes_on_is_recorded_once_in_ten_minutes() {
    let mut rig = Rig::new(Mode::Observe);
    let mut n = 0;
    for second in (0..3_600).step_by(30) {
        rig.fire(by(1), at(second));
        n += rig.take().len();
    }
    // Two states alternate: what would be done, and the rest after it.
    assert_eq!(n, 12);
    assert_eq!(rig.scaler.stats().n_repeats, 108);
}

#[test]
fn stale_findings_are_dropped_with_a_record() {
    let mut rig = Rig::new(Mode::Act);
    rig.push(finding("cart-slow", by(1), at(0)), at(0));
    rig.scaler.tick(at(60), &mut rig.records);
    assert_eq!(rig.records, []);
    rig.scaler.tick(at(61), &mut rig.records);
    assert_eq!(rig.records[0].reason, Reason::OrchestratorError);
    assert_eq!(rig.scaler.pending(), []);
}

#[test]
fn the_fleet_budget_counts_what_other_targets_have() {
    let mut other = Target::new(reference("web"), 20);
    other.cooldown_ns = 1_000_000_000;
    let config = Config {
        mode: Mode::Act,
        targets: vec![Target::new(reference("cart"), 20), other],
        fleet_max: Some(10),
    };
    let mut rig = Rig { scaler: Scaler::new(config, Timestamp(0)), records: Vec::new() };
    let web = WantedAction::ReplicasBy { target: Arc::from("web"), by: 1 };
    rig.push(finding("web-slow", web, at(0)), at(0));
    let plan = rig.scaler.decide(&reference("web"), Ok(&healthy(5)), at(0), &mut rig.records);
    rig.apply(&plan.unwrap(), Ok(""), at(0));
    let plan = rig.fire(by(3), at(1)).unwrap();
    assert_eq!(plan.action, ScaleAction::SetReplicas { from: 3, to: 4 });
}

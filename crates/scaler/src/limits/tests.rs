use std::sync::Arc;

use spanwise_model::{Condition, Finding, Resources, RuleRef, TargetRef, Timestamp, WantedAction};

use super::*;
use crate::conflate::absolute;

fn target(min: u32, max: u32, step_max: Option<u32>) -> Target {
    let text = || Arc::from("cart");
    let reference = TargetRef {
        name: text(),
        backend: text(),
        kind: text(),
        api_version: text(),
        namespace: text(),
        object: text(),
    };
    Target { min, step_max, ..Target::new(reference, max) }
}

const ROOMY: u64 = 1_000;

fn check(wanted: u64, current: u32, target: &Target, expected: u32, reasons: &[Reason]) {
    let limited = replicas(wanted, current, target, Room { base: current, fleet: ROOMY });
    assert_eq!(limited.to, expected, "{limited:?}");
    let found: Vec<Reason> =
        limited.bounds.iter().chain(&limited.held).map(|bound| bound.reason).collect();
    assert_eq!(found, reasons, "{limited:?}");
    assert_eq!(limited.held.is_some(), expected == current);
}

#[test]
fn one_step_is_at_most_four_replicas_or_double() {
    check(5, 3, &target(1, 20, None), 5, &[]);
    check(20, 3, &target(1, 20, None), 7, &[Reason::Stabilizing]);
    check(100, 10, &target(1, 100, None), 20, &[Reason::Stabilizing]);
    check(100, 10, &target(1, 100, Some(3)), 13, &[Reason::Stabilizing]);
    check(100, 10, &target(1, 100, Some(50)), 20, &[Reason::Stabilizing]);
}

#[test]
fn max_comes_before_the_step() {
    check(30, 18, &target(1, 20, None), 20, &[Reason::AtMax]);
    check(30, 20, &target(1, 20, None), 20, &[Reason::AtMax]);
    check(30, 25, &target(1, 20, None), 25, &[Reason::AtMax]);
}

#[test]
fn nothing_is_ever_taken_away() {
    check(4, 5, &target(1, 20, None), 5, &[Reason::AtMax]);
    check(5, 5, &target(1, 20, None), 5, &[Reason::AtMax]);
    check(0, 5, &target(8, 20, None), 5, &[Reason::AtMax]);
}

#[test]
fn min_is_reached_even_beyond_one_step() {
    check(2, 1, &target(8, 20, None), 8, &[Reason::AtMin]);
    check(20, 1, &target(8, 20, None), 8, &[Reason::Stabilizing]);
}

#[test]
fn steps_within_a_minute_count_together() {
    let limited = |current: u32, base| {
        replicas(
            u64::from(current) + 10,
            current,
            &target(1, 100, None),
            Room { base, fleet: ROOMY },
        )
    };
    assert_eq!(limited(6, 3).to, 7);
    assert_eq!(limited(7, 3).held.map(|bound| bound.reason), Some(Reason::Stabilizing));
}

#[test]
fn the_fleet_budget_bounds_a_target() {
    let limited = |fleet| replicas(6, 4, &target(1, 20, None), Room { base: 4, fleet });
    assert_eq!(limited(6).to, 6);
    assert_eq!(limited(5).to, 5);
    assert_eq!(limited(4).held.map(|bound| bound.reason), Some(Reason::AtMax));
    assert_eq!(limited(0).to, 4);
    let below_min = replicas(3, 2, &target(8, 20, None), Room { base: 2, fleet: 7 });
    assert_eq!(below_min.held.map(|bound| bound.reason), Some(Reason::AtMax));
}

#[test]
fn resources_grow_at_most_fourfold_and_never_shrink() {
    let check = |cpu, memory, known: Resources, expected: (Option<u64>, Option<u64>)| {
        let action = WantedAction::Vertical {
            target: Arc::from("cart"),
            cpu_percent: None,
            cpu_millis: cpu,
            memory_percent: None,
            memory_bytes: memory,
        };
        let finding = Finding {
            at: Timestamp(1),
            rule: RuleRef { name: Arc::from("r"), hash: 0 },
            action,
            condition: Condition::default(),
            call_site: (Arc::from(""), Arc::from("")),
            trace_ids: Vec::new(),
            shortfall: None,
            resting: false,
            completes: false,
        };
        let observed = Observed { resources: known, ..Observed::default() };
        let mut wanted = Conflated::default();
        wanted.add(absolute(finding, &observed).unwrap());
        let limited = resources(&wanted, &observed);
        assert_eq!((limited.to.cpu_millis, limited.to.memory_bytes), expected);
        assert_eq!(limited.held.is_some(), expected == (None, None));
    };
    let known = Resources { cpu_millis: Some(500), memory_bytes: Some(100) };
    check(Some(1_000), None, known, (Some(1_000), None));
    check(Some(9_000), None, known, (Some(2_000), None));
    check(Some(400), Some(200), known, (None, Some(200)));
    check(Some(500), None, known, (None, None));
    check(Some(400), None, Resources::default(), (Some(400), None));
    check(None, Some(5), Resources { memory_bytes: Some(0), ..known }, (None, None));
}

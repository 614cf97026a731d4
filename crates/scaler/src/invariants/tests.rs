use std::sync::Arc;

use spanwise_model::{Observed, Owner, Resources, TargetRef, Timestamp};

use super::*;
use crate::config::Target;
use crate::limits::Room;

const NOW: Timestamp = Timestamp::from_secs(10_000);
const WINDOW_NS: u64 = 30_000_000_000;

/// A plan that breaks nothing, and what it is checked against.
struct Situation {
    target: Target,
    observed: Observed,
    plan: ScalingPlan,
    mode: Mode,
    room: Room,
    acted_at: Option<Timestamp>,
    started: Timestamp,
    evidence: Evidence,
}

fn situation() -> Situation {
    let text = || Arc::from("cart");
    let reference = TargetRef {
        name: text(),
        backend: text(),
        kind: text(),
        api_version: text(),
        namespace: text(),
        object: text(),
    };
    let observed = Observed {
        desired: 3,
        resources: Resources { cpu_millis: Some(500), memory_bytes: None },
        revision: "7".to_owned(),
        uid: "u".to_owned(),
        ..Observed::default()
    };
    let plan = ScalingPlan {
        decision_id: 1,
        target: reference.clone(),
        action: ScaleAction::SetReplicas { from: 3, to: 5 },
        revision: "7".to_owned(),
        uid: "u".to_owned(),
        expires: NOW.plus_ns(DECISION_TTL_NS),
        summary: String::new(),
    };
    Situation {
        target: Target::new(reference, 20),
        observed,
        plan,
        mode: Mode::Act,
        room: Room { base: 3, fleet: 100 },
        acted_at: None,
        started: Timestamp(0),
        evidence: Evidence { at: NOW, window_ns: WINDOW_NS },
    }
}

fn check(change: impl Fn(&mut Situation), expected: &str) {
    let mut s = situation();
    change(&mut s);
    let facts = Facts {
        target: &s.target,
        mode: s.mode,
        observed: &s.observed,
        room: s.room,
        acted_at: s.acted_at,
        started: s.started,
        now: NOW,
    };
    let found = violation(&s.plan, &facts, s.evidence).unwrap_or_default();
    assert_eq!(found.get(..2).unwrap_or_default(), expected, "{found}");
}

fn replicas(from: u32, to: u32) -> impl Fn(&mut Situation) {
    move |s| s.plan.action = ScaleAction::SetReplicas { from, to }
}

fn cpu(millis: u64) -> impl Fn(&mut Situation) {
    move |s| {
        let cpu_millis = Some(millis);
        s.plan.action = ScaleAction::SetResources { cpu_millis, memory_bytes: None };
    }
}

#[test]
fn a_sound_plan_breaks_nothing() {
    check(|_| {}, "");
    check(cpu(1_000), "");
}

#[test]
fn each_invariant_is_refused_by_its_name() {
    check(replicas(3, 21), "I1");
    check(|s| s.target.min = 6, "I1");
    check(replicas(3, 8), "I2");
    check(cpu(2_001), "I2");
    check(|s| s.acted_at = Some(NOW.minus_ns(59_000_000_000)), "I3");
    check(|s| s.room.fleet = 4, "I4");
    check(replicas(3, 3), "I5");
    check(replicas(3, 2), "I5");
    check(replicas(2, 5), "I5");
    check(cpu(500), "I5");
    check(replicas(3, 0), "I6");
    check(cpu(0), "I6");
    check(|s| s.plan.revision.clear(), "I7");
    check(|s| s.plan.uid = "v".to_owned(), "I7");
    check(|s| s.plan.expires = NOW.plus_ns(DECISION_TTL_NS + 1), "I8");
    check(|s| s.plan.expires = NOW.minus_ns(1), "I8");
    check(|s| s.evidence.at = NOW.minus_ns(DECISION_TTL_NS + 1), "I8");
    check(|s| s.mode = Mode::Recommend, "I9");
    check(|s| s.observed.paused = true, "I9");
    check(|s| s.observed.owner = Some(Owner::ScaledObject("x".to_owned())), "I9");
    check(|s| s.target.scalable = false, "I9");
    check(|s| s.started = NOW.minus_ns(2 * WINDOW_NS - 1), "I9");
}

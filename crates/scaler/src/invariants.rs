//! The last look at a plan before it leaves: conditions that hold by construction, checked again
//! where a mistake would scale a workload. A violation refuses the plan and is recorded; it never
//! panics the process.
//!
//! I1 min <= replicas <= max; I2 the step is within its cap; I3 one action per cooldown; I4 the
//! fleet budget; I5 never down; I6 never zero; I7 the write carries the revision and identity it was
//! decided against; I8 decision and evidence are fresh; I9 nothing while paused, observing, starting
//! or owned by another controller.

use spanwise_model::{Mode, ScaleAction, ScalingPlan};

use crate::config::DECISION_TTL_NS;
use crate::facts::{Evidence, Facts};
use crate::guards;
use crate::limits::{RESOURCE_FACTOR_MAX, step_limit};

/// The first invariant a plan would break, by name and meaning.
pub(crate) fn violation(
    plan: &ScalingPlan,
    facts: &Facts<'_>,
    evidence: Evidence,
) -> Option<&'static str> {
    let Facts { target, observed, now, .. } = *facts;
    let fresh = plan.expires >= now
        && plan.expires.since(now) <= DECISION_TTL_NS
        && now.since(evidence.at) <= DECISION_TTL_NS;
    if !fresh {
        return Some("I8: decision or evidence is too old");
    }
    if plan.revision != observed.revision || plan.uid != observed.uid {
        return Some("I7: the plan does not carry what was observed");
    }
    if facts.mode != Mode::Act
        || !target.scalable
        || guards::observed(observed).is_some()
        || guards::starting(facts.started, evidence.window_ns, now).is_some()
    {
        return Some("I9: the target must not be touched now");
    }
    if guards::cooldown(facts.acted_at, target.cooldown_ns, now).is_some() {
        return Some("I3: one action per cooldown");
    }
    match &plan.action {
        ScaleAction::SetReplicas { from, to } => replicas(*from, *to, facts),
        ScaleAction::SetResources { cpu_millis, memory_bytes } => {
            let known = observed.resources;
            size(*cpu_millis, known.cpu_millis).or_else(|| size(*memory_bytes, known.memory_bytes))
        }
    }
}

fn replicas(from: u32, to: u32, facts: &Facts<'_>) -> Option<&'static str> {
    let target = facts.target;
    if to == 0 {
        Some("I6: never zero")
    } else if to <= from || from != facts.observed.desired {
        Some("I5: never down, and from what was observed")
    } else if to < target.min || to > target.max {
        Some("I1: min <= replicas <= max")
    } else if to > step_limit(target, facts.room.base) {
        Some("I2: the step is within its cap")
    } else if u64::from(to) > facts.room.fleet {
        Some("I4: the fleet budget")
    } else {
        None
    }
}

fn size(wanted: Option<u64>, known: Option<u64>) -> Option<&'static str> {
    let wanted = wanted?;
    if wanted == 0 {
        return Some("I6: never zero");
    }
    let known = known?;
    if wanted <= known {
        return Some("I5: never down");
    }
    (wanted > known.saturating_mul(RESOURCE_FACTOR_MAX)).then_some("I2: the step is within its cap")
}

#[cfg(test)]
mod tests;

//! Bounds on what is asked for: min, max, the fleet, and how far one step may go.
//!
//! The outer cap on steps is max(+100 %, +4) replicas within 60 s, counted from what the target had
//! 60 s ago; a tighter step of the target comes first. Reaching the target's own `min` is always
//! allowed. Nothing here ever returns less than the current figure: spanwise does not scale down.

use spanwise_model::{Bound, Observed, Reason};

use crate::config::Target;
use crate::conflate::Conflated;

/// The window of the step cap.
pub(crate) const STEP_WINDOW_NS: u64 = 60 * 1_000_000_000;
/// Replicas that may always be added within the window, however few there are.
const STEP_MIN: u32 = 4;
/// Greatest factor for the resources of a replica in one step.
pub(crate) const RESOURCE_FACTOR_MAX: u64 = 4;

/// What surrounds a decision on replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Replicas at the beginning of the step window, as far as our own actions changed them.
    pub(crate) base: u32,
    /// Replicas the fleet budget leaves for this target, its current ones included.
    pub(crate) fleet: u64,
}

/// A figure within all bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limited<T> {
    /// The figure; the current one if nothing changes.
    pub(crate) to: T,
    /// Bounds that were applied, in order.
    pub(crate) bounds: Vec<Bound>,
    /// If nothing changes, why.
    pub(crate) held: Option<Bound>,
}

/// Resources within all bounds; `None` leaves a resource as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) cpu_millis: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
}

/// The most a target may have after this step, by the step cap alone.
pub(crate) fn step_limit(target: &Target, base: u32) -> u32 {
    let cap = base.max(STEP_MIN);
    let step = target.step_max.map_or(cap, |step| step.min(cap));
    base.saturating_add(step).max(target.min)
}

/// Replicas between the current number and what is wanted.
pub(crate) fn replicas(wanted: u64, current: u32, target: &Target, room: Room) -> Limited<u32> {
    if wanted <= u64::from(current) {
        let detail = format!("has {current} replicas, the rule asks for {wanted}");
        return held(current, Reason::AtMax, detail);
    }
    if current >= target.max {
        let detail = format!("has {current} replicas, max is {}", target.max);
        return held(current, Reason::AtMax, detail);
    }
    let mut bounds = Vec::new();
    let mut to = wanted;
    let mut apply = |limit: u64, reason: Reason, detail: String| {
        if to > limit {
            bounds.push(Bound { reason, detail: format!("{detail}: {to} becomes {limit}") });
            to = limit;
        }
    };
    let max = u64::from(target.max);
    apply(max, Reason::AtMax, format!("max is {max}"));
    let fleet = room.fleet;
    apply(fleet, Reason::AtMax, "the fleet budget is used up".to_owned());
    let step = u64::from(step_limit(target, room.base));
    apply(step, Reason::Stabilizing, format!("one step from {} goes to {step}", room.base));
    if to < u64::from(target.min) && u64::from(target.min) <= fleet {
        let detail = format!("min is {}: {to} becomes {}", target.min, target.min);
        bounds.push(Bound { reason: Reason::AtMin, detail });
        to = u64::from(target.min);
    }
    if to > u64::from(current) && to >= u64::from(target.min) {
        return Limited { to: to as u32, bounds, held: None };
    }
    let last = bounds.pop();
    let unlimited = || Bound { reason: Reason::AtMax, detail: String::new() };
    Limited { to: current, bounds, held: Some(last.unwrap_or_else(unlimited)) }
}

/// Resources between the current ones and what is wanted. A resource that is known to be as large
/// already is left alone; one that is not known is taken as asked.
pub(crate) fn resources(wanted: &Conflated, observed: &Observed) -> Limited<Sizes> {
    let mut bounds = Vec::new();
    let mut limit = |wanted: Option<u64>, known: Option<u64>, name: &str| {
        let wanted = wanted?;
        let Some(known) = known else {
            return Some(wanted);
        };
        if wanted <= known {
            return None;
        }
        let most = known.saturating_mul(RESOURCE_FACTOR_MAX);
        if wanted > most {
            let detail = format!(
                "one step goes to {RESOURCE_FACTOR_MAX} times the {name}: {wanted} becomes {most}"
            );
            bounds.push(Bound { reason: Reason::Stabilizing, detail });
        }
        (most > known).then(|| wanted.min(most))
    };
    let known = observed.resources;
    let cpu_millis = limit(wanted.to(), known.cpu_millis, "cpu");
    let memory_bytes = limit(wanted.memory_bytes(), known.memory_bytes, "memory");
    let to = Sizes { cpu_millis, memory_bytes };
    let changes = cpu_millis.is_some() || memory_bytes.is_some();
    let detail = "each replica already has what the rule asks for".to_owned();
    let held = (!changes).then_some(Bound { reason: Reason::AtMax, detail });
    Limited { to, bounds, held }
}

fn held(current: u32, reason: Reason, detail: String) -> Limited<u32> {
    Limited { to: current, bounds: Vec::new(), held: Some(Bound { reason, detail }) }
}

#[cfg(test)]
mod tests;

//! The port through which spanwise acts: observe a target, apply an absolute action under a guard.
//!
//! Futures are boxed because backends are chosen at run time, and `async fn` in traits cannot be
//! called through `dyn`. Nothing here spawns: the caller polls, and dropping a future abandons the
//! call.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use spanwise_model::{Observed, ScaleAction, ScalingPlan, TargetRef, Timestamp};

use crate::error::OrchError;

/// What a backend can do for a target: a set of the constants below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps(u8);

/// The terms under which an action may be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The decision this carries out; goes into the backend's own records where it keeps any.
    pub decision_id: u64,
    /// Identity the decision was made against; empty where the backend has none.
    pub uid: String,
    /// Revision the decision was made against; empty where the backend has none. A newer revision
    /// alone does not stop a write: the guards are checked again on it first.
    pub revision: String,
    /// What is left of the decision's time to live. No write is sent after it.
    pub ttl: Duration,
    /// Go through everything but the effect.
    pub dry_run: bool,
    /// One sentence for the record on the other side.
    pub summary: String,
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The action as it was carried out.
    pub action: ScaleAction,
    /// Whether something was sent: false if the target was as wanted already.
    pub written: bool,
    /// Revision after the write, empty if the backend has none.
    pub revision: String,
    /// Whether it was a dry run: the target is unchanged.
    pub dry_run: bool,
    /// How often the write was sent anew because the target's status had moved meanwhile.
    pub n_rewrites: u32,
}

/// A system that scales workloads, reached over the network or through a process.
///
/// Implementations promise: an action is absolute, so repeating it is harmless; zero replicas are
/// never written and a target at zero is left alone; nothing is written after `guard.ttl`; nothing
/// is written when the identity, or the replica count the decision started from, has changed; each
/// call ends within a few seconds even if the other side hangs.
pub trait Orchestrator: Send + Sync + fmt::Debug {
    /// The name that [`TargetRef::backend`] refers to.
    fn id(&self) -> &str;

    /// What can be done for `target`. Costs no call.
    fn caps(&self, target: &TargetRef) -> Caps;

    /// Reads the state of `target`.
    fn observe<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>>;

    /// Carries out `action` on `target` unless `guard` forbids it. A decision is never sent twice
    /// blindly: when the target moved, the guards are checked again on its new state.
    fn apply<'a>(
        &'a self,
        target: &'a TargetRef,
        action: &'a ScaleAction,
        guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>>;
}

impl Caps {
    /// Can set the number of replicas.
    pub const HORIZONTAL: Self = Self(1);
    /// Can set the resources of each replica.
    pub const VERTICAL: Self = Self(2);
    /// Can go through the motions without effect.
    pub const DRY_RUN: Self = Self(4);
    /// Refuses a write when identity or revision changed between its own read and its write.
    pub const COMPARE_AND_SWAP: Self = Self(8);
    /// Finds out who else scales a target.
    pub const OWNERSHIP: Self = Self(16);
    /// Changes something outside this process. The recorder alone does not.
    pub const EXTERNAL: Self = Self(32);

    /// Nothing.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Whether all of `other` can be done.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Guard {
    /// The guard of a plan at time `now`. A plan that has expired gets no time at all.
    pub fn of(plan: &ScalingPlan, now: Timestamp) -> Self {
        Self {
            decision_id: plan.decision_id,
            uid: plan.uid.clone(),
            revision: plan.revision.clone(),
            ttl: Duration::from_nanos(plan.expires.since(now)),
            dry_run: false,
            summary: plan.summary.clone(),
        }
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (self.written, self.dry_run) {
            (false, _) => "already as wanted",
            (true, true) => "accepted in a dry run",
            (true, false) => "applied",
        };
        write!(f, "{verb}: {}", describe(&self.action))?;
        if !self.revision.is_empty() {
            write!(f, " at revision {}", self.revision)?;
        }
        if self.n_rewrites > 0 {
            write!(f, " after {} rewrites", self.n_rewrites)?;
        }
        Ok(())
    }
}

/// The action in words: `replicas 3 -> 5`.
pub(crate) fn describe(action: &ScaleAction) -> String {
    match action {
        ScaleAction::SetReplicas { from, to } => format!("replicas {from} -> {to}"),
        ScaleAction::SetResources { cpu_millis, memory_bytes } => {
            let cpu = cpu_millis.map(|m| format!("cpu {m}m"));
            let memory = memory_bytes.map(|b| format!("memory {b} bytes"));
            let parts: Vec<String> = cpu.into_iter().chain(memory).collect();
            parts.join(", ")
        }
    }
}

/// What every backend refuses before it looks at the target: zero replicas on either side, an
/// empty change, a decision whose time has run out.
pub(crate) fn check_request(action: &ScaleAction, guard: &Guard) -> Result<(), OrchError> {
    match action {
        ScaleAction::SetReplicas { to: 0, .. } => {
            return Err(OrchError::invalid("0 replicas are never written; scale to 1 at least"));
        }
        ScaleAction::SetReplicas { from: 0, .. } => return Err(switched_off()),
        ScaleAction::SetResources { cpu_millis: None, memory_bytes: None } => {
            return Err(OrchError::invalid("neither cpu nor memory is given; name one of them"));
        }
        ScaleAction::SetReplicas { .. } | ScaleAction::SetResources { .. } => {}
    }
    if guard.ttl.is_zero() {
        return Err(expired());
    }
    Ok(())
}

/// What every backend checks on the state it has just read. `Ok(true)` means a write is needed,
/// `Ok(false)` that the target is as wanted already.
pub(crate) fn check_state(
    state: &Observed,
    action: &ScaleAction,
    guard: &Guard,
) -> Result<bool, OrchError> {
    if !guard.uid.is_empty() && !state.uid.is_empty() && guard.uid != state.uid {
        let changed = format!("it was recreated (uid {} is now {})", guard.uid, state.uid);
        return Err(OrchError::conflict(changed));
    }
    if let Some(owner) = &state.owner {
        return Err(OrchError::Owned(owner.clone()));
    }
    if state.paused {
        return Err(OrchError::Paused { by: "an annotation on the target".to_owned() });
    }
    let ScaleAction::SetReplicas { from, to } = *action else { return Ok(true) };
    match state.desired {
        0 => Err(switched_off()),
        desired if desired == to => Ok(false),
        desired if desired != from => {
            Err(OrchError::conflict(format!("replicas are {desired}, the decision saw {from}")))
        }
        _ => Ok(true),
    }
}

/// The decision outlived its time.
pub(crate) fn expired() -> OrchError {
    OrchError::Fenced { detail: "the decision's time to live ran out".to_owned() }
}

fn switched_off() -> OrchError {
    OrchError::invalid(
        "the target is at 0 replicas: somebody switched it off; scale it to 1 by hand",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(ttl_s: u64) -> Guard {
        Guard { ttl: Duration::from_secs(ttl_s), ..Guard::default() }
    }

    fn replicas(from: u32, to: u32) -> ScaleAction {
        ScaleAction::SetReplicas { from, to }
    }

    #[test]
    fn requests_that_can_never_be_right_are_refused_before_any_call() {
        let check = |action: &ScaleAction, ttl_s, expected: &str| {
            let refusal = check_request(action, &guard(ttl_s)).err();
            assert_eq!(refusal.as_ref().map_or("ok", OrchError::as_str), expected, "{action:?}");
        };
        check(&replicas(3, 0), 60, "invalid");
        check(&replicas(0, 3), 60, "invalid");
        check(&replicas(3, 4), 60, "ok");
        check(&replicas(3, 4), 0, "fenced");
        check(&ScaleAction::SetResources { cpu_millis: None, memory_bytes: None }, 60, "invalid");
        check(&ScaleAction::SetResources { cpu_millis: Some(1), memory_bytes: None }, 60, "ok");
    }

    #[test]
    fn a_decision_stands_only_on_the_state_it_was_made_for() {
        let check = |state: &Observed, expected: Result<bool, &str>| {
            let guard = Guard { uid: "a".to_owned(), ..guard(60) };
            let verdict = check_state(state, &replicas(3, 5), &guard);
            assert_eq!(verdict.as_ref().map_err(OrchError::as_str).copied(), expected, "{state:?}");
        };
        let state = |desired| Observed { desired, uid: "a".to_owned(), ..Observed::default() };
        check(&state(3), Ok(true));
        check(&state(5), Ok(false));
        check(&state(4), Err("conflict"));
        check(&state(0), Err("invalid"));
        check(&Observed { uid: "b".to_owned(), ..state(3) }, Err("conflict"));
        check(&Observed { paused: true, ..state(3) }, Err("paused"));
        let owner = Some(spanwise_model::Owner::ScaledObject("so".to_owned()));
        check(&Observed { owner, ..state(3) }, Err("owned"));
    }

    #[test]
    fn an_expired_plan_has_no_time_left() {
        let target = TargetRef {
            name: "cart".into(),
            backend: "recorder".into(),
            kind: "".into(),
            api_version: "".into(),
            namespace: "".into(),
            object: "cart".into(),
        };
        let plan = ScalingPlan {
            decision_id: 7,
            target,
            action: replicas(1, 2),
            revision: "5".to_owned(),
            uid: String::new(),
            expires: Timestamp::from_secs(60),
            summary: String::new(),
        };
        assert_eq!(Guard::of(&plan, Timestamp::from_secs(20)).ttl, Duration::from_secs(40));
        assert_eq!(Guard::of(&plan, Timestamp::from_secs(61)).ttl, Duration::ZERO);
    }
}

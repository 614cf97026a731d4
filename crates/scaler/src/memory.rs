//! What the scaler remembers: the last actions on a target, and which non-decisions it has recorded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spanwise_model::{Axis, Decision, Finding, Outcome, Reason, Timestamp};

use crate::limits::STEP_WINDOW_NS;

/// A non-decision that goes on is recorded again after this long, so that a long incident stays
/// visible without filling the record.
const REPEAT_NS: u64 = 600 * 1_000_000_000;
/// Steps remembered for the step cap. A target acts at most once a second.
const STEPS_MAX: usize = 64;

/// What is remembered of one target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Findings not decided yet; one per axis and rule, the latest.
    pub(crate) pending: BTreeMap<(Axis, Arc<str>), Finding>,
    /// When an action was last decided, or recommended; of either axis.
    pub(crate) acted_at: Option<Timestamp>,
    /// Our own steps within the step window, oldest first.
    steps: VecDeque<Step>,
    /// The decision under way.
    pub(crate) in_flight: Option<u64>,
    /// Replicas as last observed or set.
    pub(crate) desired: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at: Timestamp,
    from: u32,
}

/// Which non-decisions were recorded, so that each state is recorded once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeats {
    /// Bounded by targets and rules, which name all keys.
    last: BTreeMap<(Arc<str>, Axis, Reason), Recorded>,
}

#[derive(Clone, Debug)]
struct Recorded {
    at: Timestamp,
    figures: (Option<u64>, Option<u64>),
    rule: Option<Arc<str>>,
}

impl Memory {
    /// Replicas at the beginning of the step window: what the first of our steps in it began with,
    /// else the current ones.
    pub(crate) fn base(&mut self, current: u32, now: Timestamp) -> u32 {
        while self.steps.front().is_some_and(|step| now.since(step.at) >= STEP_WINDOW_NS) {
            self.steps.pop_front();
        }
        self.steps.front().map_or(current, |step| step.from.min(current))
    }

    /// Remembers a step.
    pub(crate) fn stepped(&mut self, from: u32, at: Timestamp) {
        if self.steps.len() == STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { at, from });
    }

    /// Forgets the newest step, which was not carried out.
    pub(crate) fn unstep(&mut self) {
        self.steps.pop_back();
    }
}

impl Repeats {
    /// Whether a non-decision is new: never recorded, other figures or another rule than last time,
    /// or recorded ten minutes ago. Remembers it if so.
    pub(crate) fn is_new(&mut self, decision: &Decision) -> bool {
        let key = (Arc::clone(&decision.target.name), decision.axis, decision.reason);
        let now = Recorded {
            at: decision.at,
            figures: (decision.from, decision.to),
            rule: decision.rules.first().map(|rule| Arc::clone(&rule.name)),
        };
        let known = self.last.get(&key).is_some_and(|last| {
            last.figures == now.figures
                && last.rule == now.rule
                && decision.at.since(last.at) < REPEAT_NS
        });
        if !known {
            self.last.insert(key, now);
        }
        !known
    }

    /// A target was acted on: whatever holds it back from here on is a new state.
    pub(crate) fn clear(&mut self, target: &Arc<str>) {
        self.last.retain(|(name, ..), _| name != target);
    }
}

/// Whether a record counts as an action when cooldowns are carried over a restart: it was carried
/// out, recommended, or may have been carried out.
pub(crate) fn was_action(decision: &Decision) -> bool {
    !decision.target.backend.is_empty() && decision.outcome != Outcome::Suppressed
}

//! Conflation: redundant scaling actions folded into one (SCALE III-F).
//!
//! Key is (target, axis). What rules ask for relatively becomes absolute against the *observed*
//! state first, so that folding the same finding twice changes nothing: `+1` and `+2` at 3 replicas
//! are 4 and 5, not 6. Ups fold to their maximum; nothing here ever goes down. The folded action
//! keeps every rule. Folding is idempotent, commutative and associative, hence independent of the
//! order in which findings arrive.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{Axis, Finding, Observed, RuleRef, WantedAction};

/// What one finding asks for, in absolute figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Replicas wanted, or CPU wanted in millicores.
    pub to: Option<u64>,
    /// Memory wanted in bytes (vertical only).
    pub memory_bytes: Option<u64>,
    /// The finding.
    pub finding: Finding,
}

/// Findings on one target and axis, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conflated {
    /// By rule name; of two findings of one rule the one that asks for more, then the later.
    parts: BTreeMap<Arc<str>, Part>,
}

/// The axis of an action; `None` for an alert.
pub(crate) fn axis(action: &WantedAction) -> Option<Axis> {
    match action {
        WantedAction::ReplicasBy { .. } | WantedAction::ReplicasTo { .. } => Some(Axis::Horizontal),
        WantedAction::Vertical { .. } => Some(Axis::Vertical),
        WantedAction::Alert { .. } => None,
    }
}

/// Turns a finding into absolute figures. `None` if it asks for a percentage of resources that the
/// backend does not tell, or is an alert.
pub fn absolute(finding: Finding, observed: &Observed) -> Option<Part> {
    let (to, memory_bytes) = match &finding.action {
        WantedAction::ReplicasBy { by, .. } => {
            (Some(u64::from(observed.desired) + u64::from(*by)), None)
        }
        WantedAction::ReplicasTo { to, .. } => (Some(u64::from(*to)), None),
        WantedAction::Vertical {
            cpu_percent, cpu_millis, memory_percent, memory_bytes, ..
        } => {
            let resources = &observed.resources;
            let cpu = resource(*cpu_percent, *cpu_millis, resources.cpu_millis)?;
            let memory = resource(*memory_percent, *memory_bytes, resources.memory_bytes)?;
            (cpu, memory)
        }
        WantedAction::Alert { .. } => return None,
    };
    Some(Part { to, memory_bytes, finding })
}

/// One resource in absolute figures: `Some(None)` if it is not asked for, `None` if it cannot be
/// told.
#[expect(clippy::option_option, reason = "not asked for and not known are two answers")]
fn resource(percent: Option<u32>, fixed: Option<u64>, known: Option<u64>) -> Option<Option<u64>> {
    match (percent, fixed) {
        (Some(percent), _) => {
            let wanted = u128::from(known?) * (100 + u128::from(percent)) / 100;
            Some(Some(u64::try_from(wanted).unwrap_or(u64::MAX)))
        }
        (None, fixed) => Some(fixed),
    }
}

impl Conflated {
    /// Folds one more finding in.
    pub fn add(&mut self, part: Part) {
        let name = &part.finding.rule.name;
        let keeps = self.parts.get(name).is_some_and(|current| current.key() >= part.key());
        if !keeps {
            self.parts.insert(Arc::clone(name), part);
        }
    }

    /// Folds another folded action in.
    pub fn merge(&mut self, other: Self) {
        for part in other.parts.into_values() {
            self.add(part);
        }
    }

    /// Whether nothing was folded.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The most that is asked for: replicas, or CPU in millicores.
    pub fn to(&self) -> Option<u64> {
        self.parts.values().filter_map(|part| part.to).max()
    }

    /// The most memory that is asked for, in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.parts.values().filter_map(|part| part.memory_bytes).max()
    }

    /// The part that asks for most; of several the one whose rule comes first by name.
    pub fn decisive(&self) -> Option<&Part> {
        let more = |a: &&Part, b: &&Part| {
            (a.to, a.memory_bytes).cmp(&(b.to, b.memory_bytes)).then_with(|| {
                // `max_by` keeps the last of equals; the first by name is wanted.
                b.finding.rule.name.cmp(&a.finding.rule.name)
            })
        };
        self.parts.values().max_by(more)
    }

    /// The longest window of its rules in nanoseconds.
    pub(crate) fn window_ns(&self) -> u64 {
        self.parts.values().map(|part| part.finding.condition.window_ns).max().unwrap_or(0)
    }

    /// Every rule, the decisive one first, then by name.
    pub fn rules(&self) -> Vec<RuleRef> {
        let first = self.decisive().map(|part| part.finding.rule.clone());
        let others = self.parts.values().map(|part| &part.finding.rule);
        let others = others.filter(|rule| Some(*rule) != first.as_ref()).cloned().collect();
        first.into_iter().chain::<Vec<RuleRef>>(others).collect()
    }

    /// The findings, by rule name.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.parts.values().map(|part| &part.finding)
    }
}

impl Part {
    /// Orders findings of one rule. The bits of the count break ties between findings that ask for
    /// the same at the same time, so that the order is total.
    fn key(&self) -> (Option<u64>, Option<u64>, u64, u64) {
        let finding = &self.finding;
        (self.to, self.memory_bytes, finding.at.0, finding.condition.observed.to_bits())
    }
}

#[cfg(test)]
mod tests;

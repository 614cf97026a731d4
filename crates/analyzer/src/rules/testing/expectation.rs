//! What a test expected, against what was decided.

use spanwise_model::{Axis, Decision, Outcome, Reason, Timestamp};

use super::{Expectation, RESOURCES, START, TestCase};
use crate::rules::config::{ActionConfig, CpuChange, MemoryChange};

/// The result of one expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether it was met.
    pub passed: bool,
    /// What was expected, as text.
    pub expected: String,
    /// What was decided about the same target until then, as text.
    pub actual: String,
}

/// Compares every expectation of a test with the decisions taken while it was played. `decisions`
/// holds each id once, with its final outcome, in order of time.
pub fn evaluate(case: &TestCase, decisions: &[Decision]) -> Vec<Evaluation> {
    // Expectations for the same time look at the same decisions.
    let (mut from, mut until) = (None, START);
    let mut evaluations = Vec::with_capacity(case.expect.len());
    for expectation in &case.expect {
        let at = START.plus_ns(expectation.at.0);
        if at > until {
            from = (until > START).then_some(until);
            until = at;
        }
        evaluations.push(expectation.evaluate(from, until, decisions));
    }
    evaluations
}

/// Whether a text is a reason code.
pub(super) fn is_reason(text: &str) -> bool {
    Reason::from_name(text).is_some()
}

impl Expectation {
    fn evaluate(
        &self,
        from: Option<Timestamp>,
        until: Timestamp,
        decisions: &[Decision],
    ) -> Evaluation {
        let target = self.target();
        let mine = |d: &&Decision| *d.target.name == *target && d.at <= until;
        let all: Vec<&Decision> = decisions.iter().filter(mine).collect();
        let recent: Vec<&Decision> =
            all.iter().copied().filter(|d| from.is_none_or(|from| d.at > from)).collect();
        let passed = match &self.action {
            Some(action) => recent.iter().any(|d| is_done(d) && does(action, d) && self.because(d)),
            None => !recent.iter().any(|d| is_done(d)) && self.held_because(&all),
        };
        let shown = if self.action.is_some() || recent.iter().any(|d| is_done(d)) {
            recent
        } else {
            since_last_action(&all).to_vec()
        };
        Evaluation { passed, expected: self.describe(), actual: describe_all(target, &shown) }
    }

    /// The name of the target or alert it is about.
    pub fn target(&self) -> &str {
        let action = self.action.as_ref();
        let named = action
            .and_then(|a| a.scale.as_deref().or(a.vertical.as_deref()).or(a.alert.as_deref()));
        named.or(self.none.as_deref()).unwrap_or_default()
    }

    fn because(&self, decision: &Decision) -> bool {
        self.reason.as_deref().is_none_or(|reason| reason == decision.reason.as_str())
    }

    /// Whether some non-decision since the last action has the expected reason, if one is given.
    fn held_because(&self, all: &[&Decision]) -> bool {
        self.reason.is_none() || since_last_action(all).iter().any(|d| self.because(d))
    }

    fn describe(&self) -> String {
        let at = format!("by {}", self.at);
        let reason = self.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        match &self.action {
            Some(action) => format!("{at}: {}{reason}", describe_action(action)),
            None => format!("{at}: nothing done for {}{reason}", self.target()),
        }
    }
}

/// Decided, and not held back.
fn is_done(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Acted | Outcome::Recommended)
}

fn since_last_action<'a, 'd>(all: &'a [&'d Decision]) -> &'a [&'d Decision] {
    let start = all.iter().rposition(|d| is_done(d)).map_or(0, |idx| idx + 1);
    &all[start..]
}

/// Whether a decision does what the test says.
fn does(action: &ActionConfig, decision: &Decision) -> bool {
    if action.alert.is_some() {
        return decision.target.backend.is_empty();
    }
    let same = |wanted: Option<u64>, decided: Option<u64>| wanted.is_none() || wanted == decided;
    if action.vertical.is_some() {
        let (cpu, memory) = resources(action);
        return decision.axis == Axis::Vertical
            && same(cpu, decision.to)
            && same(memory, decision.memory_bytes);
    }
    let added = match (decision.from, decision.to) {
        (Some(from), Some(to)) => to.checked_sub(from),
        _ => None,
    };
    let wanted = |amount: Option<i64>| amount.and_then(|n| u64::try_from(n).ok());
    decision.axis == Axis::Horizontal
        && same(wanted(action.by), added)
        && same(wanted(action.to), decision.to)
}

/// CPU and memory a vertical action leads to on the resources of a test target.
fn resources(action: &ActionConfig) -> (Option<u64>, Option<u64>) {
    let plus = |base: Option<u64>, percent: u32| {
        base.map(|base| base.saturating_mul(100 + u64::from(percent)) / 100)
    };
    let cpu = action.cpu.and_then(|change| match change {
        CpuChange::Percent(percent) => plus(RESOURCES.cpu_millis, percent),
        CpuChange::Millis(millis) => Some(millis),
    });
    let memory = action.memory.and_then(|change| match change {
        MemoryChange::Percent(percent) => plus(RESOURCES.memory_bytes, percent),
        MemoryChange::Bytes(bytes) => Some(bytes),
    });
    (cpu, memory)
}

fn describe_action(action: &ActionConfig) -> String {
    if let Some(target) = &action.scale {
        return match (action.by, action.to) {
            (Some(by), _) => format!("scale {target} by {by}"),
            (None, to) => format!("scale {target} to {}", to.unwrap_or_default()),
        };
    }
    if let Some(name) = &action.alert {
        return format!("alert {name}");
    }
    let mut text = format!("vertical {}", action.vertical.as_deref().unwrap_or_default());
    if let Some(cpu) = action.cpu {
        text.push_str(" cpu ");
        text.push_str(&cpu.to_string());
    }
    if let Some(memory) = action.memory {
        text.push_str(" memory ");
        text.push_str(&memory.to_string());
    }
    text
}

fn describe_all(target: &str, decisions: &[&Decision]) -> String {
    if decisions.is_empty() {
        return format!("no decision about {target}");
    }
    let lines = decisions.iter().map(|d| {
        let at_s = d.at.since(START) as f64 / 1e9;
        format!("{at_s}s {} ({}): {}", d.outcome.as_str(), d.reason.as_str(), d.summary)
    });
    lines.collect::<Vec<_>>().join("; ")
}

//! Unit tests for rules, without clock, network or orchestrator: the `tests:` of a configuration,
//! the spans they describe, and the comparison of what was expected with what was decided.
//!
//! [`Stream`] plays the spans of a test into [`Predicates`](super::Predicates) in virtual time;
//! the application drives windows and scaler with it, as `serve` does, and hands the decisions to
//! [`evaluate`]. Spans are given as they look after their trace closed: self time and gap are
//! stated, not derived, and there is no delay for closing.

mod expectation;
mod stream;

use std::collections::BTreeMap;

pub use expectation::{Evaluation, evaluate};
use serde::{Deserialize, Serialize};
use spanwise_model::{
    MAX_DURATION_NS, Mode, Problem, Resources, Severity, SpanKind, Timestamp, WantedAction,
};
pub use stream::Stream;

use super::compile::{KnownTarget, Rule, RuleSet};
use super::config::{ActionConfig, AttributeValue, kind};
use crate::units::DurationNs;

/// When a test begins: any whole second works, this one is easy to recognise.
pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Virtual time between two evaluations.
pub const TICK_NS: u64 = 250_000_000;
/// Resources of one replica of every target in a test.
pub const RESOURCES: Resources =
    Resources { cpu_millis: Some(1_000), memory_bytes: Some(512 << 20) };
/// Most spans of one test.
pub const SPANS_MAX: u64 = 100_000;
/// Longest test in virtual time.
pub const LENGTH_NS_MAX: u64 = 24 * 3_600 * 1_000_000_000;

/// One test: spans that are sent, and what must have been decided by when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it shows, as a sentence.
    pub name: String,
    /// Spans, all patterns at once.
    pub spans: Vec<SpanPattern>,
    /// What is expected, in order of time.
    pub expect: Vec<Expectation>,
    /// Mode the targets are in. Default `recommend`, where the quorum is not asked for.
    #[serde(default)]
    pub mode: TestMode,
    /// Replicas targets have at the start. Default: the target's `min`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<String, u32>,
}

/// Mode of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestMode {
    /// Decisions are published, replicas stay as they are.
    #[default]
    Recommend,
    /// Decisions are carried out on a target that lives in memory; the quorum is asked for.
    Act,
}

/// Equal spans at equal distances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanPattern {
    /// Service.
    pub service: String,
    /// Operation, folded like any span name.
    pub operation: String,
    /// Duration of each span.
    pub duration: DurationNs,
    /// Distance between starts, above 0.
    pub every: DurationNs,
    /// How long spans start: `every: 1s, for: 12s` makes 12 spans, the first at `start`.
    #[serde(rename = "for")]
    pub length: DurationNs,
    /// When the first span starts. Default 0s.
    #[serde(default)]
    pub start: DurationNs,
    /// Share of the duration that is own work, 0 to 1. Default 1.
    #[serde(default = "one")]
    pub self_share: f64,
    /// What the caller waited beyond the duration. Default 0s.
    #[serde(default)]
    pub gap: DurationNs,
    /// Span kind. Default `server`.
    #[serde(default = "server", with = "kind")]
    pub kind: Option<SpanKind>,
    /// Status. Default `unset`.
    #[serde(default)]
    pub status: SpanStatus,
    /// Instance the spans come from. Default: none is named.
    #[serde(default)]
    pub instance: String,
    /// Attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeValue>,
    /// Whether the sampler keeps them; only rules with `count_on: sampled` ask. Default true.
    #[serde(default = "yes")]
    pub sampled: bool,
}

/// Status of a span in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// Not set.
    #[default]
    Unset,
    /// Successful.
    Ok,
    /// Failed.
    Error,
}

/// What must have been decided since the expectation before, by a point in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// Time since the start of the test.
    pub at: DurationNs,
    /// This action was decided.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionConfig>,
    /// No action was decided for this target (or alert).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
    /// The reason code of the decision; with `none`, of a non-decision since the last action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl TestMode {
    /// The mode of the scaler.
    pub const fn mode(self) -> Mode {
        match self {
            Self::Recommend => Mode::Recommend,
            Self::Act => Mode::Act,
        }
    }
}

impl TestCase {
    /// Everything that is wrong with the test. `path` is where it stands, such as `tests[0]`;
    /// `rules` and `targets` are what it may name. A test with problems must not be played.
    pub fn check(&self, path: &str, rules: &RuleSet, targets: &[KnownTarget]) -> Vec<Problem> {
        let is_target = |name: &str| targets.iter().any(|target| *target.name == *name);
        let is_alert = |name: &str| {
            let alert = |rule: &Rule| matches!(&rule.action, WantedAction::Alert { name: alert } if **alert == *name);
            rules.rules().iter().any(alert)
        };
        let mut problems = Vec::new();
        let mut add = |code, suffix: String, message: &str, fix: &str| {
            let path = format!("{path}{suffix}");
            let (message, fix) = (message.to_owned(), fix.to_owned());
            problems.push(Problem { path, code, severity: Severity::Error, message, fix });
        };
        for (idx, pattern) in self.spans.iter().enumerate() {
            let at = format!(".spans[{idx}]");
            if pattern.every.0 == 0 {
                add("T001", format!("{at}.every"), "spans 0s apart never end", "write every: 1s");
            }
            if pattern.duration.0 > MAX_DURATION_NS {
                let message = "spans longer than 24h are never judged";
                add("T002", format!("{at}.duration"), message, "write a duration such as 120ms");
            }
            if !(0.0..=1.0).contains(&pattern.self_share) {
                let message = "self_share is not from 0 to 1";
                add("T003", format!("{at}.self_share"), message, "write a share such as 0.9");
            }
            if pattern.end_ns() > LENGTH_NS_MAX {
                let message = "the test would last more than 24h";
                add("T004", at, message, "shorten start, for or duration");
            }
        }
        if self.n_spans() > SPANS_MAX {
            let message = "more than 100,000 spans";
            add("T005", ".spans".to_owned(), message, "shorten for, or lengthen every");
        }
        let mut previous = DurationNs(0);
        for (idx, expectation) in self.expect.iter().enumerate() {
            let at = format!(".expect[{idx}]");
            if expectation.at < previous || expectation.at.0 > LENGTH_NS_MAX {
                let message = "expectations are not in order of time, within 24h";
                add("T006", format!("{at}.at"), message, "sort them by at");
            }
            previous = expectation.at;
            let name = expectation.target();
            if let Some((message, fix)) = expectation.fault() {
                add("T007", at, message, fix);
            } else if !is_target(name) && !is_alert(name) {
                let message = "names neither a target nor an alert of a rule";
                add("T008", at, message, "write the service of a target, or the name of an alert");
            }
        }
        for name in self.replicas.keys().filter(|name| !is_target(name)) {
            let message = "replicas of a target that is not configured";
            add("T008", format!(".replicas.{name}"), message, "write the service of a target");
        }
        problems
    }

    /// When the test ends: the last expectation.
    pub fn length_ns(&self) -> u64 {
        self.expect.iter().map(|expectation| expectation.at.0).max().unwrap_or(0)
    }

    fn n_spans(&self) -> u64 {
        let counts = self.spans.iter().map(SpanPattern::n_spans);
        counts.fold(0, u64::saturating_add)
    }
}

impl SpanPattern {
    /// Number of spans; 0 if `every` is 0, which is a problem anyway.
    fn n_spans(&self) -> u64 {
        self.length.0.checked_div(self.every.0).unwrap_or(0)
            + u64::from(self.every.0 != 0 && !self.length.0.is_multiple_of(self.every.0))
    }

    fn end_ns(&self) -> u64 {
        self.start.0.saturating_add(self.length.0).saturating_add(self.duration.0)
    }
}

impl Expectation {
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        if self.action.is_some() == self.none.is_some() {
            return Some((
                "needs exactly one of do and none",
                "write do: {scale: T, by: 1}, or none: T",
            ));
        }
        let Some(action) = &self.action else {
            let known = self.reason.as_deref().is_none_or(expectation::is_reason);
            return (!known).then_some(("unknown reason", "use a code of docs/reasons.md"));
        };
        let named = [&action.scale, &action.vertical, &action.alert];
        let n_named = named.iter().filter(|name| name.is_some()).count();
        let horizontal = action.by.is_some() != action.to.is_some();
        let vertical = action.cpu.is_some() || action.memory.is_some();
        if n_named != 1
            || (action.scale.is_some() && !horizontal)
            || (action.vertical.is_some() && !vertical)
        {
            return Some(("do is not one action", "write it as in the rule"));
        }
        let known = self.reason.as_deref().is_none_or(expectation::is_reason);
        (!known).then_some(("unknown reason", "use a code of docs/reasons.md"))
    }
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field, whose codec rules share")]
const fn server() -> Option<SpanKind> {
    Some(SpanKind::Server)
}

#[cfg(test)]
mod tests;

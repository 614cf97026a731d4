//! Fills in the record of a decision: figures, reason, and one sentence a person understands.

use std::sync::Arc;

use spanwise_model::{
    Axis, Bound, Decision, Direction, Finding, Mode, Outcome, Reason, TargetRef, Timestamp, TraceId,
};

use crate::refusal::Refusal;
use crate::text;

/// Example traces of a record.
const TRACES_MAX: usize = 5;

/// The record of a finding before anything is decided: no figures, held.
pub(crate) fn draft(
    finding: &Finding,
    target: TargetRef,
    axis: Axis,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    Decision {
        id: 0,
        at: now,
        target,
        axis,
        direction: Direction::Hold,
        from: None,
        to: None,
        memory_bytes: None,
        mode,
        outcome: Outcome::Suppressed,
        reason: Reason::ThresholdBreached,
        summary: String::new(),
        rules: vec![finding.rule.clone()],
        condition: finding.condition.clone(),
        call_site: finding.call_site.clone(),
        bounds: Vec::new(),
        trace_ids: finding.trace_ids.iter().copied().take(TRACES_MAX).collect(),
        orchestrator: None,
    }
}

/// Adds traces of further findings, up to five in all.
pub(crate) fn add_traces(decision: &mut Decision, trace_ids: &[TraceId]) {
    for &trace_id in trace_ids {
        if decision.trace_ids.len() < TRACES_MAX && !decision.trace_ids.contains(&trace_id) {
            decision.trace_ids.push(trace_id);
        }
    }
}

/// A target by name only: an alert, or a name nothing is configured for.
pub(crate) fn bare_target(name: &Arc<str>) -> TargetRef {
    let none: Arc<str> = Arc::from("");
    TargetRef {
        name: Arc::clone(name),
        backend: Arc::clone(&none),
        kind: Arc::clone(&none),
        api_version: Arc::clone(&none),
        namespace: Arc::clone(&none),
        object: none,
    }
}

/// The bound of a rule that rests.
pub(crate) fn resting(finding: &Finding) -> Bound {
    let detail = format!("rule {} fired already and rests", finding.rule.name);
    Bound { reason: Reason::Cooldown, detail }
}

/// Completes a record that holds the target back.
pub(crate) fn held(decision: &mut Decision, bound: Bound) {
    decision.outcome = Outcome::Suppressed;
    decision.reason = bound.reason;
    let Decision { axis, from, to, memory_bytes, .. } = *decision;
    let wanted = if decision.direction == Direction::Up {
        format!(" (wanted: {})", text::amount(axis, to, memory_bytes))
    } else {
        String::new()
    };
    let now = match from {
        Some(_) => format!("stays at {}", text::amount(axis, from, None)),
        None => "stays as it is".to_owned(),
    };
    decision.summary = format!(
        "{} {now}{wanted}: {}; {}",
        decision.target.name,
        bound.detail,
        text::because(decision)
    );
    decision.bounds.push(bound);
}

/// Completes a record of something that is done, or recommended.
pub(crate) fn wanted(decision: &mut Decision) {
    let Decision { axis, from, to, memory_bytes, .. } = *decision;
    decision.outcome = Outcome::Recommended;
    decision.reason = match axis {
        Axis::Horizontal => Reason::LoadBound,
        Axis::Vertical => Reason::ResourceBound,
    };
    let name = &decision.target.name;
    let what = match (axis, from) {
        (Axis::Horizontal, from) => format!(
            "scale {name} from {} to {}",
            from.unwrap_or_default(),
            text::amount(axis, to, None)
        ),
        (Axis::Vertical, _) => {
            format!("give each replica of {name} {}", text::amount(axis, to, memory_bytes))
        }
    };
    decision.summary = format!("{what}: {}", text::because(decision));
}

/// Completes the record of an alert.
pub(crate) fn alert(decision: &mut Decision) {
    decision.outcome = Outcome::Recommended;
    decision.reason = Reason::ThresholdBreached;
    decision.summary = format!("alert {}: {}", decision.target.name, text::because(decision));
}

/// Amends a record with what became of its plan.
pub(crate) fn close(decision: &mut Decision, result: Result<String, Refusal>) {
    let (outcome, reason, note, prefix) = match result {
        Ok(note) => (Outcome::Acted, decision.reason, note, None),
        Err(Refusal::Conflict(note)) => (
            Outcome::Failed,
            Reason::OrchestratorError,
            note,
            Some("not done, the target changed meanwhile"),
        ),
        Err(Refusal::Owned(note)) => (
            Outcome::Suppressed,
            Reason::OtherControllerOwns,
            note,
            Some("not done, somebody else scales it"),
        ),
        Err(Refusal::Paused(note)) => {
            (Outcome::Suppressed, Reason::Paused, note, Some("not done, scaling is paused"))
        }
        Err(Refusal::Unsupported(note)) => (
            Outcome::Suppressed,
            Reason::OrchestratorError,
            note,
            Some("not done, the backend does not support it"),
        ),
        Err(Refusal::Failed(note)) => {
            (Outcome::Failed, Reason::OrchestratorError, note, Some("failed"))
        }
    };
    decision.outcome = outcome;
    decision.reason = reason;
    if let Some(prefix) = prefix {
        decision.summary = format!("{prefix}: {}", decision.summary);
        decision.bounds.push(Bound { reason, detail: note.clone() });
    }
    decision.orchestrator = Some(note);
}

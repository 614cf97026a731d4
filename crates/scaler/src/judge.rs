//! Judges what is pending on one axis of a target: folds it, bounds it, or says why not. Pure.

use std::sync::Arc;

use spanwise_model::{Axis, Bound, Decision, Direction, Finding, Mode, Reason, ScaleAction};

use crate::config::DECISION_TTL_NS;
use crate::conflate::{Conflated, absolute};
use crate::facts::{Evidence, Facts};
use crate::guards;
use crate::limits;
use crate::record;
use crate::text;

const NS_PER_S: u64 = 1_000_000_000;

/// An action within all bounds, and its record so far.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) draft: Decision,
    pub(crate) action: ScaleAction,
    pub(crate) evidence: Evidence,
}

/// A target that is held, and its record so far.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) draft: Decision,
    pub(crate) bound: Bound,
}

/// What findings come to.
#[derive(Debug, Default)]
struct Folded {
    /// Those that may be acted on in this mode.
    action: Conflated,
    /// Those that lack the quorum `act` asks for.
    short: Conflated,
    notes: Vec<Bound>,
}

/// Judges findings on one axis; `None` if there are none.
pub(crate) fn judge(
    facts: &Facts<'_>,
    axis: Axis,
    findings: Vec<Finding>,
) -> Option<Result<Box<Judged>, Box<Held>>> {
    let first = findings.first()?;
    let Facts { target, mode, now, .. } = *facts;
    let mut draft = record::draft(first, target.reference.clone(), axis, mode, now);
    draft.from = match axis {
        Axis::Horizontal => Some(u64::from(facts.observed.desired)),
        Axis::Vertical => facts.observed.resources.cpu_millis,
    };
    draft.rules = findings.iter().map(|finding| finding.rule.clone()).collect();
    let rest = guards::cooldown(facts.acted_at, target.cooldown_ns, now);
    if let Some(bound) = guards::observed(facts.observed).or(rest) {
        return Some(Err(Box::new(Held { draft, bound })));
    }
    Some(weigh(draft, fold(findings, facts), facts))
}

/// Bounds what was folded.
fn weigh(mut draft: Decision, folded: Folded, facts: &Facts<'_>) -> Result<Box<Judged>, Box<Held>> {
    let Folded { action: folded, short, mut notes } = folded;
    let Some(decisive) = folded.decisive() else {
        show(&mut draft, &short);
        // Without an action there is at least one note that says why.
        let unknown = Bound { reason: Reason::InsufficientData, detail: String::new() };
        let bound = notes.pop().unwrap_or(unknown);
        draft.bounds = notes;
        return Err(Box::new(Held { draft, bound }));
    };
    let evidence = Evidence { at: decisive.finding.at, window_ns: folded.window_ns() };
    show(&mut draft, &folded);
    draft.bounds = notes;
    let action = match bounded(&folded, facts, &mut draft) {
        Ok(action) => action,
        Err(bound) => return Err(Box::new(Held { draft, bound })),
    };
    if facts.mode == Mode::Act
        && let Some(bound) = guards::starting(facts.started, evidence.window_ns, facts.now)
    {
        return Err(Box::new(Held { draft, bound }));
    }
    Ok(Box::new(Judged { draft, action, evidence }))
}

/// Makes findings absolute and folds them. Findings that waited too long are left out. In `act` those without a quorum are left out; otherwise
/// they are folded in and the record says that `act` would need more.
fn fold(findings: Vec<Finding>, facts: &Facts<'_>) -> Folded {
    let mut folded = Folded::default();
    for finding in findings {
        let name = Arc::clone(&finding.rule.name);
        let age_ns = facts.now.since(finding.at);
        if age_ns > DECISION_TTL_NS {
            let detail = format!(
                "rule {name} fired {} ago, longer than {}",
                text::duration(age_ns / NS_PER_S * NS_PER_S),
                text::duration(DECISION_TTL_NS)
            );
            folded.notes.push(Bound { reason: Reason::InsufficientData, detail });
            continue;
        }
        let shortfall = finding.shortfall.as_ref().map(|short| short.detail.clone());
        let Some(part) = absolute(finding, facts.observed) else {
            let detail =
                format!("rule {name} asks for a percentage of resources the backend does not tell");
            folded.notes.push(Bound { reason: Reason::InsufficientData, detail });
            continue;
        };
        let Some(detail) = shortfall else {
            folded.action.add(part);
            continue;
        };
        if facts.mode == Mode::Act {
            let detail = format!("rule {name} lacks evidence to act: {detail}");
            folded.notes.push(Bound { reason: Reason::InsufficientData, detail });
            folded.short.add(part);
        } else {
            let detail = format!("to act, rule {name} would need more evidence: {detail}");
            folded.notes.push(Bound { reason: Reason::InsufficientData, detail });
            folded.action.add(part);
        }
    }
    folded
}

/// Puts what is wanted into the record: figures, rules, condition and traces.
fn show(draft: &mut Decision, wanted: &Conflated) {
    let Some(decisive) = wanted.decisive() else {
        return;
    };
    draft.condition = decisive.finding.condition.clone();
    draft.call_site = decisive.finding.call_site.clone();
    draft.rules = wanted.rules();
    draft.to = wanted.to();
    draft.memory_bytes = wanted.memory_bytes();
    let grows = draft.to > draft.from || draft.memory_bytes.is_some();
    draft.direction = if grows { Direction::Up } else { Direction::Hold };
    draft.trace_ids.clear();
    record::add_traces(draft, &decisive.finding.trace_ids);
    for finding in wanted.findings() {
        record::add_traces(draft, &finding.trace_ids);
    }
}

/// The action within all bounds, or the bound that leaves nothing of it.
fn bounded(
    wanted: &Conflated,
    facts: &Facts<'_>,
    draft: &mut Decision,
) -> Result<ScaleAction, Bound> {
    if draft.axis == Axis::Vertical {
        let limited = limits::resources(wanted, facts.observed);
        draft.bounds.extend(limited.bounds);
        draft.to = limited.to.cpu_millis;
        draft.memory_bytes = limited.to.memory_bytes;
        if let Some(held) = limited.held {
            draft.direction = Direction::Hold;
            return Err(held);
        }
        draft.direction = Direction::Up;
        let limits::Sizes { cpu_millis, memory_bytes } = limited.to;
        return Ok(ScaleAction::SetResources { cpu_millis, memory_bytes });
    }
    let from = facts.observed.desired;
    let asked = wanted.to().unwrap_or(u64::from(from));
    let limited = limits::replicas(asked, from, facts.target, facts.room);
    draft.bounds.extend(limited.bounds);
    if let Some(held) = limited.held {
        return Err(held);
    }
    draft.to = Some(u64::from(limited.to));
    Ok(ScaleAction::SetReplicas { from, to: limited.to })
}

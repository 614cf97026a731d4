//! The scaler: findings in, decisions out, and in `act` the plans that carry them out.
//!
//! Synchronous. [`Scaler::push`] takes findings; [`Scaler::pending`] names the targets whose state
//! must be observed; [`Scaler::decide`] folds what is pending on a target, bounds it, and says what
//! becomes of it; [`Scaler::applied`] closes the record with what the orchestrator said. Each
//! decision and each non-decision is a record with its reason; a non-decision that merely goes on is
//! recorded once per state, again after ten minutes, and again after an action.
//!
//! In `act` a decision is recorded before its plan is carried out, as `recommended`: that is the
//! intent, which a crash may leave behind. [`Scaler::applied`] returns the same record with what
//! became of it.
//!
//! What is absent: scaling down, and scaling to zero. Missing data holds the current value.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{
    Axis, Bound, Decision, Finding, Mode, Observed, Reason, ScalingPlan, TargetRef, Timestamp,
};

use crate::config::{Config, DECISION_TTL_NS, Target};
use crate::conflate::axis;
use crate::facts::Facts;
use crate::guards;
use crate::invariants;
use crate::judge::{Judged, judge};
use crate::limits::Room;
use crate::memory::{Memory, Repeats, was_action};
use crate::record;
use crate::refusal::Refusal;

/// The state machine. Bounded: per target at most one finding per rule and axis and one decision
/// under way.
#[derive(Clone, Debug)]
pub struct Scaler {
    config: Config,
    started: Timestamp,
    next_id: u64,
    /// In the order of the configured targets.
    targets: Vec<Memory>,
    in_flight: BTreeMap<u64, InFlight>,
    repeats: Repeats,
    stats: Stats,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Findings taken.
    pub n_findings: u64,
    /// Records written.
    pub n_decisions: u64,
    /// Non-decisions that were not recorded because the same one was.
    pub n_repeats: u64,
    /// Plans handed out.
    pub n_plans: u64,
    /// Plans refused because they would have broken an invariant: each is a bug.
    pub n_violations: u64,
}

/// Where a target stands, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    /// The target.
    pub target: TargetRef,
    /// Mode in force.
    pub mode: Mode,
    /// Fewest and most replicas.
    pub bounds: (u32, u32),
    /// Replicas as last observed or set.
    pub desired: Option<u32>,
    /// When it was last acted on, or recommended to be.
    pub acted_at: Option<Timestamp>,
    /// How long it still rests, in nanoseconds.
    pub rest_ns: u64,
    /// The decision under way.
    pub in_flight: Option<u64>,
}

#[derive(Clone, Debug)]
struct InFlight {
    decision: Decision,
    target_idx: usize,
    expires: Timestamp,
    /// What to restore if nothing was written.
    acted_before: Option<Timestamp>,
}

impl Scaler {
    /// A scaler that starts at `now`, for a configuration that [`Config::validate`] found no error
    /// in.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let targets = vec![Memory::default(); config.targets.len()];
        Self {
            config,
            started: now,
            next_id: 1,
            targets,
            in_flight: BTreeMap::new(),
            repeats: Repeats::default(),
            stats: Stats::default(),
        }
    }

    /// Carries cooldowns, the step cap and the sequence of ids over a restart. `decisions` are the
    /// records of the process before, oldest first; of several with one id the last counts. A
    /// decision left without an outcome is taken as carried out.
    pub fn restore(&mut self, decisions: &[Decision]) {
        let last: BTreeMap<u64, &Decision> = decisions.iter().map(|d| (d.id, d)).collect();
        for (id, decision) in last {
            self.next_id = self.next_id.max(id.saturating_add(1));
            if !was_action(decision) {
                continue;
            }
            let Some(idx) = self.find(&decision.target.name) else { continue };
            // A clock that was set back must not make a target rest for ever.
            let at = decision.at.min(self.started);
            let memory = &mut self.targets[idx];
            memory.acted_at = memory.acted_at.max(Some(at));
            if let (Axis::Horizontal, Mode::Act, Some(from)) =
                (decision.axis, decision.mode, decision.from)
            {
                memory.stepped(u32::try_from(from).unwrap_or(u32::MAX), at);
            }
        }
    }

    /// Takes a finding. Alerts, resting rules and targets that rest or must not be scaled are
    /// recorded at once; the rest waits for [`Scaler::decide`].
    pub fn push(&mut self, finding: Finding, now: Timestamp, out: &mut Vec<Decision>) {
        self.stats.n_findings += 1;
        let name = finding.action.target();
        let Some(axis) = axis(&finding.action) else {
            self.alert(&finding, now, out);
            return;
        };
        let Some(idx) = self.find(name) else {
            let target = record::bare_target(name);
            let draft = record::draft(&finding, target, axis, self.config.mode, now);
            let detail = "no target of this name is configured".to_owned();
            self.hold(draft, Bound { reason: Reason::OrchestratorError, detail }, out);
            return;
        };
        let target = &self.config.targets[idx];
        let goes_on = if self.config.mode_of(target) == Mode::Act {
            // It did not act for want of evidence, and that has not changed.
            finding.resting && finding.shortfall.is_some()
        } else {
            // It was decided without the evidence that is there now.
            finding.completes
        };
        if goes_on {
            self.stats.n_repeats += 1;
            return;
        }
        let rest = guards::cooldown(self.targets[idx].acted_at, target.cooldown_ns, now);
        let bound = if !target.scalable {
            let detail = "is marked scalable: false".to_owned();
            Some(Bound { reason: Reason::Paused, detail })
        } else if finding.resting {
            Some(record::resting(&finding))
        } else {
            rest
        };
        if let Some(bound) = bound {
            let draft = self.draft(&finding, idx, axis, now);
            self.hold(draft, bound, out);
        } else {
            let key = (axis, Arc::clone(&finding.rule.name));
            self.targets[idx].pending.insert(key, finding);
        }
    }

    /// The targets with findings to decide: observe each, then call [`Scaler::decide`]. A target
    /// with a decision under way waits.
    pub fn pending(&self) -> Vec<TargetRef> {
        let targets = self.config.targets.iter().zip(&self.targets);
        targets
            .filter(|(_, memory)| !memory.pending.is_empty() && memory.in_flight.is_none())
            .map(|(target, _)| target.reference.clone())
            .collect()
    }

    /// Decides everything that is pending on a target, given its state or why it is not known. In
    /// `act` returns the plan to carry out, if any; report what became of it with
    /// [`Scaler::applied`]. At most one action: if both axes are asked for, replicas come first and
    /// the other axis rests.
    pub fn decide(
        &mut self,
        target: &TargetRef,
        observed: Result<&Observed, &str>,
        now: Timestamp,
        out: &mut Vec<Decision>,
    ) -> Option<ScalingPlan> {
        let target_idx = self.find(&target.name)?;
        if self.targets[target_idx].in_flight.is_some() {
            return None;
        }
        let pending = std::mem::take(&mut self.targets[target_idx].pending);
        let (mut horizontal, mut vertical) = (Vec::new(), Vec::new());
        for ((axis, _), finding) in pending {
            match axis {
                Axis::Horizontal => horizontal.push(finding),
                Axis::Vertical => vertical.push(finding),
            }
        }
        let mut plan = None;
        for (axis, findings) in [(Axis::Horizontal, horizontal), (Axis::Vertical, vertical)] {
            match observed {
                Err(why) => self.unobserved(target_idx, &findings, why, now, out),
                Ok(observed) => {
                    let target = self.config.targets[target_idx].clone();
                    let facts = self.facts(target_idx, &target, observed, now);
                    match judge(&facts, axis, findings) {
                        None => {}
                        Some(Err(held)) => self.hold(held.draft, held.bound, out),
                        Some(Ok(judged)) => {
                            let settled = self.settle(*judged, &facts, target_idx, out);
                            plan = plan.or(settled);
                        }
                    }
                }
            }
        }
        plan
    }

    /// Closes the record of a plan: what the orchestrator answered, or why it refused. Returns the
    /// amended decision; `None` if no such plan is under way (it expired).
    pub fn applied(
        &mut self,
        decision_id: u64,
        result: Result<String, Refusal>,
        now: Timestamp,
    ) -> Option<Decision> {
        let InFlight { mut decision, target_idx, acted_before, .. } =
            self.in_flight.remove(&decision_id)?;
        let memory = &mut self.targets[target_idx];
        memory.in_flight = None;
        let nothing_written =
            matches!(result, Err(Refusal::Conflict(_) | Refusal::Owned(_) | Refusal::Paused(_)));
        if nothing_written {
            memory.acted_at = acted_before;
        } else {
            memory.acted_at = memory.acted_at.max(Some(now));
        }
        if decision.axis == Axis::Horizontal {
            match &result {
                Ok(_) => memory.desired = decision.to.and_then(|to| u32::try_from(to).ok()),
                // It may have been written nevertheless.
                Err(Refusal::Failed(_)) => {}
                Err(_) => memory.unstep(),
            }
        }
        record::close(&mut decision, result);
        Some(decision)
    }

    /// Gives up on findings nobody observed a target for, and on plans nobody reported. Call it
    /// about once a second.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Decision>) {
        let late: Vec<u64> = self
            .in_flight
            .iter()
            .filter(|(_, plan)| now > plan.expires)
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            let why = Refusal::Failed("no answer from the orchestrator in time".to_owned());
            out.extend(self.applied(id, Err(why), now));
        }
        for idx in 0..self.targets.len() {
            let memory = &mut self.targets[idx];
            let (old, fresh) = std::mem::take(&mut memory.pending)
                .into_iter()
                .partition(|(_, finding)| now.since(finding.at) > DECISION_TTL_NS);
            memory.pending = fresh;
            let old: Vec<Finding> = BTreeMap::into_values(old).collect();
            self.unobserved(idx, &old, "its state was not observed in time", now, out);
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where every target stands, in the order of the configuration.
    pub fn status(&self, now: Timestamp) -> Vec<TargetStatus> {
        let one = |(target, memory): (&Target, &Memory)| TargetStatus {
            target: target.reference.clone(),
            mode: self.config.mode_of(target),
            bounds: (target.min, target.max),
            desired: memory.desired,
            acted_at: memory.acted_at,
            rest_ns: memory.acted_at.map_or(0, |at| at.plus_ns(target.cooldown_ns).since(now)),
            in_flight: memory.in_flight,
        };
        self.config.targets.iter().zip(&self.targets).map(one).collect()
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.config.targets.iter().position(|target| **target.name() == *name)
    }

    fn draft(&self, finding: &Finding, idx: usize, axis: Axis, now: Timestamp) -> Decision {
        let target = &self.config.targets[idx];
        record::draft(finding, target.reference.clone(), axis, self.config.mode_of(target), now)
    }

    /// Everything a judgement on a target depends on.
    fn facts<'a>(
        &mut self,
        idx: usize,
        target: &'a Target,
        observed: &'a Observed,
        now: Timestamp,
    ) -> Facts<'a> {
        self.targets[idx].desired = Some(observed.desired);
        let configured = &self.config.targets;
        let all: u64 = configured.iter().map(|target| u64::from(target.max)).sum();
        let others: u64 = (self.targets.iter().enumerate())
            .filter(|&(other, _)| other != idx)
            .map(|(_, memory)| u64::from(memory.desired.unwrap_or(0)))
            .sum();
        // What others have beyond their own max is not taken from this one.
        let fleet = match self.config.fleet_max {
            Some(fleet_max) => u64::from(fleet_max).saturating_sub(others),
            None => all,
        };
        let memory = &mut self.targets[idx];
        Facts {
            target,
            mode: self.config.mode_of(target),
            observed,
            room: Room { base: memory.base(observed.desired, now), fleet },
            acted_at: memory.acted_at,
            started: self.started,
            now,
        }
    }

    /// Records a judgement, and in `act` makes it a plan.
    fn settle(
        &mut self,
        judged: Judged,
        facts: &Facts<'_>,
        idx: usize,
        out: &mut Vec<Decision>,
    ) -> Option<ScalingPlan> {
        let Judged { mut draft, action, evidence } = judged;
        let acted_before = self.targets[idx].acted_at.replace(facts.now);
        if facts.mode == Mode::Observe {
            let detail = "mode is observe".to_owned();
            self.hold(draft, Bound { reason: Reason::ObserveOnly, detail }, out);
            return None;
        }
        record::wanted(&mut draft);
        let mut plan = ScalingPlan {
            decision_id: self.next_id,
            target: facts.target.reference.clone(),
            action,
            revision: facts.observed.revision.clone(),
            uid: facts.observed.uid.clone(),
            expires: facts.now.plus_ns(DECISION_TTL_NS),
            summary: draft.summary.clone(),
        };
        if facts.mode == Mode::Act
            && let Some(broken) = invariants::violation(&plan, facts, evidence)
        {
            self.stats.n_violations += 1;
            self.targets[idx].acted_at = acted_before;
            let detail = format!("refused by an invariant, please report this: {broken}");
            self.hold(draft, Bound { reason: Reason::OrchestratorError, detail }, out);
            return None;
        }
        self.repeats.clear(facts.target.name());
        let decision = self.write(draft, out);
        if facts.mode != Mode::Act {
            return None;
        }
        plan.decision_id = decision.id;
        let memory = &mut self.targets[idx];
        memory.in_flight = Some(decision.id);
        if decision.axis == Axis::Horizontal {
            memory.stepped(facts.observed.desired, facts.now);
        }
        let in_flight = InFlight { decision, target_idx: idx, expires: plan.expires, acted_before };
        self.in_flight.insert(plan.decision_id, in_flight);
        self.stats.n_plans += 1;
        Some(plan)
    }

    fn alert(&mut self, finding: &Finding, now: Timestamp, out: &mut Vec<Decision>) {
        if finding.completes {
            self.stats.n_repeats += 1;
            return;
        }
        let name = finding.action.target();
        let target = record::bare_target(name);
        let mut draft = record::draft(finding, target, Axis::Horizontal, self.config.mode, now);
        if finding.resting {
            self.hold(draft, record::resting(finding), out);
            return;
        }
        record::alert(&mut draft);
        self.repeats.clear(name);
        self.write(draft, out);
    }

    fn unobserved(
        &mut self,
        idx: usize,
        findings: &[Finding],
        why: &str,
        now: Timestamp,
        out: &mut Vec<Decision>,
    ) {
        let Some(first) = findings.first() else {
            return;
        };
        let Some(axis) = axis(&first.action) else {
            return;
        };
        let mut draft = self.draft(first, idx, axis, now);
        draft.rules = findings.iter().map(|finding| finding.rule.clone()).collect();
        let detail = format!("its state is not known: {why}");
        self.hold(draft, Bound { reason: Reason::OrchestratorError, detail }, out);
    }

    /// Records a non-decision, unless it merely goes on.
    fn hold(&mut self, mut draft: Decision, bound: Bound, out: &mut Vec<Decision>) {
        record::held(&mut draft, bound);
        if self.repeats.is_new(&draft) {
            self.write(draft, out);
        } else {
            self.stats.n_repeats += 1;
        }
    }

    fn write(&mut self, mut draft: Decision, out: &mut Vec<Decision>) -> Decision {
        draft.id = self.next_id;
        self.next_id += 1;
        self.stats.n_decisions += 1;
        out.push(draft.clone());
        draft
    }
}

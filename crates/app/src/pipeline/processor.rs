//! From rule counts to scaled workloads: rule windows, scaler, orchestrator, and the record of it
//! all (SCALE III-F, "Processor").
//!
//! One task owns all of it. Counts come from the worker next door or, in split mode, from the
//! stream of a sampler; a hole in them is told and makes the windows it falls into say
//! `InsufficientData`. Orchestrators are asked about a few targets at a time, beside everything else,
//! and each target is decided as soon as it was seen: one that hangs delays nobody but itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use spanwise_analyzer::rules::{Rule, RuleWindows};
use spanwise_api::{RuleStatus, TargetStatus};
use spanwise_model::{
    Axis, Decision, Finding, Observed, Outcome, RuleCount, ScalingPlan, TargetRef, Timestamp,
    WantedAction,
};
use spanwise_orchestrator::{Applied, Guard, OrchError, Orchestrator};
use spanwise_scaler::{Refusal, Scaler};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use super::records::Records;
use crate::clock::Clock;
use crate::telemetry::metrics::{
    DecisionLabels, Metrics, OrchestratorLabels, ReplicaLabels, RuleLabels,
};

/// Rules are looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// An orchestrator that has not answered after this long counts as not answering. Backends have
/// deadlines of their own per call; this bounds an observation of several calls and their turns in
/// the queue of calls.
const OBSERVE_MAX: Duration = Duration::from_secs(20);
/// Targets that are observed or acted on at once.
const N_AT_WORK_MAX: usize = 8;
/// Messages that may wait for the processor.
pub const QUEUE_MAX: usize = 256;

/// What reaches the processor.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Counts of its rules.
    Counts(Vec<RuleCount>),
    /// Counts up to now may be missing.
    Hole,
}

/// The task's state.
#[derive(Debug)]
pub struct Processor {
    windows: RuleWindows,
    scaler: Scaler,
    orchestrator: Arc<dyn Orchestrator>,
    records: Records,
    clock: Clock,
    metrics: Metrics,
    /// What was last seen of each target, for the API.
    show: watch::Sender<Vec<TargetStatus>>,
    /// What each rule has seen, for the API.
    show_rules: watch::Sender<Vec<RuleStatus>>,
    /// Targets being observed.
    observed: Vec<TargetRef>,
    observing: FuturesUnordered<BoxFuture<'static, Sight>>,
    /// Plans being carried out.
    applying: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// What the processor shows of itself.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was last seen of each target.
    pub targets: watch::Receiver<Vec<TargetStatus>>,
    /// What each rule has seen since the start.
    pub rules: watch::Receiver<Vec<RuleStatus>>,
}

/// What was seen of a target, and how long that took.
#[derive(Debug)]
struct Sight {
    target: TargetRef,
    observed: Result<Observed, String>,
    took_s: f64,
}

/// What became of a plan, and how long that took.
#[derive(Debug)]
struct Done {
    plan: ScalingPlan,
    result: Result<Applied, OrchError>,
    took_s: f64,
}

impl Processor {
    /// A processor that carries on from the decisions in the log.
    pub fn new(
        windows: RuleWindows,
        mut scaler: Scaler,
        orchestrator: Arc<dyn Orchestrator>,
        records: Records,
        clock: Clock,
        metrics: Metrics,
    ) -> (Self, Shown) {
        let earlier: Vec<Decision> =
            records.decisions().iter().map(|decision| Decision::clone(decision)).collect();
        scaler.restore(&earlier);
        let targets = scaler.config().targets.iter();
        let unseen = targets.map(|target| TargetStatus {
            target: target.reference.clone(),
            mode: scaler.config().mode_of(target),
            observed: None,
        });
        let (show, targets) = watch::channel(unseen.collect());
        let (show_rules, rules) =
            watch::channel(windows.rules().rules().iter().map(nothing_seen).collect());
        let processor = Self {
            windows,
            scaler,
            orchestrator,
            records,
            clock,
            metrics,
            show,
            show_rules,
            observed: Vec::new(),
            observing: FuturesUnordered::new(),
            applying: FuturesUnordered::new(),
        };
        (processor, Shown { targets, rules })
    }

    /// Works until every sender is gone. No decision is taken after that; what is being carried out
    /// then is waited for.
    pub async fn run(mut self, mut input: mpsc::Receiver<Input>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = input.recv() => match message {
                    Some(message) => self.take(&message),
                    None => break,
                },
                _ = tick.tick() => self.tick(),
                Some(sight) = self.observing.next() => self.decide(&sight),
                Some(done) = self.applying.next() => self.applied(done),
            }
            self.observe_next();
        }
        self.observing.clear();
        while let Some(done) = self.applying.next().await {
            self.applied(done);
        }
    }

    fn take(&mut self, message: &Input) {
        let now = self.clock.now();
        match message {
            Input::Counts(counts) => {
                for count in counts {
                    self.windows.add(count, now);
                }
                self.show_rules.send_modify(|rules| {
                    for count in counts {
                        // The index may come from the network.
                        if let Some(rule) = rules.get_mut(count.rule_idx as usize) {
                            rule.n_spans += count.n_spans;
                            rule.n_breaches += count.n_breaches;
                        }
                    }
                });
            }
            Input::Hole => self.windows.mark_hole(now),
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        let mut findings: Vec<Finding> = Vec::new();
        let mut decisions = Vec::new();
        self.windows.tick(now, &mut findings);
        for finding in findings {
            let result = if finding.resting { "resting" } else { "fired" };
            let labels = RuleLabels { rule: finding.rule.name.as_ref().to_owned(), result };
            self.metrics.rule_evaluations.get_or_create(&labels).inc();
            self.show_fired(&finding);
            self.scaler.push(finding, now, &mut decisions);
        }
        self.scaler.tick(now, &mut decisions);
        self.record(&decisions);
    }

    fn show_fired(&self, finding: &Finding) {
        if finding.resting {
            return;
        }
        self.show_rules.send_modify(|rules| {
            if let Some(rule) = rules.iter_mut().find(|rule| rule.name == finding.rule.name) {
                rule.n_fired += 1;
                rule.fired_last = Some(finding.at);
            }
        });
    }

    /// Begins to observe targets that wait for a decision. Few at a time: where calls are paced, the
    /// first is decided before the last is looked at, with what was seen still fresh.
    fn observe_next(&mut self) {
        if self.n_at_work() >= N_AT_WORK_MAX {
            return;
        }
        for target in self.scaler.pending() {
            if self.n_at_work() >= N_AT_WORK_MAX {
                return;
            }
            self.observe(target);
        }
    }

    fn observe(&mut self, target: TargetRef) {
        if !self.observed.contains(&target) {
            self.observed.push(target.clone());
            let orchestrator = Arc::clone(&self.orchestrator);
            self.observing.push(observe(orchestrator, target, self.clock).boxed());
        }
    }

    fn n_at_work(&self) -> usize {
        self.observing.len() + self.applying.len()
    }

    fn decide(&mut self, sight: &Sight) {
        let Sight { target, observed, .. } = sight;
        self.observed.retain(|other| other != target);
        self.show_observation(sight);
        let now = self.clock.now();
        let mut decisions = Vec::new();
        let known = observed.as_ref().map_err(String::as_str);
        let plan = self.scaler.decide(target, known, now, &mut decisions);
        let logged = self.record(&decisions);
        match plan {
            Some(plan) if logged => {
                let orchestrator = Arc::clone(&self.orchestrator);
                self.applying.push(apply(orchestrator, plan, self.clock).boxed());
            }
            // What is not on disk must not be done: after a crash nobody would know of it.
            Some(plan) => self.refuse(&plan, "the decision log could not be written"),
            None => {}
        }
    }

    fn applied(&mut self, done: Done) {
        let Done { plan, result, took_s } = done;
        let outcome = result.as_ref().map_or_else(OrchError::as_str, |_| "ok");
        self.time("apply", outcome, took_s);
        let result = result.map(|applied| applied.to_string()).map_err(|error| refusal(&error));
        self.close(&plan, result);
        // What is shown of the target would be old until its next decision.
        self.observe(plan.target);
    }

    fn time(&self, verb: &'static str, outcome: &'static str, took_s: f64) {
        let labels = OrchestratorLabels { verb, outcome };
        self.metrics.orchestrator_seconds.get_or_create(&labels).observe(took_s);
    }

    fn refuse(&mut self, plan: &ScalingPlan, why: &str) {
        error!(decision = plan.decision_id, target = %plan.target.name, why, "plan not carried out");
        self.close(plan, Err(Refusal::Failed(why.to_owned())));
    }

    fn close(&mut self, plan: &ScalingPlan, result: Result<String, Refusal>) {
        let amended = self.scaler.applied(plan.decision_id, result, self.clock.now());
        if let Some(decision) = amended {
            self.record(&[decision]);
        }
    }

    /// Records decisions; whether the log took them.
    fn record(&self, decisions: &[Decision]) -> bool {
        for decision in decisions {
            info!(
                id = decision.id,
                target = %decision.target.name,
                outcome = decision.outcome.as_str(),
                reason = decision.reason.as_str(),
                "{}",
                decision.summary
            );
            let labels = DecisionLabels {
                target: decision.target.name.as_ref().to_owned(),
                direction: decision.direction.as_str(),
                mode: decision.mode.as_str(),
                outcome: decision.outcome.as_str(),
                reason: decision.reason.as_str(),
            };
            self.metrics.decisions.get_or_create(&labels).inc();
            self.show_wanted(decision);
        }
        self.records.decided(decisions)
    }

    /// The replicas that were asked for, or recommended.
    fn show_wanted(&self, decision: &Decision) {
        let kind = match decision.outcome {
            Outcome::Acted => "desired",
            Outcome::Recommended => "recommended",
            Outcome::Suppressed | Outcome::Failed => return,
        };
        if let (Axis::Horizontal, Some(to)) = (decision.axis, decision.to) {
            self.show_replicas(&decision.target, kind, to);
        }
    }

    fn show_replicas(&self, target: &TargetRef, kind: &'static str, replicas: u64) {
        let labels = ReplicaLabels { target: target.name.as_ref().to_owned(), kind };
        let replicas = i64::try_from(replicas).unwrap_or(i64::MAX);
        self.metrics.target_replicas.get_or_create(&labels).set(replicas);
    }

    fn show_observation(&self, sight: &Sight) {
        let Sight { target, observed, took_s } = sight;
        self.time("observe", if observed.is_ok() { "ok" } else { "error" }, *took_s);
        if let Ok(observed) = observed {
            self.show_replicas(target, "current", observed.desired.into());
        }
        self.show.send_modify(|targets| {
            if let Some(status) = targets.iter_mut().find(|status| status.target == *target) {
                status.observed = Some(observed.clone());
            }
        });
    }
}

/// A rule before the first span.
fn nothing_seen(rule: &Rule) -> RuleStatus {
    RuleStatus {
        name: Arc::clone(&rule.reference.name),
        action: match rule.action {
            WantedAction::ReplicasBy { .. } | WantedAction::ReplicasTo { .. } => "scale",
            WantedAction::Vertical { .. } => "vertical",
            WantedAction::Alert { .. } => "alert",
        },
        target: Arc::clone(rule.action.target()),
        service: Arc::clone(&rule.service),
        operation: Arc::clone(&rule.operation),
        metric: rule.metric.as_str(),
        over_ns: rule.over_ns,
        count: rule.count,
        window_s: rule.window_s,
        n_spans: 0,
        n_breaches: 0,
        n_fired: 0,
        fired_last: None,
    }
}

async fn observe(orchestrator: Arc<dyn Orchestrator>, target: TargetRef, clock: Clock) -> Sight {
    let began = clock.now();
    let observed = match tokio::time::timeout(OBSERVE_MAX, orchestrator.observe(&target)).await {
        Ok(Ok(observed)) => Ok(observed),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", OBSERVE_MAX.as_secs())),
    };
    Sight { target, observed, took_s: seconds(began, clock) }
}

async fn apply(orchestrator: Arc<dyn Orchestrator>, plan: ScalingPlan, clock: Clock) -> Done {
    let began = clock.now();
    let guard = Guard::of(&plan, began);
    let result = orchestrator.apply(&plan.target, &plan.action, &guard).await;
    Done { plan, result, took_s: seconds(began, clock) }
}

fn seconds(began: Timestamp, clock: Clock) -> f64 {
    clock.now().since(began) as f64 / 1e9
}

fn refusal(error: &OrchError) -> Refusal {
    let text = error.to_string();
    match error {
        OrchError::Conflict { .. } => Refusal::Conflict(text),
        OrchError::Paused { .. } => Refusal::Paused(text),
        OrchError::Owned(_) => Refusal::Owned(text),
        OrchError::Unsupported { .. } => Refusal::Unsupported(text),
        OrchError::Forbidden { .. }
        | OrchError::NotFound { .. }
        | OrchError::Invalid { .. }
        | OrchError::Fenced { .. }
        | OrchError::Transient { .. } => Refusal::Failed(text),
    }
}

//! From rule counts to scaled workloads: rule windows, scaler, orchestrator, and the record of it
//! all (SCALE III-F, "Processor").
//!
//! One task owns all of it. Counts come from the worker next door or, in split mode, from the
//! stream of a sampler; a hole in them is told and makes the windows it falls into say
//! `InsufficientData`. Orchestrators are asked for all pending targets at once, so that one that
//! hangs delays the others by its own deadline at most.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use spanwise_analyzer::rules::RuleWindows;
use spanwise_api::TargetStatus;
use spanwise_model::{Decision, Finding, Observed, RuleCount, ScalingPlan, TargetRef};
use spanwise_orchestrator::{Guard, OrchError, Orchestrator};
use spanwise_scaler::{Refusal, Scaler};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use super::records::Records;
use crate::clock::Clock;
use crate::telemetry::metrics::{
    DecisionLabels, Metrics, OrchestratorLabels, ReasonLabel, ReplicaLabels,
};

/// Rules are looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// An orchestrator that has not answered after this long counts as not answering. Backends have
/// deadlines of their own per call; this bounds an observation of several calls.
const OBSERVE_MAX: Duration = Duration::from_secs(10);
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
    ) -> (Self, watch::Receiver<Vec<TargetStatus>>) {
        let earlier: Vec<Decision> =
            records.decisions().iter().map(|decision| Decision::clone(decision)).collect();
        scaler.restore(&earlier);
        let targets = scaler.config().targets.iter();
        let unseen = targets.map(|target| TargetStatus {
            target: target.reference.clone(),
            mode: scaler.config().mode_of(target),
            observed: None,
        });
        let (show, shown) = watch::channel(unseen.collect());
        (Self { windows, scaler, orchestrator, records, clock, metrics, show }, shown)
    }

    /// Works until every sender is gone. No decision is taken after that.
    pub async fn run(mut self, mut input: mpsc::Receiver<Input>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = input.recv() => match message {
                    Some(message) => self.take(&message),
                    None => break,
                },
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    fn take(&mut self, message: &Input) {
        let now = self.clock.now();
        match message {
            Input::Counts(counts) => {
                for count in counts {
                    self.windows.add(count, now);
                }
            }
            Input::Hole => self.windows.mark_hole(now),
        }
    }

    async fn tick(&mut self) {
        let now = self.clock.now();
        let mut findings: Vec<Finding> = Vec::new();
        let mut decisions = Vec::new();
        self.windows.tick(now, &mut findings);
        for finding in findings {
            let reason = if finding.resting { "resting" } else { "fired" };
            self.metrics.rule_findings.get_or_create(&ReasonLabel { reason }).inc();
            self.scaler.push(finding, now, &mut decisions);
        }
        self.scaler.tick(now, &mut decisions);
        self.record(&decisions);
        let pending = self.scaler.pending();
        if !pending.is_empty() {
            self.decide(pending).await;
        }
    }

    async fn decide(&mut self, pending: Vec<TargetRef>) {
        let orchestrator = &self.orchestrator;
        let observations =
            join_all(pending.iter().map(|target| observe(&**orchestrator, target))).await;
        let mut plans = Vec::new();
        for (target, observed) in pending.iter().zip(observations) {
            self.show_observation(target, &observed);
            let now = self.clock.now();
            let mut decisions = Vec::new();
            let known = observed.as_ref().map_err(String::as_str);
            let plan = self.scaler.decide(target, known, now, &mut decisions);
            let logged = self.record(&decisions);
            match plan {
                Some(plan) if logged => plans.push(plan),
                // What is not on disk must not be done: after a crash nobody would know of it.
                Some(plan) => self.refuse(&plan, "the decision log could not be written"),
                None => {}
            }
        }
        self.carry_out(plans).await;
    }

    async fn carry_out(&mut self, plans: Vec<ScalingPlan>) {
        let now = self.clock.now();
        let guards: Vec<Guard> = plans.iter().map(|plan| Guard::of(plan, now)).collect();
        let orchestrator = &self.orchestrator;
        let calls = plans.iter().zip(&guards).map(|(plan, guard)| async move {
            orchestrator.apply(&plan.target, &plan.action, guard).await
        });
        let results = join_all(calls).await;
        for (plan, result) in plans.iter().zip(results) {
            let outcome = result.as_ref().map_or_else(OrchError::as_str, |_| "ok");
            let labels = OrchestratorLabels { verb: "apply", outcome };
            self.metrics.orchestrator_requests.get_or_create(&labels).inc();
            let result = result.map(|applied| applied.to_string()).map_err(|error| refusal(&error));
            self.close(plan, result);
        }
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
        }
        self.records.decided(decisions)
    }

    fn show_observation(&self, target: &TargetRef, observed: &Result<Observed, String>) {
        let outcome = if observed.is_ok() { "ok" } else { "error" };
        let labels = OrchestratorLabels { verb: "observe", outcome };
        self.metrics.orchestrator_requests.get_or_create(&labels).inc();
        if let Ok(observed) = observed {
            let labels = ReplicaLabels { target: target.name.as_ref().to_owned(), kind: "current" };
            let replicas = i64::from(observed.desired);
            self.metrics.target_replicas.get_or_create(&labels).set(replicas);
        }
        self.show.send_modify(|targets| {
            if let Some(status) = targets.iter_mut().find(|status| status.target == *target) {
                status.observed = Some(observed.clone());
            }
        });
    }
}

async fn observe(orchestrator: &dyn Orchestrator, target: &TargetRef) -> Result<Observed, String> {
    match tokio::time::timeout(OBSERVE_MAX, orchestrator.observe(target)).await {
        Ok(Ok(observed)) => Ok(observed),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", OBSERVE_MAX.as_secs())),
    }
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

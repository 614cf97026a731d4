//! Targets, findings and a scaler that is easy to talk to.

use std::sync::Arc;

use spanwise_model::{
    Condition, Decision, Finding, Mode, Observed, Outcome, QuorumShortfall, Reason, Resources,
    RuleRef, ScalingPlan, TargetRef, Timestamp, TraceId, WantedAction,
};
use spanwise_scaler::{Config, Refusal, Scaler, Target};

/// Seconds after an arbitrary start.
pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

pub(crate) fn reference(name: &str) -> TargetRef {
    TargetRef {
        name: Arc::from(name),
        backend: Arc::from("recorder"),
        kind: Arc::from("Deployment"),
        api_version: Arc::from(""),
        namespace: Arc::from("shop"),
        object: Arc::from(name),
    }
}

/// A finding of rule `rule` with a window of 30 s, found at `at`.
pub(crate) fn finding(rule: &str, action: WantedAction, at: Timestamp) -> Finding {
    Finding {
        at,
        rule: RuleRef { name: Arc::from(rule), hash: 7 },
        action,
        condition: Condition {
            metric: Arc::from("self+gap"),
            over_ns: 80_000_000,
            count: 10.0,
            window_ns: 30_000_000_000,
            observed: 12.0,
            n_spans: 40,
            n_breaches: 12,
            n_quarters: 3,
            n_instances: 2,
            n_breaching_instances: 2,
        },
        call_site: (Arc::from("cart"), Arc::from("GetCart")),
        trace_ids: vec![TraceId([1; 16])],
        shortfall: None,
        resting: false,
        completes: false,
    }
}

pub(crate) fn by(n: u32) -> WantedAction {
    WantedAction::ReplicasBy { target: Arc::from("cart"), by: n }
}

pub(crate) fn cpu_percent(percent: u32) -> WantedAction {
    WantedAction::Vertical {
        target: Arc::from("cart"),
        cpu_percent: Some(percent),
        cpu_millis: None,
        memory_percent: None,
        memory_bytes: None,
    }
}

pub(crate) fn short(finding: Finding) -> Finding {
    let detail = "3 spans seen, 20 needed".to_owned();
    Finding { shortfall: Some(QuorumShortfall { detail }), ..finding }
}

pub(crate) fn healthy(desired: u32) -> Observed {
    Observed {
        desired,
        ready: Some(desired),
        settled: Some(true),
        resources: Resources { cpu_millis: Some(250), memory_bytes: Some(512 << 20) },
        revision: "7".to_owned(),
        uid: "u".to_owned(),
        ..Observed::default()
    }
}

/// A scaler with the target `cart` (1 to 20 replicas, cooldown 60 s) that started an hour ago.
pub(crate) struct Rig {
    pub(crate) scaler: Scaler,
    pub(crate) records: Vec<Decision>,
}

impl Rig {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(mode, |_| {})
    }

    pub(crate) fn with(mode: Mode, change: impl Fn(&mut Target)) -> Self {
        let mut target = Target::new(reference("cart"), 20);
        change(&mut target);
        let config = Config { mode, targets: vec![target], fleet_max: None };
        let started = at(0).minus_ns(3_600_000_000_000);
        Self { scaler: Scaler::new(config, started), records: Vec::new() }
    }

    pub(crate) fn push(&mut self, finding: Finding, now: Timestamp) {
        self.scaler.push(finding, now, &mut self.records);
    }

    pub(crate) fn decide(&mut self, observed: &Observed, now: Timestamp) -> Option<ScalingPlan> {
        self.scaler.decide(&reference("cart"), Ok(observed), now, &mut self.records)
    }

    /// Pushes one finding and decides it against a healthy target of 3 replicas.
    pub(crate) fn fire(&mut self, action: WantedAction, now: Timestamp) -> Option<ScalingPlan> {
        self.push(finding("cart-slow", action, now), now);
        self.decide(&healthy(3), now)
    }

    pub(crate) fn apply(
        &mut self,
        plan: &ScalingPlan,
        result: Result<&str, Refusal>,
        now: Timestamp,
    ) -> Decision {
        let result = result.map(str::to_owned);
        self.scaler.applied(plan.decision_id, result, now).unwrap()
    }

    /// Outcome, reason, from and to of every record since the last call.
    pub(crate) fn take(&mut self) -> Vec<(Outcome, Reason, Option<u64>, Option<u64>)> {
        let records = std::mem::take(&mut self.records);
        records.iter().map(|d| (d.outcome, d.reason, d.from, d.to)).collect()
    }
}

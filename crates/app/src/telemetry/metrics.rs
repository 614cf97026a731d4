//! The metric families, registered once. Label values come from closed sets or from the bounded
//! dictionary of call sites, so the number of series is bounded.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a receiver counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReceiverLabels {
    /// `grpc`, `http/protobuf` or `http/json`.
    pub protocol: &'static str,
    /// `accepted`, `rejected`, `invalid_time`, `refused`, ...
    pub outcome: &'static str,
}

/// One label: why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Reason from a closed set.
    pub reason: &'static str,
}

/// Labels of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// Target name; targets come from the configuration.
    pub target: String,
    /// `up` or `hold`.
    pub direction: &'static str,
    /// `observe`, `recommend` or `act`.
    pub mode: &'static str,
    /// `acted`, `recommended`, `suppressed` or `failed`.
    pub outcome: &'static str,
    /// Reason code.
    pub reason: &'static str,
}

/// Labels of a target's replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReplicaLabels {
    /// Target name.
    pub target: String,
    /// `current`, `desired` or `recommended`.
    pub kind: &'static str,
}

/// Labels of the orchestrator's calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OrchestratorLabels {
    /// `observe` or `apply`.
    pub verb: &'static str,
    /// `ok` or the error's kind.
    pub outcome: &'static str,
}

/// A gauge of a share or of seconds.
pub type FloatGauge = Gauge<f64, AtomicU64>;

/// Every family of the process.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Spans by protocol and outcome.
    pub receiver_spans: Family<ReceiverLabels, Counter>,
    /// Requests by protocol and outcome.
    pub receiver_requests: Family<ReceiverLabels, Counter>,
    /// Connections that ended badly, by protocol and how.
    pub receiver_connections: Family<ReceiverLabels, Counter>,
    /// Bytes of requests by protocol, before decompression.
    pub receiver_bytes: Family<ReceiverLabels, Counter>,
    /// Spans kept, by the score that decided.
    pub sampler_kept: Family<ReasonLabel, Counter>,
    /// Kept spans over the budget's share of all spans; 1 = on budget.
    pub sampler_budget_ratio: FloatGauge,
    /// Call sites with a reference of their own over all call sites.
    pub model_ready: FloatGauge,
    /// Call sites known.
    pub call_sites: Gauge,
    /// Open traces.
    pub open_traces: Gauge,
    /// Bytes held by open traces.
    pub open_bytes: Gauge,
    /// Traces that were not decided in the ordinary way.
    pub traces_dropped: Family<ReasonLabel, Counter>,
    /// Findings of rules.
    pub rule_findings: Family<ReasonLabel, Counter>,
    /// Decisions and non-decisions.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Replicas by target.
    pub target_replicas: Family<ReplicaLabels, Gauge>,
    /// Calls to orchestrators.
    pub orchestrator_requests: Family<OrchestratorLabels, Counter>,
}

impl Metrics {
    /// The families, and the registry that prints them.
    pub fn register() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("spanwise");
        let r = &mut registry;
        r.register("receiver_spans", "Spans received", metrics.receiver_spans.clone());
        r.register("receiver_requests", "Requests", metrics.receiver_requests.clone());
        r.register(
            "receiver_connections",
            "Connections that ended badly",
            metrics.receiver_connections.clone(),
        );
        r.register_with_unit(
            "receiver",
            "Request bytes received, before decompression",
            Unit::Bytes,
            metrics.receiver_bytes.clone(),
        );
        r.register("sampler_kept", "Spans kept", metrics.sampler_kept.clone());
        r.register(
            "sampler_budget_ratio",
            "Kept spans over what the budget allows",
            metrics.sampler_budget_ratio.clone(),
        );
        r.register(
            "model_ready",
            "Share of call sites with a reference of their own",
            metrics.model_ready.clone(),
        );
        r.register("call_sites", "Call sites known", metrics.call_sites.clone());
        r.register("assembler_open_traces", "Traces in the window", metrics.open_traces.clone());
        r.register("assembler_open_bytes", "Bytes in the window", metrics.open_bytes.clone());
        r.register("traces_dropped", "Traces closed out of turn", metrics.traces_dropped.clone());
        r.register("rule_findings", "Rules whose condition held", metrics.rule_findings.clone());
        r.register("decisions", "Decisions and non-decisions", metrics.decisions.clone());
        r.register("target_replicas", "Replicas", metrics.target_replicas.clone());
        r.register(
            "orchestrator_requests",
            "Calls to orchestrators",
            metrics.orchestrator_requests.clone(),
        );
        (metrics, registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_carries_the_documented_names() {
        let (metrics, registry) = Metrics::register();
        let labels = ReceiverLabels { protocol: "grpc", outcome: "accepted" };
        metrics.receiver_spans.get_or_create(&labels).inc_by(3);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = "spanwise_receiver_spans_total{protocol=\"grpc\",outcome=\"accepted\"} 3";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("spanwise_sampler_budget_ratio 0.0"), "{text}");
    }
}

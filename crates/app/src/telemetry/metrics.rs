//! The metric families, registered once. Label values come from closed sets or from the bounded
//! dictionary of call sites, so the number of series is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::archives::ArchiveMetrics;
use super::traces::TraceMetrics;

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

/// One label: how a request was compressed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EncodingLabel {
    /// `identity`, `gzip` or `zstd`.
    pub encoding: &'static str,
}

/// One label: what became of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// Outcome from a closed set.
    pub outcome: &'static str,
}

/// Labels of a destination of kept spans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ForwardLabels {
    /// Its endpoint; destinations come from the configuration.
    pub destination: String,
    /// `sent`, `rejected`, `refused`, `not_queued` or `abandoned`.
    pub outcome: &'static str,
}

/// One label: a destination of kept spans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DestinationLabel {
    /// Its endpoint.
    pub destination: String,
}

/// A call site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SiteLabels {
    /// Service.
    pub service: String,
    /// Operation.
    pub operation: String,
}

/// Labels of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RuleLabels {
    /// Its name; rules come from the configuration.
    pub rule: String,
    /// `fired` or `resting`.
    pub result: &'static str,
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

/// Raises a counter to a total that is counted elsewhere and never falls.
pub fn follow(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// A gauge of a share or of seconds.
pub type FloatGauge = Gauge<f64, AtomicU64>;
/// A family of histograms.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Call sites with a series of their own in the life of a process; further ones share one.
const SITE_SERIES_MAX: usize = 10_000;
/// Stands for call sites beyond that.
const OTHER: &str = "__other__";
/// Scores are bits above what is usual, or in [0, 1] in profile `scale`.
const SCORES: [f64; 17] =
    [-12.0, -8.0, -4.0, -2.0, 0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0];
/// Seconds an orchestrator takes; its calls have a deadline of 5 s each.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Every family of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Spans by protocol and outcome.
    pub receiver_spans: Family<ReceiverLabels, Counter>,
    /// Requests by protocol and outcome.
    pub receiver_requests: Family<ReceiverLabels, Counter>,
    /// Connections that ended badly, by protocol and how.
    pub receiver_connections: Family<ReceiverLabels, Counter>,
    /// Bytes of requests by compression, before decompression.
    pub receiver_bytes: Family<EncodingLabel, Counter>,
    /// Bytes of memory that requests in flight hold.
    pub in_flight_bytes: Gauge,
    /// Bytes of memory in use, as the kernel counts them; 0 where it does not tell.
    pub resident_bytes: Gauge,
    /// Share of their memory that open traces and requests in flight may use now.
    pub memory_granted: FloatGauge,
    /// 1 while work is refused for lack of room.
    pub shedding: Gauge,
    /// Spans kept, by the score that decided.
    pub sampler_kept: Family<ReasonLabel, Counter>,
    /// Scores of kept spans, by the score that decided.
    pub sampler_score: Histograms<ReasonLabel>,
    /// Greatest distance of the tails from uniform, in [0, 1].
    pub calibration_ks: FloatGauge,
    /// Kept spans by call site; see [`Metrics::anomalies`].
    anomalies: Family<SiteLabels, Counter>,
    n_site_series: Arc<AtomicUsize>,
    /// Subscribers of the stream of sampled spans.
    pub stream_subscribers: Gauge,
    /// Spans sent to subscribers, and missed by them.
    pub stream_spans: Family<OutcomeLabel, Counter>,
    /// Spans a processor received and missed in the sampler's present epoch.
    pub subscription_spans: Family<OutcomeLabel, Gauge>,
    /// Spans by destination and what became of them.
    pub forward_spans: Family<ForwardLabels, Counter>,
    /// Bytes that wait for a destination.
    pub forward_queue_bytes: Family<DestinationLabel, Gauge>,
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
    /// Spans dropped because another of their trace has the same id.
    pub duplicate_spans: Counter,
    /// Spans at call sites of rules that no rule counted.
    pub rules_uncounted: Family<ReasonLabel, Counter>,
    /// Rules whose condition held, by result.
    pub rule_evaluations: Family<RuleLabels, Counter>,
    /// Decisions and non-decisions.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Replicas by target.
    pub target_replicas: Family<ReplicaLabels, Gauge>,
    /// Seconds that observations and actions took.
    pub orchestrator_seconds: Histograms<OrchestratorLabels>,
    /// Whole traces.
    pub traces: TraceMetrics,
    /// Archives.
    pub archives: ArchiveMetrics,
    /// Spans that were generated, not measured.
    pub synthetic_spans: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let scores: fn() -> Histogram = || Histogram::new(SCORES);
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            receiver_spans: Family::default(),
            receiver_requests: Family::default(),
            receiver_connections: Family::default(),
            receiver_bytes: Family::default(),
            in_flight_bytes: Gauge::default(),
            resident_bytes: Gauge::default(),
            memory_granted: FloatGauge::default(),
            shedding: Gauge::default(),
            sampler_kept: Family::default(),
            sampler_score: Family::new_with_constructor(scores),
            calibration_ks: FloatGauge::default(),
            anomalies: Family::default(),
            n_site_series: Arc::default(),
            stream_subscribers: Gauge::default(),
            stream_spans: Family::default(),
            subscription_spans: Family::default(),
            forward_spans: Family::default(),
            forward_queue_bytes: Family::default(),
            sampler_budget_ratio: FloatGauge::default(),
            model_ready: FloatGauge::default(),
            call_sites: Gauge::default(),
            open_traces: Gauge::default(),
            open_bytes: Gauge::default(),
            traces_dropped: Family::default(),
            duplicate_spans: Counter::default(),
            rules_uncounted: Family::default(),
            rule_evaluations: Family::default(),
            decisions: Family::default(),
            target_replicas: Family::default(),
            orchestrator_seconds: Family::new_with_constructor(seconds),
            traces: TraceMetrics::default(),
            archives: ArchiveMetrics::default(),
            synthetic_spans: Counter::default(),
        }
    }
}

impl Metrics {
    /// The families, and the registry that prints them.
    pub fn register() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("spanwise");
        metrics.register_edges(&mut registry);
        metrics.register_stages(&mut registry);
        metrics.traces.register(&mut registry);
        metrics.archives.register(&mut registry);
        let synthetic = metrics.synthetic_spans.clone();
        registry.register("receiver_synthetic_spans", "Generated spans, not looked at", synthetic);
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "What runs", Info::new(version));
        (metrics, registry)
    }

    /// What comes in and goes out.
    fn register_edges(&self, r: &mut Registry) {
        r.register("receiver_spans", "Spans received", self.receiver_spans.clone());
        r.register("receiver_requests", "Requests", self.receiver_requests.clone());
        r.register(
            "receiver_connections",
            "Connections that ended badly",
            self.receiver_connections.clone(),
        );
        r.register_with_unit(
            "receiver",
            "Request bytes received, before decompression",
            Unit::Bytes,
            self.receiver_bytes.clone(),
        );
        r.register(
            "receiver_in_flight_bytes",
            "Memory that requests in flight hold",
            self.in_flight_bytes.clone(),
        );
        r.register("memory_resident_bytes", "Memory in use", self.resident_bytes.clone());
        r.register(
            "memory_granted_ratio",
            "Share of their memory that open traces and requests in flight may use",
            self.memory_granted.clone(),
        );
        r.register("shedding", "1 while work is refused for lack of room", self.shedding.clone());
        r.register(
            "stream_subscribers",
            "Subscribers of sampled spans",
            self.stream_subscribers.clone(),
        );
        r.register(
            "stream_spans",
            "Spans sent to subscribers or missed by them",
            self.stream_spans.clone(),
        );
        r.register(
            "subscription_spans",
            "Spans of the sampler's epoch that were received or missed",
            self.subscription_spans.clone(),
        );
        r.register(
            "forward_spans",
            "Spans by destination and what became of them",
            self.forward_spans.clone(),
        );
        r.register(
            "forward_queue_bytes",
            "Bytes that wait for a destination",
            self.forward_queue_bytes.clone(),
        );
    }

    /// What happens in between.
    fn register_stages(&self, r: &mut Registry) {
        r.register("sampler_kept", "Spans kept", self.sampler_kept.clone());
        r.register("sampler_score", "Scores of kept spans", self.sampler_score.clone());
        r.register(
            "sampler_calibration_ks",
            "Greatest distance of the tails from uniform",
            self.calibration_ks.clone(),
        );
        r.register("anomalies", "Spans kept, by call site", self.anomalies.clone());
        r.register(
            "sampler_budget_ratio",
            "Kept spans over what the budget allows",
            self.sampler_budget_ratio.clone(),
        );
        r.register(
            "model_ready",
            "Share of call sites with a reference of their own",
            self.model_ready.clone(),
        );
        r.register("call_sites", "Call sites known", self.call_sites.clone());
        r.register("assembler_open_traces", "Traces in the window", self.open_traces.clone());
        r.register("assembler_open_bytes", "Bytes in the window", self.open_bytes.clone());
        r.register("traces_dropped", "Traces closed out of turn", self.traces_dropped.clone());
        let text = "Spans whose id another span of their trace has";
        r.register("assembler_duplicate_spans", text, self.duplicate_spans.clone());
        let text = "Spans at call sites of rules that no rule counted";
        r.register("rules_uncounted_spans", text, self.rules_uncounted.clone());
        r.register(
            "rule_evaluations",
            "Rules whose condition held, by result",
            self.rule_evaluations.clone(),
        );
        r.register("decisions", "Decisions and non-decisions", self.decisions.clone());
        r.register("target_replicas", "Replicas", self.target_replicas.clone());
        r.register_with_unit(
            "orchestrator_request",
            "Observations and actions of orchestrators",
            Unit::Seconds,
            self.orchestrator_seconds.clone(),
        );
    }

    /// Counts kept spans of a call site. Beyond 10,000 of them in the life of a process, which
    /// forgets some and learns others, further ones count together.
    pub fn anomalies(&self, service: &str, operation: &str, n_spans: u64) {
        let labels = SiteLabels { service: service.to_owned(), operation: operation.to_owned() };
        if let Some(counter) = self.anomalies.get(&labels) {
            counter.inc_by(n_spans);
            return;
        }
        let is_full = self.n_site_series.fetch_add(1, Ordering::Relaxed) >= SITE_SERIES_MAX;
        let other = || SiteLabels { service: OTHER.to_owned(), operation: OTHER.to_owned() };
        let labels = if is_full { other() } else { labels };
        self.anomalies.get_or_create(&labels).inc_by(n_spans);
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
        assert!(text.contains("spanwise_build_info{version="), "{text}");
        assert!(text.contains("spanwise_shedding 0"), "{text}");
    }

    #[test]
    fn call_sites_without_end_share_one_series() {
        let (metrics, registry) = Metrics::register();
        for n in 0..SITE_SERIES_MAX + 50 {
            metrics.anomalies("shop", &n.to_string(), 1);
        }
        metrics.anomalies("shop", "0", 1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let n_series = text.lines().filter(|line| line.contains("spanwise_anomalies_total{"));
        assert_eq!(n_series.count(), SITE_SERIES_MAX + 1);
        let other = "spanwise_anomalies_total{service=\"__other__\",operation=\"__other__\"} 50";
        assert!(text.contains(other));
        assert!(text.contains("spanwise_anomalies_total{service=\"shop\",operation=\"0\"} 2"));
    }
}

//! Metric families of whole traces and of their destinations.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{DestinationLabel, FloatGauge, OutcomeLabel, ReasonLabel};

/// One label: a budget of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BudgetLabel {
    /// As it is shown.
    pub budget: String,
}

/// One label: which log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LogLabel {
    /// `spans` or `kept`.
    pub log: &'static str,
}

/// The families.
#[derive(Clone, Debug, Default)]
pub struct TraceMetrics {
    /// Traces kept, by reason; late spans of a kept trace count as one more of reason `late`.
    pub kept: Family<ReasonLabel, Counter>,
    /// Verdicts.
    pub verdicts: Family<OutcomeLabel, Counter>,
    /// Spans of kept traces.
    pub kept_spans: Counter,
    /// Raw bytes of these.
    pub kept_bytes: Counter,
    /// Late spans, and promotions.
    pub late: Family<OutcomeLabel, Counter>,
    /// Traces that other budgets would have kept.
    pub shadow_kept: Family<BudgetLabel, Counter>,
    /// Traces that wait for budget.
    pub held: Gauge,
    /// Requests whose spans are in the log alone, by now.
    pub lightened: Counter,
    /// Spans that were to be read back from the log.
    pub read_back: Family<OutcomeLabel, Counter>,
    /// Units kept over units allowed in this horizon.
    pub budget_ratio: FloatGauge,
    /// Units seen, kept in this horizon.
    pub horizon: Family<OutcomeLabel, Gauge>,
    /// Estimated share of anomalous traces.
    pub anomaly_share: FloatGauge,
    /// Spans in the log that a destination has not got.
    pub forward_backlog: Family<DestinationLabel, Gauge>,
    /// Requests held in the span log.
    pub log_held: Gauge,
    /// Bytes by log.
    pub log_bytes: Family<LogLabel, Gauge>,
    /// What happened to the logs.
    pub log_events: Family<OutcomeLabel, Counter>,
}

impl TraceMetrics {
    /// Registers the families.
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("traces_kept", "Traces kept, by reason", self.kept.clone());
        r.register("traces_verdicts", "Verdicts on traces", self.verdicts.clone());
        r.register("traces_kept_spans", "Spans of kept traces", self.kept_spans.clone());
        r.register("traces_kept_bytes", "Bytes of kept traces", self.kept_bytes.clone());
        r.register(
            "traces_late_spans",
            "Spans after the verdict, and promotions",
            self.late.clone(),
        );
        let shadow = self.shadow_kept.clone();
        r.register("traces_shadow_kept", "Traces another budget would have kept", shadow);
        r.register("traces_held", "Traces that wait for budget", self.held.clone());
        let lightened = self.lightened.clone();
        r.register("traces_lightened_requests", "Requests left to the log alone", lightened);
        let read_back = self.read_back.clone();
        r.register("traces_read_back_spans", "Spans read back from the log", read_back);
        let ratio = self.budget_ratio.clone();
        r.register("traces_budget_ratio", "Kept over allowed in this horizon", ratio);
        r.register("traces_horizon_units", "Units of the budget's horizon", self.horizon.clone());
        let share = self.anomaly_share.clone();
        r.register("traces_anomaly_ratio", "Estimated share of anomalous traces", share);
        let backlog = self.forward_backlog.clone();
        r.register("forward_backlog_spans", "Spans in the log for a destination", backlog);
        r.register("log_held_requests", "Requests that are not decided", self.log_held.clone());
        r.register("log_size_bytes", "Bytes of the logs", self.log_bytes.clone());
        r.register("log_events", "What happened to the logs", self.log_events.clone());
    }
}

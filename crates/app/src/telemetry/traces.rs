//! Metric families of whole traces and of their destinations.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spanwise_model::Timestamp;
use spanwise_sampler::trace::Unit;

use super::metrics::{DestinationLabel, FloatGauge, OutcomeLabel, ReasonLabel};
use crate::pipeline::keeper::Showing;
use crate::pipeline::traces::Stage;

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

    /// Shows what the stage has counted.
    pub fn show(&self, stage: &Stage, now: Timestamp) {
        let counters = stage.counters();
        let sampler = stage.sampler_stats();
        let late = counters.late;
        raise(&self.kept_spans, counters.n_kept_spans);
        raise(&self.kept_bytes, counters.n_kept_bytes);
        for (outcome, total) in [
            ("kept", counters.n_kept),
            ("dropped", counters.n_dropped),
            ("budget_exhausted", sampler.counters.n_budget_exhausted),
            ("promoted_from_waiting", sampler.counters.n_promoted),
            ("given_up_waiting", sampler.counters.n_given_up),
        ] {
            raise(&self.verdicts.get_or_create(&OutcomeLabel { outcome }), total);
        }
        for (outcome, total) in [
            ("followed_keep", late.n_followed_keep),
            ("followed_drop", late.n_followed_drop),
            ("joined_waiting", late.n_joined),
            ("over_budget", late.n_over_budget),
            ("promoted_traces", late.n_promoted),
            ("promotions_over_budget", late.n_promotions_over_budget),
            ("promotions_too_late", late.n_promotions_too_late),
        ] {
            raise(&self.late.get_or_create(&OutcomeLabel { outcome }), total);
        }
        for shadow in stage.shadows() {
            let labels = BudgetLabel { budget: shadow.name.clone() };
            raise(&self.shadow_kept.get_or_create(&labels), shadow.n_kept);
        }
        self.held.set(gauge(sampler.n_held));
        self.anomaly_share.set(sampler.anomaly_share);
        let balance = stage.ledger().balance(now);
        self.budget_ratio.set(balance.kept as f64 / balance.allowed.max(f64::MIN_POSITIVE));
        for (outcome, units) in [("seen", balance.seen), ("kept", balance.kept)] {
            self.horizon.get_or_create(&OutcomeLabel { outcome }).set(gauge(units));
        }
    }

    /// Shows how the logs are.
    pub fn show_logs(&self, showing: &Showing) {
        for (log, n_bytes) in [("spans", showing.span_log_bytes), ("kept", showing.kept_log_bytes)]
        {
            self.log_bytes.get_or_create(&LogLabel { log }).set(gauge(n_bytes));
        }
        self.log_held.set(gauge(showing.n_held_requests));
        for (name, n_spans) in &showing.backlogs {
            let labels = DestinationLabel { destination: name.clone() };
            self.forward_backlog.get_or_create(&labels).set(gauge(*n_spans));
        }
        for (outcome, total) in [
            ("commits", showing.n_commits),
            ("failed_syncs", showing.n_failed_syncs),
            ("acknowledged_requests", showing.n_acknowledged),
            ("refused_requests", showing.n_refused),
            ("given_up_spans", showing.n_given_up_spans),
        ] {
            raise(&self.log_events.get_or_create(&OutcomeLabel { outcome }), total);
        }
    }
}

/// Name of a budget's unit.
pub const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Traces => "traces",
        Unit::Spans => "spans",
        Unit::Bytes => "bytes",
    }
}

/// Brings a counter to a total that only grows.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

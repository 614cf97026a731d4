//! Whole traces as counted by their stage and by the keeper of the logs, brought to the metrics.

use spanwise_model::Timestamp;
use spanwise_sampler::trace::Unit;

use super::picture::{Picture, StagePicture};
use crate::pipeline::keeper::Showing;
use crate::telemetry::metrics::{DestinationLabel, OutcomeLabel, follow};
use crate::telemetry::traces::{BudgetLabel, LogLabel, TraceMetrics};

/// Shows what the stage has counted.
pub(super) fn stage(metrics: &TraceMetrics, stage: &StagePicture, now: Timestamp) {
    let StagePicture { counters, sampler, .. } = stage;
    let late = counters.late;
    follow(&metrics.kept_spans, counters.n_kept_spans);
    follow(&metrics.kept_bytes, counters.n_kept_bytes);
    for (outcome, total) in [
        ("kept", counters.n_kept),
        ("dropped", counters.n_dropped),
        ("budget_exhausted", sampler.counters.n_budget_exhausted),
        ("promoted_from_waiting", sampler.counters.n_promoted),
        ("given_up_waiting", sampler.counters.n_given_up),
    ] {
        follow(&metrics.verdicts.get_or_create(&OutcomeLabel { outcome }), total);
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
        follow(&metrics.late.get_or_create(&OutcomeLabel { outcome }), total);
    }
    for (budget, _, n_kept) in &stage.shadows {
        let labels = BudgetLabel { budget: budget.clone() };
        follow(&metrics.shadow_kept.get_or_create(&labels), *n_kept);
    }
    metrics.held.set(gauge(sampler.n_held));
    metrics.anomaly_share.set(sampler.anomaly_share);
    let balance = stage.ledger.balance(now);
    metrics.budget_ratio.set(balance.kept as f64 / balance.allowed.max(f64::MIN_POSITIVE));
    for (outcome, units) in [("seen", balance.seen), ("kept", balance.kept)] {
        metrics.horizon.get_or_create(&OutcomeLabel { outcome }).set(gauge(units));
    }
}

/// Shows what memory has left to the log.
pub(super) fn stored(metrics: &TraceMetrics, picture: &Picture) {
    follow(&metrics.lightened, picture.open.n_lightened);
    let counters = &picture.counters;
    for (outcome, total) in [("read", counters.n_read_back), ("unreadable", counters.n_unreadable)]
    {
        follow(&metrics.read_back.get_or_create(&OutcomeLabel { outcome }), total);
    }
}

/// Shows how the logs are.
pub(super) fn logs(metrics: &TraceMetrics, showing: &Showing) {
    for (log, n_bytes) in [("spans", showing.span_log_bytes), ("kept", showing.kept_log_bytes)] {
        metrics.log_bytes.get_or_create(&LogLabel { log }).set(gauge(n_bytes));
    }
    metrics.log_held.set(gauge(showing.n_held_requests));
    for (name, n_spans) in &showing.backlogs {
        let labels = DestinationLabel { destination: name.clone() };
        metrics.forward_backlog.get_or_create(&labels).set(gauge(*n_spans));
    }
    for (outcome, total) in [
        ("commits", showing.n_commits),
        ("failed_syncs", showing.n_failed_syncs),
        ("acknowledged_requests", showing.n_acknowledged),
        ("refused_requests", showing.n_refused),
        ("given_up_spans", showing.n_given_up_spans),
    ] {
        follow(&metrics.log_events.get_or_create(&OutcomeLabel { outcome }), total);
    }
}

/// Name of a budget's unit.
pub(super) const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Traces => "traces",
        Unit::Spans => "spans",
        Unit::Bytes => "bytes",
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

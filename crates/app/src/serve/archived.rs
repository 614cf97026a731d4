//! Archives as counted by their parts, brought to the metrics and to the status.

use prometheus_client::metrics::counter::Counter;
use spanwise_api::{ArchiveStatus, ArchivedWindow, EmittedArchive};
use spanwise_archive::fidelity::Metric;
use spanwise_model::Timestamp;

use crate::archiving::{MEMORY_FACTOR, Received, Record, Showing};
use crate::telemetry::archives::{ArchiveMetrics, FigureLabel, KindLabel, LevelLabel};
use crate::telemetry::metrics::{OutcomeLabel, ReasonLabel};

/// Figures with a gauge of their own.
const GAUGES: [Metric; 6] =
    [Metric::Q1, Metric::Q2, Metric::Q3, Metric::Q4, Metric::ErrorTraceRel, Metric::W1];

/// Shows what was counted.
pub(super) fn count(metrics: &ArchiveMetrics, showing: &Showing) {
    for (level, total) in &showing.written {
        raise(&metrics.windows.get_or_create(&LevelLabel { level }), *total);
    }
    for (reason, total) in [("floor", showing.n_below_floor), ("pace", showing.n_out_of_time)] {
        raise(&metrics.windows_below.get_or_create(&ReasonLabel { reason }), total);
    }
    for (reason, total) in &showing.lost {
        let label = ReasonLabel { reason: reason.as_str() };
        raise(&metrics.windows_lost.get_or_create(&label), *total);
    }
    for (outcome, total) in [
        ("archived", showing.n_spans),
        ("lost", showing.n_lost_spans),
        ("emitted", showing.n_emitted_spans),
    ] {
        raise(&metrics.spans.get_or_create(&OutcomeLabel { outcome }), total);
    }
    for (outcome, total) in
        [("archived", showing.n_traces), ("verbatim", showing.n_traces_verbatim)]
    {
        raise(&metrics.traces.get_or_create(&OutcomeLabel { outcome }), total);
    }
    for (kind, total) in [("otlp", showing.n_bytes_otlp), ("archive", showing.n_bytes)] {
        raise(&metrics.bytes.get_or_create(&KindLabel { kind }), total);
    }
    for (outcome, total) in [
        ("pushed", showing.n_pushed),
        ("push_retries", showing.n_push_retries),
        ("received", showing.n_received),
        ("refused", showing.n_refused),
        ("emitted", showing.n_emitted),
        ("unusable", showing.n_unusable),
        ("removed", showing.n_removed),
    ] {
        raise(&metrics.events.get_or_create(&OutcomeLabel { outcome }), total);
    }
    for (outcome, n) in
        [("fit", showing.n_waiting), ("outbox", showing.n_outbox), ("inbox", showing.n_inbox)]
    {
        metrics.waiting.get_or_create(&OutcomeLabel { outcome }).set(gauge(n));
    }
    if let Some(record) = showing.windows.back() {
        metrics.fit_seconds.set(record.fit_s);
        for metric in GAUGES {
            if let Some(value) = figure(record, metric.name()) {
                let label = FigureLabel { figure: metric.name() };
                metrics.fidelity.get_or_create(&label).set(value);
            }
        }
    }
    if let Some(received) = showing.emitted.back() {
        metrics.latency_seconds.set(received.latency_s());
    }
}

/// Memory in use, as far as it is accounted for.
pub(super) fn held_bytes(showing: &Showing) -> u64 {
    showing.writing_bytes + showing.fitting_bytes * MEMORY_FACTOR + showing.emitting_bytes
}

/// What the status shows.
pub(super) fn status(showing: &Showing) -> ArchiveStatus {
    ArchiveStatus {
        n_written: showing.written.values().sum(),
        n_below_floor: showing.n_below_floor,
        n_out_of_time: showing.n_out_of_time,
        lost: showing.lost.iter().map(|(why, n)| (why.as_str(), *n)).collect(),
        n_lost_spans: showing.n_lost_spans,
        n_waiting: showing.n_waiting,
        n_outbox: showing.n_outbox,
        n_pushed: showing.n_pushed,
        push_problem: showing.push_problem.clone(),
        n_received: showing.n_received,
        n_refused: showing.n_refused,
        n_inbox: showing.n_inbox,
        n_emitted: showing.n_emitted,
        n_unusable: showing.n_unusable,
        windows: showing.windows.iter().map(window).collect(),
        emitted: showing.emitted.iter().map(emitted).collect(),
    }
}

fn window(record: &Record) -> ArchivedWindow {
    let time = |ns: u64| (ns > 0).then_some(Timestamp(ns));
    ArchivedWindow {
        window: record.window,
        opened: Timestamp(record.opened_ns),
        closed: Timestamp(record.closed_ns),
        reason: record.reason.clone(),
        n_traces: record.traces,
        n_traces_verbatim: record.traces_verbatim,
        n_traces_marked: record.traces_marked,
        n_spans: record.spans,
        n_bytes_otlp: record.bytes_otlp,
        n_bytes: record.bytes,
        level: record.level.clone(),
        steps: record.steps.iter().map(|step| (step.level.clone(), step.why.clone())).collect(),
        fidelity: record.fidelity.clone(),
        waited_s: record.waited_s,
        fit_s: record.fit_s,
        archive: record.archive.clone(),
        pushed: time(record.pushed_ns),
    }
}

fn emitted(received: &Received) -> EmittedArchive {
    EmittedArchive {
        archive: received.archive.clone(),
        source: received.source.clone(),
        window: received.window,
        level: received.level.clone(),
        n_traces: received.traces,
        n_spans: received.spans,
        n_bytes: received.bytes,
        received: Timestamp(received.received_ns),
        emitted: Timestamp(received.emitted_ns),
        latency_s: received.latency_s(),
    }
}

fn figure(record: &Record, name: &str) -> Option<f64> {
    record.fidelity.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// Brings a counter to a total that only grows.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

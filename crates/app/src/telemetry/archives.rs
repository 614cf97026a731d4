//! Metric families of archives.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{FloatGauge, OutcomeLabel, ReasonLabel};

/// One label: what an archive keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LevelLabel {
    /// `l0` to `l3`.
    pub level: &'static str,
}

/// One label: a figure of fidelity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FigureLabel {
    /// Its name.
    pub figure: &'static str,
}

/// One label: bytes of what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `otlp` or `archive`.
    pub kind: &'static str,
}

/// The families.
#[derive(Clone, Debug, Default)]
pub struct ArchiveMetrics {
    /// Archives written.
    pub windows: Family<LevelLabel, Counter>,
    /// Levels that were not taken.
    pub windows_below: Family<ReasonLabel, Counter>,
    /// Windows lost.
    pub windows_lost: Family<ReasonLabel, Counter>,
    /// Traces in archives, and of them those kept as they were.
    pub traces: Family<OutcomeLabel, Counter>,
    /// Spans in archives, lost before, and sent on from received ones.
    pub spans: Family<OutcomeLabel, Counter>,
    /// Bytes of windows and of their archives.
    pub bytes: Family<KindLabel, Counter>,
    /// What happened to archives between processes.
    pub events: Family<OutcomeLabel, Counter>,
    /// What waits.
    pub waiting: Family<OutcomeLabel, Gauge>,
    /// Fidelity of the latest window.
    pub fidelity: Family<FigureLabel, FloatGauge>,
    /// Time of the latest fit.
    pub fit_seconds: FloatGauge,
    /// Latency of the archive sent on last.
    pub latency_seconds: FloatGauge,
}

impl ArchiveMetrics {
    /// Registers the families.
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("archive_windows", "Windows archived, by level", self.windows.clone());
        let below = self.windows_below.clone();
        r.register("archive_windows_below", "Levels passed over, by reason", below);
        let lost = self.windows_lost.clone();
        r.register("archive_windows_lost", "Windows lost, by reason", lost);
        r.register("archive_traces", "Traces in archives", self.traces.clone());
        r.register("archive_spans", "Spans in and from archives", self.spans.clone());
        r.register("archive_size_bytes", "Bytes of windows and archives", self.bytes.clone());
        r.register("archive_events", "What happened to archives", self.events.clone());
        let waiting = self.waiting.clone();
        r.register("archive_waiting_windows", "Windows that wait, and for what", waiting);
        let fidelity = self.fidelity.clone();
        r.register("archive_fidelity", "Figures of the latest window", fidelity);
        let fit = self.fit_seconds.clone();
        r.register_with_unit("archive_fit", "Time of the latest fit", Unit::Seconds, fit);
        let latency = self.latency_seconds.clone();
        let help = "From a window's opening to its last span sent on";
        r.register_with_unit("archive_latency", help, Unit::Seconds, latency);
    }
}

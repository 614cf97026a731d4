//! Archives in the status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::{ArchiveStatus, ArchivedWindow, EmittedArchive};
use crate::time::format_time;

/// Figures of archives since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArchiveView {
    /// Windows archived.
    pub written: u64,
    /// Levels passed over because fidelity was below the floor.
    pub below_floor: u64,
    /// Levels passed over for lack of time.
    pub out_of_time: u64,
    /// Windows lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Spans lost on their way to the disk.
    pub lost_spans: u64,
    /// Windows that wait to be fitted.
    pub waiting: u64,
    /// Archives that wait for their receiver.
    pub outbox: u64,
    /// Archives their receiver has.
    pub pushed: u64,
    /// Why the receiver cannot be reached; `null` if it can.
    pub push_problem: Option<String>,
    /// Archives received.
    pub received: u64,
    /// Pieces and archives refused.
    pub refused: u64,
    /// Archives received that wait to be sent on.
    pub inbox: u64,
    /// Archives sent on.
    pub emitted: u64,
    /// Archives received that could not be brought back.
    pub unusable: u64,
    /// The latest windows archived, oldest first.
    pub windows: Vec<ArchivedWindowView>,
    /// The latest archives sent on, oldest first.
    pub emitted_archives: Vec<EmittedArchiveView>,
}

/// A window that was archived.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArchivedWindowView {
    /// Its number.
    pub window: u64,
    /// When its first trace closed.
    pub opened: String,
    /// When it closed.
    pub closed: String,
    /// Why: `time`, `traces`, `bytes`, `stop` or `found`.
    pub reason: String,
    /// Traces.
    pub traces: u64,
    /// Traces kept as they were.
    pub traces_verbatim: u64,
    /// Traces that were marked.
    pub traces_marked: u64,
    /// Spans.
    pub spans: u64,
    /// Bytes of its requests.
    pub bytes_otlp: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// What the archive keeps.
    pub level: String,
    /// Levels passed over, and why.
    pub steps: Vec<StepView>,
    /// Figures of fidelity by name.
    pub fidelity: BTreeMap<String, f64>,
    /// Seconds from its end to the start of its fit.
    pub waited_s: f64,
    /// Seconds of its fit.
    pub fit_s: f64,
    /// Id of the archive in hex.
    pub archive: String,
    /// When its receiver had it; `null` if it has not, or there is none.
    pub pushed: Option<String>,
}

/// A level passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The level.
    pub level: String,
    /// Why.
    pub why: String,
}

/// An archive from elsewhere whose spans were sent on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmittedArchiveView {
    /// Its id in hex.
    pub archive: String,
    /// Who sent it.
    pub source: String,
    /// Number of the window there.
    pub window: u64,
    /// What it keeps.
    pub level: String,
    /// Traces.
    pub traces: u64,
    /// Spans sent on.
    pub spans: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// When it was received.
    pub received: String,
    /// When its last span was acknowledged.
    pub emitted: String,
    /// Seconds from the window's opening at the sender to that, by both clocks.
    pub latency_s: f64,
}

impl From<&ArchiveStatus> for ArchiveView {
    fn from(status: &ArchiveStatus) -> Self {
        Self {
            written: status.n_written,
            below_floor: status.n_below_floor,
            out_of_time: status.n_out_of_time,
            lost: status.lost.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
            lost_spans: status.n_lost_spans,
            waiting: status.n_waiting,
            outbox: status.n_outbox,
            pushed: status.n_pushed,
            push_problem: status.push_problem.clone(),
            received: status.n_received,
            refused: status.n_refused,
            inbox: status.n_inbox,
            emitted: status.n_emitted,
            unusable: status.n_unusable,
            windows: status.windows.iter().map(ArchivedWindowView::from).collect(),
            emitted_archives: status.emitted.iter().map(EmittedArchiveView::from).collect(),
        }
    }
}

impl From<&ArchivedWindow> for ArchivedWindowView {
    fn from(window: &ArchivedWindow) -> Self {
        let step =
            |(level, why): &(String, String)| StepView { level: level.clone(), why: why.clone() };
        Self {
            window: window.window,
            opened: format_time(window.opened),
            closed: format_time(window.closed),
            reason: window.reason.clone(),
            traces: window.n_traces,
            traces_verbatim: window.n_traces_verbatim,
            traces_marked: window.n_traces_marked,
            spans: window.n_spans,
            bytes_otlp: window.n_bytes_otlp,
            bytes: window.n_bytes,
            level: window.level.clone(),
            steps: window.steps.iter().map(step).collect(),
            fidelity: window.fidelity.iter().cloned().collect(),
            waited_s: window.waited_s,
            fit_s: window.fit_s,
            archive: window.archive.clone(),
            pushed: window.pushed.map(format_time),
        }
    }
}

impl From<&EmittedArchive> for EmittedArchiveView {
    fn from(archive: &EmittedArchive) -> Self {
        Self {
            archive: archive.archive.clone(),
            source: archive.source.clone(),
            window: archive.window,
            level: archive.level.clone(),
            traces: archive.n_traces,
            spans: archive.n_spans,
            bytes: archive.n_bytes,
            received: format_time(archive.received),
            emitted: format_time(archive.emitted),
            latency_s: archive.latency_s,
        }
    }
}

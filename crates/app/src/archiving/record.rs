//! What became of a window: the record that lies beside its archive and stands in the status.

use serde::{Deserialize, Serialize};
use spanwise_archive::Level;
use spanwise_archive::fidelity::{Fidelity, Metric};
use spanwise_model::Timestamp;

use crate::pipeline::windows::Closed;

/// What became of a window at its sender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; numbers grow.
    pub window: u64,
    /// When its first trace closed, in nanoseconds since the epoch.
    pub opened_ns: u64,
    /// When it closed.
    pub closed_ns: u64,
    /// Why: `time`, `traces`, `bytes`, `stop`, or `found` after a restart.
    pub reason: String,
    /// Traces.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Bytes of its requests.
    pub bytes_otlp: u64,
    /// Traces that were marked.
    pub traces_marked: u64,
    /// Traces kept as they were.
    pub traces_verbatim: u64,
    /// The archive's id in hex.
    pub archive: String,
    /// Bytes of the archive.
    pub bytes: u64,
    /// What the archive keeps.
    pub level: String,
    /// Levels that were tried or passed over first, and why.
    pub steps: Vec<Step>,
    /// How well the archive answers what the window answers: figures by name. Empty for `l0`.
    pub fidelity: Vec<(String, f64)>,
    /// Time from the window's end to the start of its fit, in seconds.
    pub waited_s: f64,
    /// Time the fit took, failed levels and scores included.
    pub fit_s: f64,
    /// When the archive was on disk.
    pub fitted_ns: u64,
    /// When the receiver had it; 0 if it has not or there is none.
    pub pushed_ns: u64,
}

/// A level that was not taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The level.
    pub level: String,
    /// Why not.
    pub why: String,
}

/// What became of a window at its receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// The archive's id in hex.
    pub archive: String,
    /// Who sent it.
    pub source: String,
    /// Number of the window at the sender.
    pub window: u64,
    /// When the window was opened, by the sender's clock.
    pub opened_ns: u64,
    /// When it closed, by the sender's clock.
    pub closed_ns: u64,
    /// When it was received whole.
    pub received_ns: u64,
    /// Level of the archive.
    pub level: String,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Traces in it.
    pub traces: u64,
    /// Spans sent on.
    pub spans: u64,
    /// When the last of them was acknowledged; 0 if they are not sent.
    pub emitted_ns: u64,
}

impl Record {
    /// The record of a window that has just closed.
    pub fn new(window: u64, closed: &Closed) -> Self {
        Self {
            window,
            opened_ns: closed.opened.as_ns(),
            closed_ns: closed.closed.as_ns(),
            reason: closed.reason.as_str().to_owned(),
            traces: closed.n_traces,
            spans: closed.n_spans,
            bytes_otlp: closed.n_bytes,
            traces_marked: closed.n_marked,
            ..Self::default()
        }
    }

    /// Says that a level was not taken.
    pub fn step(&mut self, level: Level, why: String) {
        self.steps.push(Step { level: level.name().to_owned(), why });
    }

    /// Keeps the figures of a score that apply.
    pub fn score(&mut self, fidelity: Option<&Fidelity>) {
        let applies = |(metric, value): (Metric, Option<f64>)| Some((metric.name().into(), value?));
        self.fidelity = fidelity
            .map_or_else(Vec::new, |fidelity| fidelity.iter().filter_map(applies).collect());
    }
}

impl Received {
    /// Time from the window's opening to the last of its spans being acknowledged behind us, by two
    /// clocks: what the longest-waiting span of the window lost.
    pub fn latency_s(&self) -> f64 {
        seconds(Timestamp(self.opened_ns), Timestamp(self.emitted_ns))
    }
}

/// Seconds from one time to a later one; 0 if it is not later.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from) as f64 / 1e9
}

/// An id in hex.
pub(super) fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! Archives: what became of windows here, and of archives that came from elsewhere.

use spanwise_model::Timestamp;

/// Figures of archives since the start.
#[derive(Clone, Debug, Default)]
pub struct ArchiveStatus {
    /// Windows archived.
    pub n_written: u64,
    /// Levels passed over because fidelity was below the floor.
    pub n_below_floor: u64,
    /// Levels passed over for lack of time.
    pub n_out_of_time: u64,
    /// Windows lost, by reason.
    pub lost: Vec<(&'static str, u64)>,
    /// Spans lost on their way to the disk.
    pub n_lost_spans: u64,
    /// Windows that wait to be fitted.
    pub n_waiting: u64,
    /// Archives that wait for their receiver.
    pub n_outbox: u64,
    /// Archives their receiver has.
    pub n_pushed: u64,
    /// Why the receiver cannot be reached, if it cannot.
    pub push_problem: Option<String>,
    /// Archives received.
    pub n_received: u64,
    /// Pieces and archives refused.
    pub n_refused: u64,
    /// Archives received that wait to be sent on.
    pub n_inbox: u64,
    /// Archives sent on.
    pub n_emitted: u64,
    /// Archives received that could not be brought back.
    pub n_unusable: u64,
    /// The latest windows archived, oldest first.
    pub windows: Vec<ArchivedWindow>,
    /// The latest archives sent on, oldest first.
    pub emitted: Vec<EmittedArchive>,
}

/// A window that was archived.
#[derive(Clone, Debug, Default)]
pub struct ArchivedWindow {
    /// Its number.
    pub window: u64,
    /// When its first trace closed.
    pub opened: Timestamp,
    /// When it closed.
    pub closed: Timestamp,
    /// Why it closed.
    pub reason: String,
    /// Traces.
    pub n_traces: u64,
    /// Traces kept as they were.
    pub n_traces_verbatim: u64,
    /// Traces that were marked.
    pub n_traces_marked: u64,
    /// Spans.
    pub n_spans: u64,
    /// Bytes of its requests.
    pub n_bytes_otlp: u64,
    /// Bytes of the archive.
    pub n_bytes: u64,
    /// What the archive keeps.
    pub level: String,
    /// Levels passed over, and why.
    pub steps: Vec<(String, String)>,
    /// Figures of fidelity by name.
    pub fidelity: Vec<(String, f64)>,
    /// Seconds from its end to the start of its fit.
    pub waited_s: f64,
    /// Seconds of its fit.
    pub fit_s: f64,
    /// Id of the archive in hex.
    pub archive: String,
    /// When its receiver had it.
    pub pushed: Option<Timestamp>,
}

/// An archive from elsewhere whose spans were sent on.
#[derive(Clone, Debug, Default)]
pub struct EmittedArchive {
    /// Its id in hex.
    pub archive: String,
    /// Who sent it.
    pub source: String,
    /// Number of the window there.
    pub window: u64,
    /// What it keeps.
    pub level: String,
    /// Traces.
    pub n_traces: u64,
    /// Spans sent on.
    pub n_spans: u64,
    /// Bytes of the archive.
    pub n_bytes: u64,
    /// When it was received.
    pub received: Timestamp,
    /// When its last span was acknowledged.
    pub emitted: Timestamp,
    /// Seconds from the window's opening to that.
    pub latency_s: f64,
}

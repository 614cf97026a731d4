//! What the parts count and show: one place that all of them write to and the status reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use spanwise_archive::Level;

use super::record::{Received, Record};
use crate::pipeline::windows::TapStats;

/// Windows of each kind that are remembered.
const RECENT_MAX: usize = 64;

/// Why a window is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// More windows waited to be fitted than may.
    Waiting,
    /// The disk did not take it.
    Disk,
    /// What was recorded cannot be fitted at any level.
    Unfit,
    /// The receiver refused it for good.
    Refused,
    /// The outbox was full and it was the oldest.
    Outbox,
}

/// The figures.
#[derive(Clone, Debug, Default)]
pub struct Showing {
    /// Archives written, by level.
    pub written: BTreeMap<&'static str, u64>,
    /// Windows whose level was not the configured one, by why: `floor` or `pace`.
    pub n_below_floor: u64,
    /// See [`Showing::n_below_floor`].
    pub n_out_of_time: u64,
    /// Windows lost.
    pub lost: BTreeMap<Lost, u64>,
    /// Traces in archives.
    pub n_traces: u64,
    /// Spans in archives.
    pub n_spans: u64,
    /// Traces in archives as they were.
    pub n_traces_verbatim: u64,
    /// Bytes of requests that went into archives.
    pub n_bytes_otlp: u64,
    /// Bytes of archives.
    pub n_bytes: u64,
    /// Windows that wait to be fitted.
    pub n_waiting: u64,
    /// Bytes of the window that is being fitted.
    pub fitting_bytes: u64,
    /// Bytes that the archive takes which is being brought back, about.
    pub emitting_bytes: u64,
    /// Bytes on their way to the disk.
    pub writing_bytes: u64,
    /// Spans that the disk was too slow for.
    pub n_lost_spans: u64,
    /// Archives that wait for the receiver.
    pub n_outbox: u64,
    /// Archives the receiver has.
    pub n_pushed: u64,
    /// Attempts to reach it that failed.
    pub n_push_retries: u64,
    /// Why it cannot be reached, if it cannot.
    pub push_problem: Option<String>,
    /// Archives received and stored.
    pub n_received: u64,
    /// Pieces and archives refused.
    pub n_refused: u64,
    /// Archives received that wait to be sent on.
    pub n_inbox: u64,
    /// Archives sent on.
    pub n_emitted: u64,
    /// Spans sent on.
    pub n_emitted_spans: u64,
    /// Archives received that could not be brought back.
    pub n_unusable: u64,
    /// Stored archives that were removed to make room.
    pub n_removed: u64,
    /// The latest windows archived, oldest first.
    pub windows: VecDeque<Record>,
    /// The latest archives sent on, oldest first.
    pub emitted: VecDeque<Received>,
}

/// Where the figures are.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    figures: Arc<Mutex<Showing>>,
    tap: Arc<Mutex<Option<Arc<TapStats>>>>,
}

impl Lost {
    /// Name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Disk => "disk",
            Self::Unfit => "unfit",
            Self::Refused => "refused",
            Self::Outbox => "outbox",
        }
    }
}

impl Shown {
    /// The figures now.
    pub fn get(&self) -> Showing {
        let mut showing = self.figures.lock().clone();
        if let Some(tap) = &*self.tap.lock() {
            showing.writing_bytes = tap.waiting_bytes();
            showing.n_lost_spans = tap.lost_spans();
        }
        showing
    }

    /// Names where spans on their way to the disk are counted.
    pub fn follow_tap(&self, stats: Arc<TapStats>) {
        *self.tap.lock() = Some(stats);
    }

    /// Changes them.
    pub fn update(&self, change: impl FnOnce(&mut Showing)) {
        change(&mut self.figures.lock());
    }

    /// Counts a lost window.
    pub fn lost(&self, why: Lost) {
        self.update(|showing| *showing.lost.entry(why).or_default() += 1);
    }

    /// Counts an archive that was written.
    pub fn written(&self, record: &Record, level: Level) {
        self.update(|showing| {
            *showing.written.entry(level.name()).or_default() += 1;
            showing.n_traces += record.traces;
            showing.n_spans += record.spans;
            showing.n_traces_verbatim += record.traces_verbatim;
            showing.n_bytes_otlp += record.bytes_otlp;
            showing.n_bytes += record.bytes;
            push(&mut showing.windows, record.clone());
        });
    }

    /// Notes when the receiver had a window.
    pub fn pushed(&self, window: u64, at_ns: u64) {
        self.update(|showing| {
            showing.n_pushed += 1;
            showing.push_problem = None;
            let record = showing.windows.iter_mut().rfind(|record| record.window == window);
            if let Some(record) = record {
                record.pushed_ns = at_ns;
            }
        });
    }

    /// Counts an archive that was sent on.
    pub fn emitted(&self, received: &Received) {
        self.update(|showing| {
            showing.n_emitted += 1;
            showing.n_emitted_spans += received.spans;
            push(&mut showing.emitted, received.clone());
        });
    }
}

fn push<T>(recent: &mut VecDeque<T>, item: T) {
    if recent.len() == RECENT_MAX {
        recent.pop_front();
    }
    recent.push_back(item);
}

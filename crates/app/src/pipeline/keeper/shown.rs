//! What the rest of the process sees of the keeper, and for how long either log rests after a failure.
//!
//! The logs rest apart: verdicts need the kept log alone, and they are what empties a span log that is
//! full. Requests wait for both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info};

use super::REST;
use crate::clock::Clock;

/// After so long without a failure, and without success, a log may be well again.
const UNTRIED: Duration = Duration::from_secs(3);

/// What the rest of the process sees of the keeper.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    state: Arc<Mutex<State>>,
    /// Told when a log has stopped.
    stopped: Arc<Notify>,
}

/// Figures of the keeper.
#[derive(Clone, Debug, Default)]
pub struct Showing {
    /// Bytes of both logs.
    pub span_log_bytes: u64,
    /// Bytes of the kept log.
    pub kept_log_bytes: u64,
    /// Commits of the span log.
    pub n_commits: u64,
    /// Syncs that failed.
    pub n_failed_syncs: u64,
    /// Requests that were refused because they could not be written.
    pub n_refused: u64,
    /// Requests acknowledged.
    pub n_acknowledged: u64,
    /// Spans given up because the kept log was full, all destinations together.
    pub n_given_up_spans: u64,
    /// Requests in the span log that are not decided, or whose verdicts are not on disk; with several
    /// shards, parts of them.
    pub n_held_requests: u64,
    /// Spans that each destination has not got, or of which it is not on disk that it has.
    pub backlogs: Vec<(String, u64)>,
    /// Why nothing is taken now.
    pub problem: Option<String>,
    /// The disk has so little room that nothing new is taken.
    pub is_disk_low: bool,
    /// A log has stopped for good.
    pub is_stopped: bool,
}

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Spans,
    Kept,
}

#[derive(Debug, Default)]
struct State {
    /// All but `problem`.
    showing: Showing,
    /// How much room the disk has, where that is too little.
    low: Option<String>,
    spans: Trouble,
    kept: Trouble,
}

/// Why a log could not be written, and until when it rests.
#[derive(Debug, Default)]
struct Trouble {
    problem: Option<String>,
    rests_until: Option<Instant>,
}

impl Shown {
    /// Figures now.
    pub fn get(&self) -> Showing {
        let state = self.state.lock();
        let State { showing, low, spans, kept } = &*state;
        let problem = low.as_ref().or(kept.problem.as_ref()).or(spans.problem.as_ref());
        Showing { problem: problem.cloned(), ..showing.clone() }
    }

    /// Ends when a log has stopped for good: the disk failed twice, and nothing is acknowledged any
    /// more.
    pub async fn stopped(&self) {
        self.stopped.notified().await;
    }

    /// Whether requests are refused now.
    pub fn is_closed(&self, clock: Clock) -> bool {
        let (state, now) = (self.state.lock(), clock.instant());
        state.low.is_some() || state.spans.rests(now) || state.kept.rests(now)
    }

    /// Whether a log has failed a moment ago.
    pub(super) fn rests(&self, which: Which, clock: Clock) -> bool {
        self.state.lock().trouble(which).rests(clock.instant())
    }

    pub(super) fn is_disk_low(&self) -> bool {
        self.state.lock().low.is_some()
    }

    /// Changes the figures.
    pub(super) fn update(&self, change: impl FnOnce(&mut Showing)) {
        change(&mut self.state.lock().showing);
    }

    pub(super) fn set_disk_low(&self, is_low: bool, free_mib: u64) {
        let mut state = self.state.lock();
        if state.low.is_some() == is_low {
            return;
        }
        state.showing.is_disk_low = is_low;
        if is_low {
            error!(free_mib, "acknowledging stops until the disk has more room");
            state.low = Some(format!("only {free_mib} MiB of the disk are free, the reserve"));
        } else {
            info!(free_mib, "the disk has room again");
            state.low = None;
        }
    }

    /// A log could not be written: it rests for a while, and no request is taken meanwhile.
    pub(super) fn fail(&self, which: Which, problem: &spanwise_wal::Error, clock: Clock) {
        let mut state = self.state.lock();
        state.showing.n_refused += 1;
        let text = problem.to_string();
        let trouble = state.trouble(which);
        trouble.rests_until = Some(clock.instant() + REST);
        if trouble.problem.as_ref() != Some(&text) {
            error!(error = %text, "acknowledging stops until the log can be written again");
        }
        trouble.problem = Some(text);
        if matches!(problem, spanwise_wal::Error::Stopped) {
            state.showing.is_stopped = true;
            self.stopped.notify_one();
        }
    }

    /// Forgets why a log could not be written if nobody has tried for a while: clients that a process which is
    /// not ready has sent away would else never find out that it is well.
    pub(super) fn forgive(&self, which: Which, clock: Clock) {
        let (mut state, now) = (self.state.lock(), clock.instant());
        if state.showing.is_stopped {
            return;
        }
        let trouble = state.trouble(which);
        if trouble.rests_until.is_some_and(|until| now >= until + UNTRIED) {
            *trouble = Trouble::default();
            info!("nobody has tried to write to the log for a while: requests are taken again");
        }
    }

    /// A log was written.
    pub(super) fn relieve(&self, which: Which) {
        let mut state = self.state.lock();
        let trouble = std::mem::take(state.trouble(which));
        if trouble.problem.is_some() {
            info!("the log is written again");
        }
    }
}

impl State {
    const fn trouble(&mut self, which: Which) -> &mut Trouble {
        match which {
            Which::Spans => &mut self.spans,
            Which::Kept => &mut self.kept,
        }
    }
}

impl Trouble {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

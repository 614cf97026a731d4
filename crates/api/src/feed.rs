//! Events for those who watch: numbered, kept for a while so that a client can resume where it was,
//! and lost in the open where it cannot.
//!
//! A number carries the epoch of the process, because numbers start anew with it: who resumes with
//! one of an earlier process learns that something is missing, not how much.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use spanwise_model::Decision;
use tokio::sync::broadcast;

use crate::snapshot::Anomaly;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A span was kept.
    Anomaly(Arc<Anomaly>),
    /// A decision was taken, or its outcome became known: one id may come twice.
    Decision(Arc<Decision>),
}

/// Where the application publishes events and clients follow them. A clone is the same feed.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

/// What a client gets when it starts to follow.
pub(crate) struct Follow {
    /// Events it missed and can still have.
    pub(crate) backlog: VecDeque<Numbered>,
    /// Set if events between its last one and the backlog are gone.
    pub(crate) gap: Option<Gap>,
    /// Events from here on.
    pub(crate) live: broadcast::Receiver<Numbered>,
}

/// What is missing, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    /// Events lost; `null` if that cannot be told.
    pub(crate) missed: Option<u64>,
}

/// An event with its number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    /// Number, starting at 1.
    pub(crate) seq: u64,
    /// The event.
    pub(crate) event: Event,
}

#[derive(Debug)]
struct Shared {
    epoch: u64,
    n_kept: usize,
    ring: Mutex<Ring>,
    sender: broadcast::Sender<Numbered>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Numbered>,
    last_seq: u64,
}

impl Feed {
    /// A feed that keeps the last `n_kept` events, at least 1, for clients that resume; a client
    /// that falls further behind loses events and is told. `epoch` tells this process from earlier
    /// ones, such as its start in nanoseconds.
    pub fn new(epoch: u64, n_kept: usize) -> Self {
        let n_kept = n_kept.max(1);
        let (sender, _) = broadcast::channel(n_kept);
        let shared = Shared { epoch, n_kept, ring: Mutex::new(Ring::default()), sender };
        Self { shared: Arc::new(shared) }
    }

    /// Publishes an event. Never waits; with nobody there it is only kept.
    pub fn publish(&self, event: Event) {
        let mut ring = self.shared.ring.lock();
        ring.last_seq += 1;
        let numbered = Numbered { seq: ring.last_seq, event };
        if ring.events.len() == self.shared.n_kept {
            ring.events.pop_front();
        }
        ring.events.push_back(numbered.clone());
        // Under the lock, so that a new follower gets each event once: in its backlog or live. It
        // fails when nobody follows, which is no loss.
        drop(self.shared.sender.send(numbered));
    }

    /// Follows from now on, or from behind the event that `last_id` names.
    pub(crate) fn follow(&self, last_id: Option<&str>) -> Follow {
        let ring = self.shared.ring.lock();
        let live = self.shared.sender.subscribe();
        let nothing = VecDeque::new();
        let Some(last_id) = last_id else { return Follow { backlog: nothing, gap: None, live } };
        let Some(seen) = self.seq(last_id).filter(|&seq| seq <= ring.last_seq) else {
            let gap = Some(Gap { missed: None });
            return Follow { backlog: ring.events.clone(), gap, live };
        };
        let backlog: VecDeque<Numbered> =
            ring.events.iter().filter(|numbered| numbered.seq > seen).cloned().collect();
        let first = backlog.front().map_or(ring.last_seq + 1, |numbered| numbered.seq);
        let n_gone = first - seen - 1;
        let gap = (n_gone > 0).then_some(Gap { missed: Some(n_gone) });
        Follow { backlog, gap, live }
    }

    /// The id that a client names to resume behind event `seq`.
    pub(crate) fn id(&self, seq: u64) -> String {
        format!("{:x}-{seq}", self.shared.epoch)
    }

    /// The number in an id of this process.
    fn seq(&self, id: &str) -> Option<u64> {
        let (epoch, seq) = id.split_once('-')?;
        let same = u64::from_str_radix(epoch, 16).ok()? == self.shared.epoch;
        seq.parse().ok().filter(|_| same)
    }
}

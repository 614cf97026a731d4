//! What a replay says to the keeper.
//!
//! It has a way of its own, on which nobody waits: messages of shards wait for the disk, and a start
//! must get through its log however the disk is. What is said is a count for each segment, so it needs
//! no more room however long nobody listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use spanwise_wal::{Disk, Log};

/// Requests that were found in the span log and are needed.
///
/// The keeper takes what is here before each message of a shard: so it has heard that a request is
/// needed before anybody can say that it is not any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    /// Parts of requests by the segment they stand in.
    n_parts: BTreeMap<u32, u64>,
    /// Everything in the log has been looked at.
    is_all: bool,
}

impl Holds {
    /// So many parts of a request in this segment are needed. To be said before its lease is given away.
    pub(super) fn hold(&self, segment: u32, n_parts: u64) {
        *self.said.lock().n_parts.entry(segment).or_default() += n_parts;
    }

    /// That was all.
    pub(super) fn end(&self) {
        self.said.lock().is_all = true;
    }

    /// Tells the log what was said since the last call.
    pub(super) fn tell<D: Disk>(&self, spans: &mut Log<D>) {
        let Said { n_parts, is_all } = std::mem::take(&mut *self.said.lock());
        for (segment, n_parts) in n_parts {
            spans.hold(segment, n_parts);
        }
        if is_all {
            spans.finish_replay();
        }
    }
}

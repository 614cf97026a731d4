//! What became of traces that were decided, so that spans that come later follow.
//!
//! Keeps are remembered exactly, the least recently used forgotten first. Drops are many: the latest
//! stand in an exact table, and when their time there is over (or it is full) they go to two cuckoo
//! filters of 16-bit fingerprints that take turns, 2 MiB for a million ids. A filter may say
//! "dropped" of an id it never saw, once in about four thousand look-ups with both filters full.
//!
//! A verdict changes from drop to keep only. Nothing here looks at spans, holds bytes or reads a
//! clock.

mod cuckoo;
mod drops;
mod keeps;
mod share;
mod snapshot;

use std::sync::Arc;

use spanwise_model::{Timestamp, TraceId};

use cuckoo::Cuckoo;
use drops::Drops;
use keeps::Keeps;

pub use share::Share;
pub use snapshot::{Snapshot, SnapshotError};

/// Filters taken over from others, at most: two of each of sixteen shards, 64 MiB of the default size.
/// Beyond it the oldest go.
const N_INHERITED_MAX: usize = 32;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateConfig {
    /// Keeps, 1 to 16,777,216. Default 100,000.
    pub n_keeps: u32,
    /// Drops that are remembered exactly, at most. Default 65,536.
    pub n_exact: u32,
    /// How long they are. Default 60 s.
    pub exact_ns: u64,
    /// Drops remembered in a filter before the older filter is emptied, so that at least as many
    /// are known at any time. 64 to 16,777,216, default 1,000,000.
    pub n_drops: u32,
    /// Seed of the fingerprints. A snapshot is read back under the seed it was made with only.
    pub seed: u64,
}

/// What a kept trace was kept with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Rejection threshold out of 2^56 that its spans left with; 0 = none.
    pub threshold: u64,
    /// Whether thresholds that come in must go.
    pub erase_threshold: bool,
    /// Why it was kept: a number whose meaning is the caller's.
    pub reason: u8,
}

/// What is known of a trace id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Kept.
    Kept(Note),
    /// Dropped; if it is not in the exact table any more, unless a filter errs.
    Dropped,
}

/// Remembers decided traces in bounded memory.
///
/// Cost: a look-up touches at most six cache lines, and so does noting a drop; nothing is allocated
/// once the tables have their size.
#[derive(Debug)]
pub struct Decided {
    config: LateConfig,
    keeps: Keeps,
    drops: Drops,
    /// The one that fills, and the one before.
    filters: [Cuckoo; 2],
    /// Of those who remembered other shares, oldest first: asked and not filled. They may go as soon as
    /// a filter of our own is full, for then we know as many drops as is promised.
    inherited: Vec<Inherited>,
    counters: LateStats,
}

/// A filter of somebody who remembered another share of the ids.
#[derive(Clone, Debug)]
struct Inherited {
    share: Share,
    filter: Arc<Cuckoo>,
}

/// Gauges and counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateStats {
    /// Keeps remembered.
    pub n_keeps: u64,
    /// Drops remembered, exactly or not.
    pub n_drops: u64,
    /// Keeps forgotten for lack of room.
    pub n_forgotten_keeps: u64,
    /// Times the older filter was emptied.
    pub n_rotations: u64,
    /// Bytes on the heap.
    pub bytes: u64,
}

impl Default for LateConfig {
    fn default() -> Self {
        Self {
            n_keeps: 100_000,
            n_exact: 1 << 16,
            exact_ns: 60 * 1_000_000_000,
            n_drops: 1_000_000,
            seed: 0,
        }
    }
}

impl Decided {
    /// Nothing is known. Numbers beyond their range count as its nearest end.
    pub fn new(config: LateConfig) -> Self {
        let n_drops = config.n_drops.clamp(64, 1 << 24);
        let filter = || Cuckoo::new(n_drops, config.seed);
        Self {
            config: LateConfig { n_drops, ..config },
            keeps: Keeps::new(config.n_keeps.clamp(1, 1 << 24)),
            drops: Drops::new(config.n_exact.clamp(1, 1 << 24)),
            filters: [filter(), filter()],
            inherited: Vec::new(),
            counters: LateStats::default(),
        }
    }

    /// Notes a keep, of a trace that was dropped before too.
    pub fn keep(&mut self, id: TraceId, note: Note) {
        self.drops.remove(id);
        self.counters.n_forgotten_keeps += u64::from(self.keeps.put(id, note));
    }

    /// Notes a drop of so many spans, 0 = not known. A trace that was kept stays kept.
    pub fn drop(&mut self, id: TraceId, n_spans: u32, now: Timestamp) {
        if self.keeps.contains(id) {
            return;
        }
        if let Some(oldest) = self.drops.put(id, n_spans, now) {
            self.filter(oldest);
        }
    }

    /// So many more spans have followed a drop.
    pub fn drop_more(&mut self, id: TraceId, n_spans: u32) {
        self.drops.add_spans(id, n_spans);
    }

    /// What is known of a trace. Being asked for keeps a keep from being forgotten.
    pub fn find(&mut self, id: TraceId) -> Option<Known> {
        if let Some(note) = self.keeps.get(id) {
            return Some(Known::Kept(note));
        }
        let [current, before] = &self.filters;
        let is_dropped = self.drops.contains(id)
            || current.contains(id)
            || before.contains(id)
            || self.is_inherited(id);
        is_dropped.then_some(Known::Dropped)
    }

    /// How many spans of a trace were dropped; `None` if that is not known any more.
    pub fn n_dropped_spans(&self, id: TraceId) -> Option<u32> {
        self.drops.n_spans(id).filter(|&n| n > 0)
    }

    /// Moves drops whose time in the exact table is over to the filter. Once a second is plenty.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some(oldest) = self.drops.take_older(now, self.config.exact_ns) {
            self.filter(oldest);
        }
    }

    /// Gauges and counters. What was taken over from others is not among the drops, but its bytes are
    /// counted, by each who shares them.
    pub fn stats(&self) -> LateStats {
        let [current, before] = &self.filters;
        let inherited: usize = self.inherited.iter().map(|one| one.filter.bytes()).sum();
        let filters = current.bytes() + before.bytes() + inherited;
        LateStats {
            n_keeps: self.keeps.len() as u64,
            n_drops: (self.drops.len() + current.len() + before.len()) as u64,
            bytes: (self.keeps.bytes() + self.drops.bytes() + filters) as u64,
            ..self.counters
        }
    }

    /// How much is remembered.
    pub const fn config(&self) -> LateConfig {
        self.config
    }

    fn is_inherited(&self, id: TraceId) -> bool {
        self.inherited.iter().any(|one| one.share.has(id) && one.filter.contains(id))
    }

    fn filter(&mut self, id: TraceId) {
        if self.filters[0].is_full() {
            self.filters.swap(0, 1);
            self.filters[0].clear();
            self.inherited = Vec::new();
            self.counters.n_rotations += 1;
        }
        self.filters[0].insert(id);
    }
}

#[cfg(test)]
mod tests;

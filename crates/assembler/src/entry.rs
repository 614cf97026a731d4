//! An open trace, and the queues it waits in.
//!
//! `now` never goes backwards, so every queue is a list in order of time: a trace is appended when
//! its deadline moves and the next one due stands at the front. No heap, no timing wheel, no
//! rounding of deadlines.

use spanwise_model::{Timestamp, TraceId};

use crate::slab::{NO_SLOT, Slab};

/// Open spans in a block: what fills one cache line of 64 bytes.
pub(crate) const BLOCK: usize = 7;

/// An open trace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) trace_id: TraceId,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    /// When the first root arrived, or the trace was hurried; `None` before.
    pub(crate) root_seen: Option<Timestamp>,
    pub(crate) links: [Link; 2],
    pub(crate) first_block: u32,
    pub(crate) last_block: u32,
    /// Spans now held.
    pub(crate) n_spans: u32,
    /// Whether a part of the trace has closed as full.
    pub(crate) overflowed: bool,
    /// Whether a root is among the spans now held.
    pub(crate) has_root: bool,
    /// Whether it waits for the grace period without a root.
    pub(crate) is_hurried: bool,
}

/// Spans of one trace, in order of arrival.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    pub(crate) spans: [OpenSpan; BLOCK],
    pub(crate) next: u32,
}

/// A span in the window: 8 bytes beside the head and the raw bytes its batch holds anyway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenSpan {
    pub(crate) batch_slot: u32,
    /// Position in the batch; the top bit says that the span was kept on arrival. A batch of 2^31
    /// heads would take 200 GB, so the bit is free.
    idx_and_kept: u32,
}

/// Neighbours of an entry in one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

/// Which of an entry's links a queue runs over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// By first arrival: age, and the order of eviction.
    Age = 0,
    /// By last arrival without a root, or by arrival of the root.
    Due = 1,
}

/// A doubly linked list through the slab of entries.
#[derive(Debug)]
pub(crate) struct Queue {
    lane: Lane,
    front: u32,
    back: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { prev: NO_SLOT, next: NO_SLOT }
    }
}

impl OpenSpan {
    const KEPT: u32 = 1 << 31;

    pub(crate) const fn new(batch_slot: u32, span_idx: u32, kept_early: bool) -> Self {
        let kept = if kept_early { Self::KEPT } else { 0 };
        Self { batch_slot, idx_and_kept: span_idx | kept }
    }

    pub(crate) const fn span_idx(self) -> u32 {
        self.idx_and_kept & !Self::KEPT
    }

    pub(crate) const fn kept_early(self) -> bool {
        self.idx_and_kept & Self::KEPT != 0
    }
}

impl Queue {
    pub(crate) const fn new(lane: Lane) -> Self {
        Self { lane, front: NO_SLOT, back: NO_SLOT }
    }

    pub(crate) const fn front(&self) -> Option<u32> {
        if self.front == NO_SLOT { None } else { Some(self.front) }
    }

    pub(crate) const fn is_back(&self, slot: u32) -> bool {
        self.back == slot
    }

    pub(crate) fn push_back(&mut self, entries: &mut Slab<Entry>, slot: u32) {
        let lane = self.lane as usize;
        entries.get_mut(slot).links[lane] = Link { prev: self.back, next: NO_SLOT };
        match self.back {
            NO_SLOT => self.front = slot,
            back => entries.get_mut(back).links[lane].next = slot,
        }
        self.back = slot;
    }

    /// Takes an entry out of this queue, in which it must stand.
    pub(crate) fn remove(&mut self, entries: &mut Slab<Entry>, slot: u32) {
        let lane = self.lane as usize;
        let Link { prev, next } = entries.get(slot).links[lane];
        match prev {
            NO_SLOT => self.front = next,
            prev => entries.get_mut(prev).links[lane].next = next,
        }
        match next {
            NO_SLOT => self.back = prev,
            next => entries.get_mut(next).links[lane].prev = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_cache_line() {
        assert_eq!(size_of::<OpenSpan>(), 8);
        assert!(size_of::<Block>() <= 64, "{}", size_of::<Block>());
        assert!(size_of::<Entry>() <= 104, "{}", size_of::<Entry>());
    }

    #[test]
    fn entries_leave_a_queue_from_any_place() {
        let mut entries = Slab::new();
        let slots: Vec<u32> = (0..4).map(|_| entries.insert(Entry::default())).collect();
        let mut queue = Queue::new(Lane::Due);
        for &slot in &slots {
            queue.push_back(&mut entries, slot);
        }
        queue.remove(&mut entries, slots[1]);
        queue.remove(&mut entries, slots[3]);
        queue.push_back(&mut entries, slots[1]);
        let mut seen = Vec::new();
        while let Some(slot) = queue.front() {
            queue.remove(&mut entries, slot);
            seen.push(slot);
        }
        assert_eq!(seen, [slots[0], slots[2], slots[1]]);
    }
}

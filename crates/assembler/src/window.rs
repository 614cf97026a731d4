//! The window: spans go in, closed traces come out.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use spanwise_model::{Batch, CloseReason, ClosedSpan, ClosedTrace, Timestamp, TraceId};

use crate::batches::Batches;
use crate::config::{Config, MEMORY_BYTES_MIN};
use crate::entry::{BLOCK, Block, Entry, Lane, OpenSpan, Queue};
use crate::error::ConfigError;
use crate::family::Family;
use crate::pool::Pool;
use crate::slab::{NO_SLOT, Slab};
use crate::stats::Stats;

/// Gathers spans into traces; see the crate's documentation for when a trace closes.
///
/// Cost: a push is one look-up in a hash table and a few writes, a close is O(n log n) in the spans
/// of the trace, a tick is O(traces closed). In steady state nothing is allocated if closed traces
/// come back through [`Assembler::recycle`].
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    /// Open traces by id. Ids come raw from the network, hence the randomly keyed hasher; no
    /// iteration over this table ever reaches the output.
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    entries: Slab<Entry>,
    blocks: Slab<Block>,
    batches: Batches,
    by_age: Queue,
    by_idle: Queue,
    by_root: Queue,
    /// Entry of the span pushed last: spans of a trace often follow each other.
    last: u32,
    n_opened: u64,
    now: Timestamp,
    /// No trace is due before this time; may be early, never late.
    due_from: Timestamp,
    due: Vec<Due>,
    family: Family,
    pool: Pool,
    stats: Stats,
}

/// A trace to be closed. Ordered by deadline, then by id: the order of the spans in a request, whose
/// roots all come at once, decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: Timestamp,
    trace_id: TraceId,
    slot: u32,
}

impl Assembler {
    /// An empty window.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        // A thirty-second of the memory, at most 8 MiB, may lie idle as lists to be used again.
        let pool_bytes = (config.memory_bytes / 32).min(8 << 20) as usize;
        Ok(Self {
            config,
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            entries: Slab::new(),
            blocks: Slab::new(),
            batches: Batches::new(),
            by_age: Queue::new(Lane::Age),
            by_idle: Queue::new(Lane::Due),
            by_root: Queue::new(Lane::Due),
            last: NO_SLOT,
            n_opened: 0,
            now: Timestamp(0),
            due_from: Timestamp(u64::MAX),
            due: Vec::new(),
            family: Family::default(),
            pool: Pool::new(pool_bytes),
            stats: Stats::default(),
        })
    }

    /// Takes span `span_idx` of `batch`. Traces that are due by `now` close first; then this one if
    /// it is full, then the oldest ones until memory suffices. What closed is appended to `out`.
    ///
    /// The batch is held, and charged once, while any of its spans is open. `now` must not go
    /// backwards; if it does, the latest one counts. A position outside the batch is ignored.
    ///
    /// Whether the span is the first of its trace, as far as the window knows: then ask what was
    /// decided before, and [`hurry`](Self::hurry).
    pub fn push(
        &mut self,
        batch: &Arc<Batch>,
        span_idx: u32,
        kept_early: bool,
        now: Timestamp,
        out: &mut Vec<ClosedTrace>,
    ) -> bool {
        let Some(head) = batch.spans.get(span_idx as usize) else {
            debug_assert!(false, "span {span_idx} of a batch of {}", batch.spans.len());
            return false;
        };
        self.tick(now, out);
        let n_before = self.n_charged();
        let n_opened_before = self.n_opened;
        let slot = self.find_or_open(head.trace_id);
        let batch_slot = self.batches.retain(batch);
        self.append(slot, OpenSpan::new(batch_slot, span_idx, kept_early));
        let has_grown = self.n_charged() > n_before;
        self.touch(slot, head.is_root());
        self.stats.n_spans += 1;
        if self.entries.get(slot).n_spans >= self.config.n_spans_per_trace {
            self.close_part(slot, out);
        }
        let is_first = self.n_opened > n_opened_before;
        if has_grown {
            self.batches.lighten(self.full_bytes_max());
            self.make_room(out);
        }
        is_first
    }

    /// Closes the trace of the span pushed last one grace period from now, as if it had a root:
    /// for spans of a trace that was decided before, which have nothing to wait for. Nothing if that
    /// trace has left already.
    pub fn hurry(&mut self) {
        let slot = self.last;
        if slot == NO_SLOT || self.entries.get(slot).root_seen.is_some() {
            return;
        }
        self.await_grace(slot);
        self.entries.get_mut(slot).is_hurried = true;
    }

    /// Closes the traces that are due by `now`, in order of their deadlines. O(1) if none is.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<ClosedTrace>) {
        self.now = self.now.max(now);
        if self.now < self.due_from {
            return;
        }
        self.collect_due();
        let mut due = std::mem::take(&mut self.due);
        due.sort_unstable();
        for &Due { slot, .. } in &due {
            let reason = self.due_reason(slot);
            self.close(slot, reason, out);
        }
        due.clear();
        self.due = due;
        self.due_from = self.next_deadline().unwrap_or(Timestamp(u64::MAX));
        self.shrink_table();
    }

    /// Closes everything, oldest first; the window is empty afterwards and may be used again.
    pub fn drain(&mut self, now: Timestamp, out: &mut Vec<ClosedTrace>) {
        self.tick(now, out);
        while let Some(slot) = self.by_age.front() {
            self.unlink(slot);
            self.close(slot, CloseReason::Drained, out);
        }
        self.due_from = Timestamp(u64::MAX);
        assert_eq!(self.stats.n_open_spans, 0, "spans are left after drain");
        assert_eq!(self.batches.batch_bytes(), 0, "batches are left after drain");
    }

    /// When the next trace closes if no span comes before; `None` if nothing is open. With event
    /// time as `now`, ticking at each of these in turn gives every trace its exact closing time.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let queues = [&self.by_age, &self.by_idle, &self.by_root];
        queues.into_iter().filter_map(Queue::front).map(|slot| self.deadline(slot)).min()
    }

    /// Takes back a closed trace whose spans nobody needs any more, so that its memory is used
    /// again. Not calling this costs an allocation per trace and nothing else.
    pub fn recycle(&mut self, trace: ClosedTrace) {
        self.pool.put(trace.spans);
    }

    /// Gauges and counters. O(1).
    pub fn stats(&self) -> Stats {
        Stats {
            n_open_traces: self.entries.len() as u64,
            bytes: self.bytes(),
            batch_bytes: self.batches.batch_bytes(),
            full_bytes: self.batches.full_bytes(),
            n_lightened: self.batches.n_lightened(),
            ..self.stats
        }
    }

    /// Sets what the window may hold from now on, at least 1 MiB: with the next span the oldest
    /// traces leave until that suffices.
    pub fn set_memory_bytes(&mut self, bytes: u64) {
        self.config.memory_bytes = bytes.max(MEMORY_BYTES_MIN);
    }

    /// Every byte on the heap that this window answers for.
    fn bytes(&self) -> u64 {
        let index = self.entries.bytes()
            + self.blocks.bytes()
            + self.batches.index_bytes()
            + self.by_id.allocation_size()
            + self.due.capacity() * size_of::<Due>()
            + self.family.bytes()
            + self.pool.bytes();
        self.batches.batch_bytes() + index as u64
    }

    /// What requests may hold whose spans still have their bytes: what is set, and not so much that
    /// traces would have to leave for it.
    fn full_bytes_max(&self) -> u64 {
        let others = self.bytes() - self.batches.full_bytes();
        let room = (self.config.memory_bytes / 8 * 7).saturating_sub(others);
        self.config.full_bytes.min(room)
    }

    /// Number of things that cost bytes; while it does not grow, memory does not.
    const fn n_charged(&self) -> usize {
        self.entries.len() + self.blocks.len() + self.batches.len()
    }

    fn find_or_open(&mut self, trace_id: TraceId) -> u32 {
        if self.last != NO_SLOT && self.entries.get(self.last).trace_id == trace_id {
            return self.last;
        }
        let hash = self.hasher.hash_one(trace_id);
        let entries = &self.entries;
        let found = self.by_id.find(hash, |&slot| entries.get(slot).trace_id == trace_id);
        self.last = match found {
            Some(&slot) => slot,
            None => self.open(trace_id, hash),
        };
        self.last
    }

    fn open(&mut self, trace_id: TraceId, hash: u64) -> u32 {
        let slot = self.entries.insert(Entry {
            trace_id,
            first_seen: self.now,
            last_seen: self.now,
            first_block: NO_SLOT,
            last_block: NO_SLOT,
            ..Entry::default()
        });
        self.n_opened += 1;
        let (hasher, entries) = (&self.hasher, &self.entries);
        self.by_id.insert_unique(hash, slot, |&slot| hasher.hash_one(entries.get(slot).trace_id));
        self.by_age.push_back(&mut self.entries, slot);
        self.by_idle.push_back(&mut self.entries, slot);
        self.due_from = self.due_from.min(self.deadline(slot));
        slot
    }

    fn append(&mut self, slot: u32, span: OpenSpan) {
        let entry = self.entries.get_mut(slot);
        let place = entry.n_spans as usize % BLOCK;
        if place == 0 {
            let block = self.blocks.insert(Block { next: NO_SLOT, ..Block::default() });
            match entry.last_block {
                NO_SLOT => entry.first_block = block,
                last => self.blocks.get_mut(last).next = block,
            }
            entry.last_block = block;
        }
        self.blocks.get_mut(entry.last_block).spans[place] = span;
        entry.n_spans += 1;
        self.stats.n_open_spans += 1;
        self.stats.n_overflow_spans += u64::from(entry.overflowed);
    }

    /// Moves the deadline of a trace to which a span was added.
    fn touch(&mut self, slot: u32, is_root: bool) {
        let entry = self.entries.get_mut(slot);
        entry.has_root |= is_root;
        let moved = entry.last_seen != self.now;
        entry.last_seen = self.now;
        if entry.root_seen.is_some() {
            return;
        }
        if is_root {
            self.await_grace(slot);
        } else if moved && !self.by_idle.is_back(slot) {
            self.by_idle.remove(&mut self.entries, slot);
            self.by_idle.push_back(&mut self.entries, slot);
        }
    }

    /// From now on only the grace period is waited for.
    fn await_grace(&mut self, slot: u32) {
        self.entries.get_mut(slot).root_seen = Some(self.now);
        self.by_idle.remove(&mut self.entries, slot);
        self.by_root.push_back(&mut self.entries, slot);
        self.due_from = self.due_from.min(self.deadline(slot));
    }

    fn deadline(&self, slot: u32) -> Timestamp {
        let entry = self.entries.get(slot);
        let quiet = match entry.root_seen {
            Some(at) => at.plus_ns(self.config.grace_ns),
            None => entry.last_seen.plus_ns(self.config.idle_ns),
        };
        quiet.min(entry.first_seen.plus_ns(self.config.age_ns))
    }

    fn due_reason(&self, slot: u32) -> CloseReason {
        let entry = self.entries.get(slot);
        let old = self.deadline(slot) == entry.first_seen.plus_ns(self.config.age_ns);
        match entry.root_seen {
            _ if old => CloseReason::Age,
            Some(_) if !entry.is_hurried => CloseReason::RootEnded,
            _ => CloseReason::Idle,
        }
    }

    /// Takes every trace that is due out of the queues.
    fn collect_due(&mut self) {
        for lane in 0..3 {
            loop {
                let queue = [&self.by_root, &self.by_idle, &self.by_age][lane];
                let Some(slot) = queue.front() else { break };
                let deadline = self.deadline(slot);
                if deadline > self.now {
                    break;
                }
                let trace_id = self.entries.get(slot).trace_id;
                self.due.push(Due { deadline, trace_id, slot });
                self.unlink(slot);
            }
        }
    }

    fn unlink(&mut self, slot: u32) {
        self.by_age.remove(&mut self.entries, slot);
        let has_root = self.entries.get(slot).root_seen.is_some();
        let due = if has_root { &mut self.by_root } else { &mut self.by_idle };
        due.remove(&mut self.entries, slot);
    }

    /// Closes a trace that stands in no queue any more.
    fn close(&mut self, slot: u32, reason: CloseReason, out: &mut Vec<ClosedTrace>) {
        let entry = self.entries.get(slot);
        let hash = self.hasher.hash_one(entry.trace_id);
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        if self.last == slot {
            self.last = NO_SLOT;
        }
        let entry = self.entries.remove(slot);
        self.emit(&entry, reason, out);
    }

    /// Closes the spans of a full trace and leaves the trace open for the rest, so that its age and
    /// its root are not forgotten.
    fn close_part(&mut self, slot: u32, out: &mut Vec<ClosedTrace>) {
        let entry = self.entries.get_mut(slot);
        entry.overflowed = true;
        let part = *entry;
        entry.first_block = NO_SLOT;
        entry.last_block = NO_SLOT;
        entry.n_spans = 0;
        entry.has_root = false;
        self.emit(&part, CloseReason::Full, out);
    }

    fn make_room(&mut self, out: &mut Vec<ClosedTrace>) {
        while self.bytes() > self.config.memory_bytes {
            let Some(slot) = self.by_age.front() else { break };
            self.unlink(slot);
            self.close(slot, CloseReason::Evicted, out);
        }
    }

    /// Turns the blocks of an entry into a closed trace. Nothing if all its spans left as parts.
    fn emit(&mut self, entry: &Entry, reason: CloseReason, out: &mut Vec<ClosedTrace>) {
        if entry.n_spans == 0 {
            return;
        }
        let mut spans = self.pool.take(entry.n_spans as usize);
        let mut block_slot = entry.first_block;
        while block_slot != NO_SLOT {
            let block = self.blocks.remove(block_slot);
            let n = (entry.n_spans as usize - spans.len()).min(BLOCK);
            for &span in &block.spans[..n] {
                if let Some(batch) = self.batches.get(span.batch_slot) {
                    spans.push(closed_span(batch, span));
                }
                self.batches.release(span.batch_slot);
            }
            block_slot = block.next;
        }
        debug_assert_eq!(spans.len(), entry.n_spans as usize, "every open span has its batch");
        let found = self.family.resolve(&mut spans);
        self.stats.n_open_spans -= u64::from(entry.n_spans);
        self.stats.n_duplicates += found.n_duplicates;
        self.stats.n_orphans += found.n_orphans;
        self.stats.n_cycles += found.n_cycles;
        self.stats.count_close(reason);
        out.push(ClosedTrace {
            trace_id: entry.trace_id,
            reason,
            closed_at: self.now,
            overflowed: entry.overflowed,
            has_root: entry.has_root,
            spans,
        });
    }

    /// Gives memory of the table back after a burst; an eighth of its capacity must be enough.
    fn shrink_table(&mut self) {
        let capacity = self.by_id.capacity();
        if capacity > 4096 && self.by_id.len() < capacity / 8 {
            let (hasher, entries) = (&self.hasher, &self.entries);
            let hash = |&slot: &u32| hasher.hash_one(entries.get(slot).trace_id);
            self.by_id.shrink_to(self.by_id.len() * 2, hash);
        }
    }
}

fn closed_span(batch: &Arc<Batch>, span: OpenSpan) -> ClosedSpan {
    ClosedSpan {
        batch: Arc::clone(batch),
        span_idx: span.span_idx(),
        parent: -1,
        self_ns: 0,
        own_ns: 0,
        gap_ns: None,
        kept_early: span.kept_early(),
    }
}

//! The batches that open spans lie in: held and charged once, however many of their spans are open.
//! Those whose bytes stand elsewhere too lose them, oldest first, when all together hold too many.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use spanwise_model::Batch;

use crate::slab::{NO_SLOT, Slab};

/// Bytes of a batch beside what it owns on the heap: the struct and the two counts of its `Arc`.
const ARC_BYTES: u64 = (size_of::<Batch>() + 2 * size_of::<usize>()) as u64;

#[derive(Debug)]
pub(crate) struct Batches {
    held: Slab<Held>,
    /// Slots by the address of the batch; addresses are never seen outside, so their order does not
    /// matter.
    by_address: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Slot of the batch asked for last: spans come batch by batch.
    last: u32,
    bytes: u64,
    /// Of these, batches whose spans have their bytes.
    full_bytes: u64,
    /// Batches that may lose their bytes, in order of arrival. Some are gone by now: numbers tell.
    full: VecDeque<Full>,
    n_held: u64,
    n_lightened: u64,
}

#[derive(Debug, Default)]
struct Held {
    batch: Option<Arc<Batch>>,
    n_spans: u32,
    bytes: u64,
    /// The how manyth batch this is.
    number: u64,
    is_light: bool,
}

#[derive(Clone, Copy, Debug)]
struct Full {
    slot: u32,
    number: u64,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self {
            held: Slab::new(),
            by_address: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            last: NO_SLOT,
            bytes: 0,
            full_bytes: 0,
            full: VecDeque::new(),
            n_held: 0,
            n_lightened: 0,
        }
    }

    /// Bytes of the held batches that have the bytes of their spans.
    pub(crate) const fn full_bytes(&self) -> u64 {
        self.full_bytes
    }

    /// Batches that lost the bytes of their spans, so far.
    pub(crate) const fn n_lightened(&self) -> u64 {
        self.n_lightened
    }

    /// Bytes of the held batches themselves.
    pub(crate) const fn batch_bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of held batches.
    pub(crate) const fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the index over them.
    pub(crate) fn index_bytes(&self) -> usize {
        self.held.bytes()
            + self.by_address.allocation_size()
            + self.full.capacity() * size_of::<Full>()
    }

    /// The batch of a slot that holds one.
    pub(crate) fn get(&self, slot: u32) -> Option<&Arc<Batch>> {
        self.held.get(slot).batch.as_ref()
    }

    /// Notes one more open span of `batch`.
    pub(crate) fn retain(&mut self, batch: &Arc<Batch>) -> u32 {
        let slot = self.find_or_hold(batch);
        self.held.get_mut(slot).n_spans += 1;
        self.last = slot;
        slot
    }

    /// Notes one open span less; with the last one the batch is let go.
    pub(crate) fn release(&mut self, slot: u32) {
        let held = self.held.get_mut(slot);
        held.n_spans -= 1;
        if held.n_spans > 0 {
            return;
        }
        let held = self.held.remove(slot);
        self.bytes -= held.bytes;
        self.full_bytes -= if held.is_light { 0 } else { held.bytes };
        if self.last == slot {
            self.last = NO_SLOT;
        }
        let hash = held.batch.as_ref().map_or(0, |batch| hash_of(&self.hasher, batch));
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
    }

    /// Takes the bytes of spans out of the oldest batches that are stored elsewhere until all full
    /// batches together hold at most `bytes_max`, or none is left but the last one: its spans are
    /// still coming. A batch that others hold too is copied without them.
    pub(crate) fn lighten(&mut self, bytes_max: u64) {
        while self.full_bytes > bytes_max {
            let Some(&Full { slot, number }) = self.full.front() else { return };
            let is_there = self.held.try_get(slot).is_some_and(|held| held.number == number);
            if is_there && self.last == slot {
                return;
            }
            self.full.pop_front();
            if is_there {
                self.lighten_one(slot);
            }
        }
        if self.full.capacity() > 1024 && self.full.len() < self.full.capacity() / 8 {
            self.full.shrink_to(self.full.len() * 2);
        }
    }

    fn lighten_one(&mut self, slot: u32) {
        let held = self.held.get_mut(slot);
        let Some(mut batch) = held.batch.take() else { return };
        let hash = hash_of(&self.hasher, &batch);
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        Arc::make_mut(&mut batch).lighten();
        let bytes = batch.heap_bytes() + ARC_BYTES;
        let hash = hash_of(&self.hasher, &batch);
        let held = self.held.get_mut(slot);
        self.full_bytes -= held.bytes;
        self.bytes = self.bytes - held.bytes + bytes;
        (held.batch, held.bytes, held.is_light) = (Some(batch), bytes, true);
        self.n_lightened += 1;
        let (hasher, held) = (&self.hasher, &self.held);
        self.by_address.insert_unique(hash, slot, |&slot| {
            held.get(slot).batch.as_ref().map_or(0, |batch| hash_of(hasher, batch))
        });
    }

    fn find_or_hold(&mut self, batch: &Arc<Batch>) -> u32 {
        let is = |held: &Held| held.batch.as_ref().is_some_and(|other| Arc::ptr_eq(other, batch));
        if self.last != NO_SLOT && is(self.held.get(self.last)) {
            return self.last;
        }
        let hash = hash_of(&self.hasher, batch);
        if let Some(&slot) = self.by_address.find(hash, |&slot| is(self.held.get(slot))) {
            return slot;
        }
        let bytes = batch.heap_bytes() + ARC_BYTES;
        self.bytes += bytes;
        self.n_held += 1;
        let is_light = batch.spans.first().is_some_and(|head| head.raw.is_away());
        self.full_bytes += if is_light { 0 } else { bytes };
        let number = self.n_held;
        let batch_held = Some(Arc::clone(batch));
        let slot =
            self.held.insert(Held { batch: batch_held, n_spans: 0, bytes, number, is_light });
        if batch.is_stored && !is_light {
            self.full.push_back(Full { slot, number });
        }
        let (hasher, held) = (&self.hasher, &self.held);
        self.by_address.insert_unique(hash, slot, |&slot| {
            held.get(slot).batch.as_ref().map_or(0, |batch| hash_of(hasher, batch))
        });
        slot
    }
}

fn hash_of(hasher: &DefaultHashBuilder, batch: &Arc<Batch>) -> u64 {
    hasher.hash_one(Arc::as_ptr(batch).addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(n_bytes: usize) -> Arc<Batch> {
        let raw = spanwise_model::ByteRange { start: 1, len: n_bytes as u32 - 1 };
        let spans = vec![spanwise_model::SpanHead { raw, ..Default::default() }];
        let bytes = vec![0; n_bytes].into();
        Arc::new(Batch { bytes, spans, is_stored: true, ..Batch::default() })
    }

    fn is_light(batches: &Batches, slot: u32) -> bool {
        batches.get(slot).unwrap().spans[0].raw.is_away()
    }

    #[test]
    fn the_oldest_stored_batches_lose_their_bytes_first() {
        let mut batches = Batches::new();
        let lone = Arc::new(Batch { bytes: vec![0; 5000].into(), ..Batch::default() });
        let kept = batches.retain(&lone);
        let shared = stored(1000);
        let [a, b, c] =
            [Arc::clone(&shared), stored(1000), stored(1000)].map(|batch| batches.retain(&batch));
        let full = batches.full_bytes();
        batches.lighten(full - 500);
        assert!(is_light(&batches, a) && !is_light(&batches, b));
        assert!(!shared.spans[0].raw.is_away(), "others still have theirs");
        batches.lighten(0);
        assert!(is_light(&batches, b));
        assert!(!is_light(&batches, c), "its spans are still coming");
        assert_eq!(batches.get(kept).unwrap().bytes.len(), 5000, "it stands nowhere else");
        assert_eq!(batches.n_lightened(), 2);
        let charged: u64 = [kept, a, b, c]
            .map(|slot| batches.get(slot).unwrap().heap_bytes() + ARC_BYTES)
            .iter()
            .sum();
        assert_eq!(batches.batch_bytes(), charged);
        for slot in [kept, a, b, c] {
            batches.release(slot);
        }
        assert_eq!((batches.batch_bytes(), batches.full_bytes()), (0, 0));
        let again = batches.retain(&stored(1000));
        batches.retain(&lone);
        batches.lighten(0);
        assert!(is_light(&batches, again), "places of those that are gone are passed over");
    }

    #[test]
    fn a_batch_is_charged_once_while_any_of_its_spans_is_open() {
        let batch = Arc::new(Batch { bytes: vec![0; 1000].into(), ..Batch::default() });
        let other = Arc::new(Batch { bytes: vec![0; 50].into(), ..Batch::default() });
        let mut batches = Batches::new();
        let a = batches.retain(&batch);
        let b = batches.retain(&other);
        assert_eq!(batches.retain(&batch), a);
        assert_eq!(batches.batch_bytes(), 1050 + 2 * ARC_BYTES);
        batches.release(a);
        assert_eq!(batches.batch_bytes(), 1050 + 2 * ARC_BYTES);
        batches.release(a);
        assert_eq!(batches.batch_bytes(), 50 + ARC_BYTES);
        batches.release(b);
        assert_eq!(batches.batch_bytes(), 0);
        assert_eq!(Arc::strong_count(&batch), 1);
    }
}

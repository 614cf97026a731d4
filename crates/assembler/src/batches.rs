//! The batches that open spans lie in: held and charged once, however many of their spans are open.

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
}

#[derive(Debug, Default)]
struct Held {
    batch: Option<Arc<Batch>>,
    n_spans: u32,
    bytes: u64,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self {
            held: Slab::new(),
            by_address: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            last: NO_SLOT,
            bytes: 0,
        }
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
        self.held.bytes() + self.by_address.allocation_size()
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
        if self.last == slot {
            self.last = NO_SLOT;
        }
        let hash = held.batch.as_ref().map_or(0, |batch| hash_of(&self.hasher, batch));
        if let Ok(entry) = self.by_address.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
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
        let slot = self.held.insert(Held { batch: Some(Arc::clone(batch)), n_spans: 0, bytes });
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

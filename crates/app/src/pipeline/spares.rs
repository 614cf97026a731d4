//! Tables of batches that nobody holds any more, for the next requests to be decoded into.
//!
//! The threads that decode and the one that lets go are different ones, so the tables travel through
//! this small shared stack instead of through the allocator. Few and small ones are kept: what lies
//! here is memory that no limit counts.

use parking_lot::Mutex;
use spanwise_model::Batch;

/// Batches kept.
pub(super) const N_MAX: usize = 32;
/// Tables larger than this are let go: twice what a request of 512 spans needs, so that all of them
/// together stay below 4.5 MiB.
const BYTES_MAX: u64 = 144 << 10;

/// A bounded stack of empty batches.
#[derive(Debug, Default)]
pub struct Spares(Mutex<Vec<Batch>>);

impl Spares {
    /// An empty batch, with tables if some are left.
    pub fn take(&self) -> Batch {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keeps the tables of a batch. Its bytes and heads are dropped now.
    pub fn put(&self, mut batch: Batch) {
        batch.clear();
        if batch.heap_bytes() > BYTES_MAX {
            return;
        }
        let mut spares = self.0.lock();
        if spares.len() < N_MAX {
            spares.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use spanwise_model::SpanHead;

    use super::*;

    fn batch(n_spans: usize) -> Batch {
        Batch {
            bytes: vec![0; 9].into(),
            spans: vec![SpanHead::default(); n_spans],
            ..Batch::default()
        }
    }

    #[test]
    fn tables_come_back_empty() {
        let spares = Spares::default();
        spares.put(batch(512));
        let spare = spares.take();
        assert!(spare.spans.is_empty() && spare.bytes.is_empty());
        assert_eq!(spare.spans.capacity(), 512);
        assert_eq!(spares.take().spans.capacity(), 0);
    }

    #[test]
    fn few_and_small_ones_are_kept() {
        let spares = Spares::default();
        spares.put(batch(10_000));
        assert_eq!(spares.take().spans.capacity(), 0);
        for _ in 0..2 * N_MAX {
            spares.put(batch(1));
        }
        assert_eq!(spares.0.lock().len(), N_MAX);
    }
}

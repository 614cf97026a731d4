//! The latest requests, whole, bounded in bytes and in time.
//!
//! Not indexed: a promotion is rare, and looking through the heads of some fifty thousand spans
//! takes less time than indexing every span would have taken of each.

use std::collections::VecDeque;
use std::sync::Arc;

use spanwise_model::{Batch, Timestamp, TraceId};

/// Nothing is held for longer: a log cannot free what is.
const AGE_NS: u64 = 60 * 1_000_000_000;

/// A bounded queue of requests.
#[derive(Debug)]
pub(super) struct Recent {
    batches: VecDeque<(Timestamp, u64, Arc<Batch>)>,
    n_bytes: u64,
    n_bytes_max: u64,
}

impl Recent {
    pub(super) fn new(n_bytes_max: u64) -> Self {
        Self { batches: VecDeque::new(), n_bytes: 0, n_bytes_max }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Adds a request; those that had to make room are appended to `out`.
    pub(super) fn push(&mut self, batch: &Arc<Batch>, now: Timestamp, out: &mut Vec<Arc<Batch>>) {
        let n_bytes = batch.heap_bytes();
        if n_bytes > self.n_bytes_max {
            return;
        }
        self.n_bytes += n_bytes;
        self.batches.push_back((now, n_bytes, Arc::clone(batch)));
        while self.n_bytes > self.n_bytes_max {
            self.pop(out);
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, out: &mut Vec<Arc<Batch>>) {
        while self.batches.front().is_some_and(|(at, ..)| now.since(*at) >= AGE_NS) {
            self.pop(out);
        }
    }

    pub(super) fn drain(&mut self, out: &mut Vec<Arc<Batch>>) {
        while !self.batches.is_empty() {
            self.pop(out);
        }
    }

    /// Every span of a trace that is still held, in order of arrival.
    pub(super) fn spans_of(&self, id: TraceId) -> Vec<(Arc<Batch>, u32)> {
        let mut found = Vec::new();
        for (_, _, batch) in &self.batches {
            for (idx, head) in (0..).zip(&batch.spans) {
                if head.trace_id == id {
                    found.push((Arc::clone(batch), idx));
                }
            }
        }
        found
    }

    fn pop(&mut self, out: &mut Vec<Arc<Batch>>) {
        if let Some((_, n_bytes, batch)) = self.batches.pop_front() {
            self.n_bytes -= n_bytes;
            out.push(batch);
        }
    }
}

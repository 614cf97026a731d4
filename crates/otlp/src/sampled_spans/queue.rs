//! What waits for one subscriber: bounded in bytes, oldest dropped first.
//!
//! Losses need no counter of their own. The position in the sequence says how many spans there
//! were; what was not sent of them was missed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

/// Spans that go to every subscriber, encoded once.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Sequence number of the first span.
    pub(super) first_sequence: u64,
    pub(super) n_spans: u64,
    /// The encoded fields that are the same for every subscriber.
    pub(super) body: Bytes,
}

/// The queue of one subscriber.
#[derive(Debug)]
pub(super) struct Queue {
    parcels: VecDeque<Arc<Parcel>>,
    n_bytes: usize,
    n_bytes_max: usize,
    /// Sequence number the subscription began or resumed at.
    begin: u64,
    /// Sequence number of the next span to be published.
    next: u64,
    n_sent: u64,
}

impl Queue {
    /// A queue whose account begins at `begin`, while `next` is the next span to be published.
    pub(super) const fn new(begin: u64, next: u64, n_bytes_max: usize) -> Self {
        Self { parcels: VecDeque::new(), n_bytes: 0, n_bytes_max, begin, next, n_sent: 0 }
    }

    pub(super) fn push(&mut self, parcel: &Arc<Parcel>) {
        debug_assert_eq!(parcel.first_sequence, self.next);
        self.next = parcel.first_sequence + parcel.n_spans;
        self.n_bytes += parcel.body.len();
        self.parcels.push_back(Arc::clone(parcel));
        while self.n_bytes > self.n_bytes_max {
            let Some(dropped) = self.parcels.pop_front() else { return };
            self.n_bytes -= dropped.body.len();
        }
    }

    /// Spans that are published in no parcel: missed.
    pub(super) const fn skip(&mut self, n_spans: u64) {
        self.next += n_spans;
    }

    /// The next parcel, its first sequence number, and how many spans were missed before it. With
    /// nothing to send, the same for the span that comes next.
    pub(super) fn pop(&mut self) -> (Option<Arc<Parcel>>, u64, u64) {
        let parcel = self.parcels.pop_front();
        let position = parcel.as_ref().map_or(self.next, |parcel| parcel.first_sequence);
        let n_missed = position - self.begin - self.n_sent;
        if let Some(parcel) = &parcel {
            self.n_bytes -= parcel.body.len();
            self.n_sent += parcel.n_spans;
        }
        (parcel, position, n_missed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    pub(super) const fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    pub(super) const fn n_sent(&self) -> u64 {
        self.n_sent
    }

    /// Spans missed for certain: those that are neither sent nor waiting.
    pub(super) fn n_missed(&self) -> u64 {
        let waiting: u64 = self.parcels.iter().map(|parcel| parcel.n_spans).sum();
        self.next - self.begin - self.n_sent - waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(first_sequence: u64, n_spans: u64) -> Arc<Parcel> {
        Arc::new(Parcel { first_sequence, n_spans, body: Bytes::from_static(&[0; 100]) })
    }

    #[test]
    fn what_does_not_fit_is_missed_oldest_first_and_told() {
        let mut queue = Queue::new(40, 50, 250);
        assert_eq!(queue.pop().1, 50);
        for idx in 0..4 {
            queue.push(&parcel(50 + 10 * idx, 10));
        }
        // Two of four fit; ten spans passed before the subscription was opened.
        assert_eq!((queue.n_bytes(), queue.n_missed()), (200, 30));
        let (first, position, n_missed) = queue.pop();
        assert_eq!((first.unwrap().n_spans, position, n_missed), (10, 70, 30));
        let (_, position, n_missed) = queue.pop();
        assert_eq!((position, n_missed), (80, 30));
        let (none, position, n_missed) = queue.pop();
        assert!(none.is_none());
        assert_eq!((position, n_missed, queue.n_sent()), (90, 30, 20));
        assert_eq!(queue.n_sent() + n_missed, position - 40);
    }

    #[test]
    fn a_parcel_larger_than_the_queue_is_missed() {
        let mut queue = Queue::new(0, 0, 50);
        queue.push(&parcel(0, 7));
        assert!(queue.is_empty());
        assert_eq!(queue.pop().2, 7);
    }
}

//! Holds a sender to a body deadline and to a least rate, so that nobody occupies a place by
//! sending a byte now and then.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use tokio::time::Sleep;

/// How slow a sender may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaceLimits {
    /// Length of a slice of time.
    pub(crate) slice: Duration,
    /// Least bytes in each slice.
    pub(crate) bytes_per_slice: u64,
    /// Slices until the deadline.
    pub(crate) n_slices: u32,
}

/// Watches one body.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    /// Made only once the sender lets us wait: most bodies have arrived as a whole.
    timer: Option<Pin<Box<Sleep>>>,
    bytes_in_slice: u64,
    n_slices: u32,
}

/// The sender was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl Pace {
    pub(crate) const fn new(limits: PaceLimits) -> Self {
        Self { limits, timer: None, bytes_in_slice: 0, n_slices: 0 }
    }

    /// Counts bytes that have arrived.
    pub(crate) const fn count(&mut self, n_bytes: usize) {
        self.bytes_in_slice += n_bytes as u64;
    }

    /// Waits for the next piece of the body while the sender keeps the pace.
    pub(crate) async fn wait<T>(&mut self, piece: impl Future<Output = T>) -> Result<T, TooSlow> {
        let mut piece = std::pin::pin!(piece);
        // First without a timer.
        if let Some(value) = piece.as_mut().now_or_never() {
            return Ok(value);
        }
        loop {
            let slice = self.limits.slice;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(slice)));
            match select(piece.as_mut(), timer.as_mut()).await {
                Either::Left((value, _)) => return Ok(value),
                Either::Right(((), _)) => self.end_slice()?,
            }
        }
    }

    fn end_slice(&mut self) -> Result<(), TooSlow> {
        self.timer = None;
        self.n_slices += 1;
        let slow = self.bytes_in_slice < self.limits.bytes_per_slice;
        self.bytes_in_slice = 0;
        if slow || self.n_slices >= self.limits.n_slices { Err(TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits =
        PaceLimits { slice: Duration::from_secs(5), bytes_per_slice: 100, n_slices: 6 };

    /// Pieces of `n_bytes` come every `every_ms`; how many are read before it is too slow.
    async fn check(n_bytes: usize, every_ms: u64, expected: u32) {
        let mut pace = Pace::new(LIMITS);
        let mut n_pieces = 0;
        while n_pieces < 1_000 {
            let piece = tokio::time::sleep(Duration::from_millis(every_ms));
            if pace.wait(piece).await.is_err() {
                break;
            }
            pace.count(n_bytes);
            n_pieces += 1;
        }
        assert_eq!(n_pieces, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_is_cut_after_a_slice_and_every_sender_at_the_deadline() {
        check(10, 1_001, 4).await;
        check(100, 6_000, 0).await;
        check(100, 1_001, 29).await;
    }
}

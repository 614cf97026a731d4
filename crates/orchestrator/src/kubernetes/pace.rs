//! At most so many calls in any 2 seconds: 10 by default, 5 a second with a burst of 10, so that
//! spanwise never is the load that an API server in trouble falls over.
//!
//! The last of them leave behind the moment at which their place is free again; a new call waits
//! for the oldest of them. The moments come from timers, hence no clock is read here.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// Length over which a burst must average out.
const SPAN_S: u32 = 2;
const SPAN: Duration = Duration::from_secs(SPAN_S as u64);

/// Lets calls through in order of arrival.
#[derive(Debug)]
pub(super) struct Pace {
    /// Calls within one [`SPAN`].
    burst: usize,
    free_at: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// A pace of so many calls a second, at least 1.
    pub(super) fn new(calls_per_s: u32) -> Self {
        let burst = (calls_per_s.max(1) * SPAN_S) as usize;
        Self { burst, free_at: Mutex::default() }
    }

    /// Returns when another call may be made, and counts it.
    pub(super) async fn turn(&self) {
        let mut free_at = self.free_at.lock().await;
        if free_at.len() >= self.burst {
            if let Some(&first) = free_at.front() {
                sleep_until(first).await;
            }
            // Only now: a caller that gave up while waiting must not leave a place behind.
            free_at.pop_front();
        }
        free_at.push_back(sleep(SPAN).deadline());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_is_spread() {
        let pace = Pace::new(5);
        let start = sleep(Duration::ZERO).deadline();
        let mut waits_ms = Vec::new();
        for _ in 0..25 {
            pace.turn().await;
            waits_ms.push((sleep(Duration::ZERO).deadline() - start).as_millis());
        }
        assert!(waits_ms[..10].iter().all(|&ms| ms == 0), "{waits_ms:?}");
        assert!(waits_ms[10..20].iter().all(|&ms| (2000..2100).contains(&ms)), "{waits_ms:?}");
        assert!(waits_ms[20..].iter().all(|&ms| (4000..4200).contains(&ms)), "{waits_ms:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gave_up_leaves_no_place_behind() {
        let pace = Pace::new(5);
        for _ in 0..10 {
            pace.turn().await;
        }
        for _ in 0..5 {
            let wait = tokio::time::timeout(Duration::from_millis(1), pace.turn());
            assert!(wait.await.is_err());
        }
        assert_eq!(pace.free_at.lock().await.len(), 10);
    }
}

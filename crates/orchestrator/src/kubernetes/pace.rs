//! At most 10 calls in any 2 seconds: 5 a second with a burst of 10, so that spanwise never is the
//! load that an API server in trouble falls over.
//!
//! The last ten calls leave behind the moment at which their place is free again; a new call waits
//! for the oldest of them. The moments come from timers, hence no clock is read here.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// Calls within one [`SPAN`].
const BURST: usize = 10;
/// Length over which a burst must average out: 10 calls / 2 s = 5 calls a second.
const SPAN: Duration = Duration::from_secs(2);

/// Lets calls through in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Pace {
    free_at: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// Returns when another call may be made, and counts it.
    pub(super) async fn turn(&self) {
        let mut free_at = self.free_at.lock().await;
        if free_at.len() >= BURST {
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
        let pace = Pace::default();
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
        let pace = Pace::default();
        for _ in 0..BURST {
            pace.turn().await;
        }
        for _ in 0..5 {
            let wait = tokio::time::timeout(Duration::from_millis(1), pace.turn());
            assert!(wait.await.is_err());
        }
        assert_eq!(pace.free_at.lock().await.len(), BURST);
    }
}

//! The end: everything is drained in the order of the flow, within a deadline, and nobody outside can
//! stretch it.
//!
//! A client that drips its request is cut off after a grace: it was not answered, and will send
//! again. A destination that is down is not waited for where what it lacks lies in the log; where it
//! does not, the deadline is used up and what is lost is told.

use std::time::Duration;

use tracing::{info, warn};

use super::{Server, parts};

/// Time for draining before what is left is abandoned.
pub const STOP_MAX: Duration = Duration::from_secs(15);
/// Time for requests under way before their connections are cut.
const RECEIVERS_MAX: Duration = Duration::from_secs(5);
/// Time for destinations that hang, where what they lack lies in the log.
const LOGGED_MAX: Duration = Duration::from_secs(5);
/// How often it is looked at what destinations lack.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Server {
    /// Drains in the order of the flow; whether that was done in time. If not, threads may be busy
    /// still: end the process without waiting for them.
    pub async fn stop(mut self) -> bool {
        let before = self.state.in_flight();
        info!(n_traces = before.n_open_traces, n_spans = before.n_open_spans, "draining");
        self.ready.send_replace(false);
        self.state.stopping();
        self.receivers.drain();
        let mut deadline = std::pin::pin!(tokio::time::sleep(STOP_MAX));
        let mut unfinished = Vec::new();
        for (name, mut stage) in std::mem::take(&mut self.stages) {
            if name == parts::OUTLETS {
                self.outlets.drain();
            }
            tokio::select! {
                biased;
                joined = &mut stage => {
                    if let Err(error) = joined {
                        warn!(stage = name, %error, "stage failed");
                    }
                }
                () = self.hurry(name) => {}
                () = &mut deadline => unfinished.push(name),
            }
        }
        tokio::select! {
            biased;
            () = self.spawner.finished() => {}
            () = &mut deadline => unfinished.push("connections"),
        }
        let n_spans_abandoned = self.tell_abandoned();
        let in_time = unfinished.is_empty();
        if !in_time {
            let (seconds, unfinished) = (STOP_MAX.as_secs(), unfinished.join(", "));
            warn!(seconds, unfinished, "drain deadline passed; what is left is abandoned");
            self.receivers.abort();
            self.outlets.abort();
        }
        self.api_stop.send_replace(true);
        // The API holds nothing that could be lost.
        drop(tokio::time::timeout(Duration::from_secs(1), self.api).await);
        let after = self.state.in_flight();
        let (n_traces, n_spans) = (after.n_open_traces, after.n_open_spans);
        info!(n_traces, n_spans, n_spans_abandoned, "stopped");
        in_time
    }

    /// Cuts short what would keep a stage from ending. Never returns.
    async fn hurry(&self, stage: &str) {
        if stage.starts_with(parts::RECEIVER) {
            tokio::time::sleep(RECEIVERS_MAX).await;
            info!("requests under way are cut off: their clients will send them again");
            self.receivers.abort();
        } else if stage == parts::OUTLETS {
            self.hurry_outlets().await;
        }
        std::future::pending::<()>().await;
    }

    async fn hurry_outlets(&self) {
        for one in self.state.waiting() {
            let (destination, n_spans) = (one.destination, one.n_spans);
            let error = one.error.unwrap_or_default();
            info!(destination, n_spans, error, "waiting for a destination");
        }
        let mut waited = Duration::ZERO;
        loop {
            let waiting = self.state.waiting();
            let is_logged = waiting.iter().all(|one| one.is_on_disk);
            let is_vain = waiting.iter().all(|one| one.error.is_some());
            if !waiting.is_empty() && is_logged && (is_vain || waited >= LOGGED_MAX) {
                for one in waiting {
                    let (destination, n_spans) = (one.destination, one.n_spans);
                    info!(destination, n_spans, "kept in the log; sent after the next start");
                }
                self.outlets.abort();
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    /// Tells what destinations never got and nobody keeps; how many spans.
    fn tell_abandoned(&self) -> u64 {
        let lost = self.state.waiting().into_iter().filter(|one| !one.is_on_disk);
        let told = lost.map(|one| {
            let (destination, n_spans, n_bytes) = (one.destination, one.n_spans, one.n_bytes);
            let error = one.error.unwrap_or_else(|| "no answer".to_owned());
            warn!(destination, n_spans, n_bytes, error, "abandoned: the destination never took it");
            n_spans
        });
        told.sum()
    }
}

//! The queue before one destination, and the task that empties it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::exporter::client::{Client, ExportError, REQUEST_BYTES_MAX};
use crate::exporter::config::Config;
use crate::exporter::retry::Backoff;
use crate::transport::{Phase, Shutdown, Spawn};

/// The sending end. Cloning shares the queue.
#[derive(Clone, Debug)]
pub struct Exporter {
    shared: Arc<Shared>,
}

/// Empties the queue: run it as a task.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    client: Client,
    backoff: Backoff,
}

/// Why a request was not queued. Its spans are counted as dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// The destination does not keep up.
    #[error("export queue is full")]
    Full,
    /// No server has to take so much at once.
    #[error("request exceeds 64 MiB")]
    TooLarge,
    /// The task has ended.
    #[error("exporter has stopped")]
    Stopped,
}

/// What became of the spans given to an exporter; together with those queued, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Acknowledged.
    pub n_sent: u64,
    /// Rejected by the server within an accepted request.
    pub n_rejected: u64,
    /// Refused for good by the server.
    pub n_refused: u64,
    /// Not queued, because there was no room or the request was too large.
    pub n_not_queued: u64,
    /// Given up at shutdown.
    pub n_abandoned: u64,
    /// Waiting, the request under way included.
    pub n_queued: u64,
    /// Bytes of requests waiting.
    pub n_queued_bytes: usize,
    /// Attempts that failed and were repeated.
    pub n_retries: u64,
    /// Requests that are done with: acknowledged, or refused for good. They are done in the order in
    /// which they were queued, so this says which.
    pub n_done_requests: u64,
    /// Whether the task has ended, so that nothing more is sent.
    pub is_stopped: bool,
    /// What the server said last that was not plain success.
    pub last_problem: Option<String>,
    /// Why the last attempt failed; `None` before the first and after one that was accepted.
    pub failing: Option<String>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    n_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Item>,
    stats: Stats,
    /// Told of every request that is done with.
    listener: Option<Arc<Notify>>,
}

/// A request and the number of spans in it.
#[derive(Clone, Debug)]
struct Item {
    request: Bytes,
    n_spans: u64,
}

/// Both ends for one destination.
pub fn exporter(config: Config, spawn: Arc<dyn Spawn>) -> (Exporter, Driver) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        wake: Notify::new(),
        n_bytes_max: config.queue_bytes_max,
    });
    let backoff = Backoff::new(config.seed);
    let driver =
        Driver { shared: Arc::clone(&shared), client: Client::new(config, spawn), backoff };
    (Exporter { shared }, driver)
}

impl Exporter {
    /// Queues an `ExportTraceServiceRequest` of `n_spans` spans. Never waits.
    pub fn send(&self, request: Bytes, n_spans: u64) -> Result<(), NotQueued> {
        let mut queue = self.shared.queue.lock();
        let n_bytes = queue.stats.n_queued_bytes + request.len();
        let refused = if queue.stats.is_stopped {
            Some(NotQueued::Stopped)
        } else if request.len() > REQUEST_BYTES_MAX {
            Some(NotQueued::TooLarge)
        } else {
            (n_bytes > self.shared.n_bytes_max).then_some(NotQueued::Full)
        };
        if let Some(refused) = refused {
            queue.stats.n_not_queued += n_spans;
            return Err(refused);
        }
        queue.stats.n_queued_bytes = n_bytes;
        queue.stats.n_queued += n_spans;
        queue.requests.push_back(Item { request, n_spans });
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> Stats {
        self.shared.queue.lock().stats.clone()
    }

    /// Requests that are done with, in the order in which they were queued.
    pub fn n_done_requests(&self) -> u64 {
        self.shared.queue.lock().stats.n_done_requests
    }

    /// Has `listener`, and nobody else, told when a request is done with.
    pub fn tell(&self, listener: Arc<Notify>) {
        self.shared.queue.lock().listener = Some(listener);
    }
}

impl Driver {
    /// Sends until the shutdown begins and the queue is empty; what is left when it aborts is given
    /// up and counted. Never gives up before: an unreachable destination fills the queue.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let mut abort = shutdown.clone();
        let shared = Arc::clone(&self.shared);
        {
            let work = std::pin::pin!(self.work(&mut shutdown));
            let aborted = std::pin::pin!(abort.reached(Phase::Aborting));
            select(work, aborted).await;
        }
        shared.stop();
    }

    async fn work(&mut self, shutdown: &mut Shutdown) {
        loop {
            let next = self.shared.front();
            if let Some(item) = next {
                self.deliver(item).await;
                continue;
            }
            if shutdown.phase() != Phase::Serving {
                return;
            }
            let news = std::pin::pin!(self.shared.wake.notified());
            let stop = std::pin::pin!(shutdown.reached(Phase::Draining));
            match select(news, stop).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }

    /// Sends one request until it is accepted or refused for good.
    async fn deliver(&mut self, item: Item) {
        loop {
            match self.client.export(item.request.clone()).await {
                Ok(exported) => {
                    self.backoff.reset();
                    let partial = exported.partial.unwrap_or_default();
                    let n_rejected = partial.n_rejected.min(item.n_spans);
                    let problem = (!partial.message.is_empty()).then_some(partial.message);
                    self.shared.done(&item, problem, |stats| {
                        stats.failing = None;
                        stats.n_sent += item.n_spans - n_rejected;
                        stats.n_rejected += n_rejected;
                    });
                    return;
                }
                Err(ExportError::Permanent { message }) => {
                    self.shared.done(&item, Some(message), |stats| {
                        stats.failing.clone_from(&stats.last_problem);
                        stats.n_refused += item.n_spans;
                    });
                    return;
                }
                Err(ExportError::Retryable { message, after }) => {
                    let pause = self.backoff.next(after);
                    self.shared.retry(message);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

impl Shared {
    /// The oldest request; it stays in the queue, and in its bounds, until it is done.
    fn front(&self) -> Option<Item> {
        self.queue.lock().requests.front().cloned()
    }

    fn done(&self, item: &Item, problem: Option<String>, count: impl FnOnce(&mut Stats)) {
        let mut queue = self.queue.lock();
        queue.requests.pop_front();
        queue.stats.n_done_requests += 1;
        queue.stats.n_queued -= item.n_spans;
        queue.stats.n_queued_bytes -= item.request.len();
        if problem.is_some() {
            queue.stats.last_problem = problem;
        }
        count(&mut queue.stats);
        let listener = queue.listener.clone();
        drop(queue);
        if let Some(listener) = listener {
            listener.notify_one();
        }
    }

    fn retry(&self, problem: String) {
        let mut queue = self.queue.lock();
        queue.stats.n_retries += 1;
        queue.stats.failing = Some(problem.clone());
        queue.stats.last_problem = Some(problem);
    }

    fn stop(&self) {
        let mut queue = self.queue.lock();
        queue.stats.is_stopped = true;
        queue.requests.clear();
        queue.stats.n_abandoned += queue.stats.n_queued;
        queue.stats.n_queued = 0;
        queue.stats.n_queued_bytes = 0;
    }
}

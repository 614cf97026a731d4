//! The processor's look at the spans it receives: statistics and trends per call site, and the list
//! of recent anomalies (SCALE III-F: "the processor engine will also continually keep several
//! statistics and trend analytics of inspected spans").
//!
//! Received requests wait, compressed, in a [`SpanQueue`]; the counts that decide about scaling do
//! not pass through here and never wait behind spans.

use std::sync::Arc;
use std::time::Duration;

use spanwise_analyzer::statistics::Statistics;
use spanwise_model::{CallSites, KeepReason, SampledSpan, Timestamp};
use spanwise_otlp::sampled_spans::{ReceivedBatch, SampleReason};
use spanwise_otlp::{Limits, decode};
use tokio::sync::mpsc;
use tracing::warn;

use super::core::{CALL_SITES_MAX, CALL_SITES_PER_SERVICE_MAX, intern};
use super::records::Records;
use super::span_queue::SpanQueue;
use crate::clock::Clock;

/// State is shown this often.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What is shown of the inspected spans.
#[derive(Clone, Copy, Debug)]
pub struct Inspected<'a> {
    /// Call sites.
    pub sites: &'a CallSites,
    /// Their statistics.
    pub statistics: &'a Statistics,
    /// Spans for which the queue had no room, since the start.
    pub n_refused: u64,
    /// When.
    pub now: Timestamp,
}

/// Shows statistics to the rest of the process.
pub type Show = Box<dyn FnMut(Inspected<'_>) + Send>;

/// The inspecting task.
pub struct Inspector {
    queue: SpanQueue,
    /// Reasons of the queued requests, in the same order.
    reasons: std::collections::VecDeque<Vec<SampleReason>>,
    sites: CallSites,
    statistics: Statistics,
    records: Records,
    clock: Clock,
    show: Show,
    n_refused: u64,
}

impl Inspector {
    /// An inspector that holds at most `queue_bytes` of compressed spans.
    pub fn new(queue_bytes: usize, records: Records, clock: Clock, show: Show) -> Self {
        Self {
            queue: SpanQueue::new(queue_bytes),
            reasons: std::collections::VecDeque::new(),
            sites: CallSites::new(CALL_SITES_MAX, CALL_SITES_PER_SERVICE_MAX),
            statistics: Statistics::default(),
            records,
            clock,
            show,
            n_refused: 0,
        }
    }

    /// Works until the sender is gone.
    pub async fn run(mut self, mut spans: mpsc::Receiver<ReceivedBatch>) {
        let mut show = tokio::time::interval(SHOW_EVERY);
        loop {
            tokio::select! {
                biased;
                batch = spans.recv() => match batch {
                    Some(batch) => self.enqueue(batch),
                    None => break,
                },
                _ = show.tick() => {
                    (self.show)(Inspected {
                        sites: &self.sites,
                        statistics: &self.statistics,
                        n_refused: self.n_refused,
                        now: self.clock.now(),
                    });
                }
                () = std::future::ready(()), if !self.queue.is_empty() => self.inspect_one(),
            }
        }
        while !self.queue.is_empty() {
            self.inspect_one();
        }
    }

    fn enqueue(&mut self, batch: ReceivedBatch) {
        let n_spans = batch.reasons.len() as u32;
        if self.queue.push(&batch.request, n_spans) {
            self.reasons.push_back(batch.reasons);
        } else {
            self.n_refused += u64::from(n_spans);
            warn!(n_spans, n_refused = self.n_refused, "queue of sampled spans is full");
        }
    }

    fn inspect_one(&mut self) {
        let reasons = self.reasons.pop_front().unwrap_or_default();
        let request = match self.queue.pop() {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "queued spans lost");
                return;
            }
        };
        let mut batch = match decode(request, &Limits::default()) {
            Ok(decoded) => decoded.batch,
            Err(error) => {
                warn!(%error, "sampled spans cannot be decoded");
                return;
            }
        };
        let now = self.clock.now();
        intern(&mut batch, &mut self.sites, now);
        let batch = Arc::new(batch);
        let mut sampled = Vec::with_capacity(reasons.len());
        for (span_idx, (head, reason)) in (0_u32..).zip(batch.spans.iter().zip(&reasons)) {
            self.statistics.observe(head, now);
            sampled.push(SampledSpan {
                batch: Arc::clone(&batch),
                span_idx,
                reason: KeepReason {
                    kind: reason.kind,
                    score: reason.score,
                    tail: reason.tail,
                    site: head.site,
                    median_ns: reason.median_ns,
                    p99_ns: reason.p99_ns,
                    window_age_ns: reason.window_age_ns,
                    cold: reason.cold,
                },
                early: reason.early,
            });
        }
        self.records.sampled(&sampled, &self.sites, now);
        drop(sampled);
        if let Some(batch) = Arc::into_inner(batch) {
            self.queue.recycle(batch.bytes);
        }
    }
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("queue", &self.queue).finish_non_exhaustive()
    }
}

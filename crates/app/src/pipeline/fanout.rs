//! Where the worker's results go: sampled spans to subscribers, destinations and the recent list;
//! rule counts to the processor next door and to the subscribers that asked for them.
//!
//! Nothing here waits. A full destination drops and counts; counts that do not fit wait for the next
//! tick, and what cannot wait any longer is told to the processor as a hole.

use std::sync::Arc;

use spanwise_model::{CallSiteId, CallSites, RuleCount, SampledSpan, SpanRef, Timestamp};
use spanwise_otlp::sampled_spans::{CountReport, Hub};
use tokio::sync::mpsc;

use super::core::{Counted, Example, RulesId};
use super::forward::Forwarders;
use super::outlets::Outlet;
use super::processor::Input;
use super::records::Records;
use super::traces::{KeptTrace, pack};
use crate::telemetry::metrics::{Metrics, ReasonLabel};

/// Counts that may wait while the processor is busy.
const BACKLOG_MAX: usize = 16_384;

/// The worker's outlets.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// Subscribers.
    pub hub: Arc<Hub>,
    /// Recent anomalies.
    pub records: Records,
    /// Destinations of sampled spans.
    pub forward: Forwarders,
    /// Destinations of kept traces.
    pub traces: Vec<Outlet>,
    /// The processor, if it runs in this process.
    pub processor: Option<mpsc::Sender<Input>>,
    /// Families to count in.
    pub metrics: Metrics,
    /// Counts the processor had no room for.
    pub backlog: Vec<RuleCount>,
    /// Whether counts were lost that the processor has not been told of.
    pub hole: bool,
    /// Call sites of the batch being counted.
    pub kept_at: Vec<CallSiteId>,
}

impl Fanout {
    /// Whether anybody gets sampled spans whole; those that are only shown need no bytes.
    pub fn sends_spans(&self) -> bool {
        !self.forward.0.is_empty() || self.hub.has_subscribers()
    }

    /// Hands on sampled spans; `is_whole`: with their bytes.
    pub fn sampled(
        &mut self,
        sampled: &[SampledSpan],
        is_whole: bool,
        sites: &CallSites,
        now: Timestamp,
    ) {
        if sampled.is_empty() {
            return;
        }
        self.count(sampled, sites);
        if is_whole {
            self.hub.publish(sampled, sites);
            self.forward.send(sampled, sites);
        } else {
            self.hub.skip(sampled);
        }
        self.records.sampled(sampled, sites, now);
    }

    /// Counts by reason and by call site, one look-up for each call site of the batch.
    fn count(&mut self, sampled: &[SampledSpan], sites: &CallSites) {
        self.kept_at.clear();
        for span in sampled {
            let reason = ReasonLabel { reason: span.reason.kind.as_str() };
            self.metrics.sampler_kept.get_or_create(&reason).inc();
            self.metrics.sampler_score.get_or_create(&reason).observe(span.reason.score);
            self.kept_at.push(span.reason.site);
        }
        self.kept_at.sort_unstable();
        for same in self.kept_at.chunk_by(|a, b| a == b) {
            let site = sites.get(same[0]);
            self.metrics.anomalies(&site.service, &site.operation, same.len() as u64);
        }
    }

    /// Hands on kept traces.
    pub fn kept(&mut self, kept: &[KeptTrace], sites: &CallSites, now: Timestamp) {
        if kept.is_empty() {
            return;
        }
        for trace in kept {
            let reason = trace.why.reason;
            self.metrics.traces.kept.get_or_create(&ReasonLabel { reason }).inc();
        }
        self.records.kept(kept, sites, now);
        for stamp in [false, true] {
            let mut takers = self.traces.iter().filter(|outlet| outlet.stamp == stamp).peekable();
            if takers.peek().is_none() {
                continue;
            }
            let packs = pack(kept, sites, stamp);
            for taker in takers {
                for pack in &packs {
                    // The queue counts what it does not take.
                    let _ = taker.queue.send(pack.bytes.clone(), pack.n_spans);
                }
            }
        }
    }

    /// Hands on what one rule set counted.
    pub fn counted(&mut self, counted: &Counted<'_>) {
        match counted.rules {
            RulesId::Own => self.own(counted),
            RulesId::Subscribed(id) => {
                let reports = reports(counted.counts, counted.examples);
                self.hub.publish_counts(id, &reports);
                if counted.n_dropped > 0 {
                    self.hub.lost_counts(id);
                }
            }
        }
    }

    fn own(&mut self, counted: &Counted<'_>) {
        let Some(processor) = &self.processor else { return };
        self.hole |= counted.n_dropped > 0;
        if self.backlog.len() + counted.counts.len() <= BACKLOG_MAX {
            self.backlog.extend(counted.counts.iter().cloned());
        } else {
            self.hole = true;
        }
        if self.hole && processor.try_send(Input::Hole).is_ok() {
            self.hole = false;
        }
        if self.backlog.is_empty() {
            return;
        }
        let counts = std::mem::take(&mut self.backlog);
        if let Err(mpsc::error::TrySendError::Full(Input::Counts(counts))) =
            processor.try_send(Input::Counts(counts))
        {
            self.backlog = counts;
        }
    }
}

/// Counts with the spans that show them. An example goes with the first count of its second that has
/// breaches: which rule it is of matters less than that it is there.
fn reports(counts: &[RuleCount], examples: &[Example]) -> Vec<CountReport> {
    let mut left: Vec<&Example> = examples.iter().collect();
    let mut reports = Vec::with_capacity(counts.len());
    for count in counts {
        let shows = |example: &&Example| {
            let head = &example.batch.spans[example.span_idx as usize];
            count.n_breaches > 0 && head.end.as_secs() == count.second
        };
        let (mine, others): (Vec<&Example>, Vec<&Example>) = left.into_iter().partition(shows);
        left = others;
        let spans: Vec<SpanRef<'_>> = mine
            .iter()
            .map(|example| SpanRef { batch: &example.batch, span_idx: example.span_idx })
            .collect();
        reports.push(CountReport::new(count.clone(), &spans));
    }
    reports
}

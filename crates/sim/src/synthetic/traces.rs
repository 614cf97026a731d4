//! Streams of traces: a graph of operations, log-normal self times, some traces made anomalous.
//!
//! Calls are sequential: a span works by itself first, then its callees run one after the other, so
//! that its self time is what was drawn.

use std::sync::Arc;

use spanwise_model::{SpanKind, Timestamp};

use super::{Anomaly, BEGIN, Span};
use crate::draw::{Draw, cumulative, zipf};

/// Traces of a stream.
const N_TRACES: u32 = 20_000;
const N_OPERATIONS: usize = 60;
const N_OPERATIONS_PER_SERVICE: usize = 6;
/// Operations at which a request enters, and how uneven their popularity is.
const N_ENTRIES: usize = 12;
const ZIPF_EXPONENT: f64 = 1.1;
/// Share of legitimate requests that enter further inside.
const INNER_ENTRY: f64 = 0.002;
const MEDIAN_US: (f64, f64) = (200.0, 50_000.0);
const SIGMA: (f64, f64) = (0.15, 0.5);
/// Callees of an inner operation are drawn from this list.
const N_CALLEES: [usize; 5] = [0, 1, 1, 2, 3];
/// How far down the graph a callee may stand.
const CALLEE_REACH: usize = 14;
/// Share of calls that are always made; the others have a probability of their own.
const ALWAYS_CALLED: f64 = 0.8;
const DEPTH_MAX: u32 = 8;
const N_SPANS_MAX: usize = 80;
const ANOMALOUS: f64 = 0.01;
/// A trace with fewer spans stays as it is.
const N_SPANS_MIN: usize = 4;
const SLOWED_BY: (f64, f64) = (5.0, 20.0);
/// Mean time between two traces.
const GAP_NS: f64 = 1e8;

/// What is known of an operation.
#[derive(Clone, Debug)]
struct Operation {
    service: Arc<str>,
    name: Arc<str>,
    median_ns: f64,
    sigma: f64,
    /// Callees with the probability of the call.
    calls: Vec<(usize, f64)>,
}

/// A span while its trace is being made.
#[derive(Clone, Copy, Debug)]
struct Draft {
    operation: usize,
    /// Position of the parent; the root's is its own.
    parent: usize,
    self_ns: f64,
    anomaly: Option<Anomaly>,
}

/// Iterator over the spans.
#[derive(Clone, Debug)]
pub(super) struct TraceStream {
    draw: Draw,
    operations: Vec<Operation>,
    entries: Vec<f64>,
    anomalies: &'static [Anomaly],
    now_ns: f64,
    next: u32,
    spans: std::vec::IntoIter<Span>,
}

impl TraceStream {
    /// An anomalous trace has one of `anomalies`, each entry equally likely.
    pub(super) fn new(seed: u64, anomalies: &'static [Anomaly]) -> Self {
        let mut draw = Draw::new(seed);
        let operations = (0..N_OPERATIONS).map(|i| Operation::new(i, &mut draw)).collect();
        Self {
            draw,
            operations,
            entries: cumulative(&zipf(N_ENTRIES, ZIPF_EXPONENT)),
            anomalies,
            now_ns: 0.0,
            next: 0,
            spans: Vec::new().into_iter(),
        }
    }

    fn trace(&mut self) -> Vec<Span> {
        let (drafts, anomaly) = self.drafts();
        self.now_ns += self.draw.exponential(GAP_NS);
        let spans = self.place(&drafts, anomaly);
        self.next += 1;
        spans
    }

    /// A request and what was made of it.
    fn drafts(&mut self) -> (Vec<Draft>, Option<Anomaly>) {
        let entry = if self.draw.happens(INNER_ENTRY) {
            self.draw.below(N_ENTRIES, N_OPERATIONS / 2)
        } else {
            self.draw.weighted(&self.entries)
        };
        let mut drafts = Vec::new();
        self.call(entry, 0, 0, &mut drafts);
        let anomaly = self.spoil(&mut drafts);
        (drafts, anomaly)
    }

    /// Appends a call and what it calls; the depth is bounded.
    fn call(&mut self, operation: usize, parent: usize, depth: u32, drafts: &mut Vec<Draft>) {
        let Operation { median_ns, sigma, .. } = self.operations[operation];
        let here = drafts.len();
        let self_ns = self.draw.log_normal(median_ns, sigma);
        drafts.push(Draft { operation, parent, self_ns, anomaly: None });
        if depth == DEPTH_MAX {
            return;
        }
        for i in 0..self.operations[operation].calls.len() {
            let (callee, probability) = self.operations[operation].calls[i];
            if drafts.len() < N_SPANS_MAX && self.draw.happens(probability) {
                self.call(callee, here, depth + 1, drafts);
            }
        }
    }

    /// Makes some traces anomalous.
    fn spoil(&mut self, drafts: &mut Vec<Draft>) -> Option<Anomaly> {
        let is_anomalous = self.draw.happens(ANOMALOUS);
        if !is_anomalous || drafts.len() < N_SPANS_MIN {
            return None;
        }
        let anomaly = self.anomalies[self.draw.below(0, self.anomalies.len())];
        let victim = self.draw.below(1, drafts.len());
        match anomaly {
            Anomaly::Latency => {
                drafts[victim].self_ns *= self.draw.uniform(SLOWED_BY.0, SLOWED_BY.1);
                drafts[victim].anomaly = Some(anomaly);
            }
            Anomaly::Error => drafts[victim].anomaly = Some(anomaly),
            // A retry storm repeats the call without what is below it.
            Anomaly::Structure if self.draw.happens(0.5) => {
                let n_retries = self.draw.below(4, 11);
                drafts.extend(std::iter::repeat_n(drafts[victim], n_retries));
            }
            Anomaly::Structure => drafts.truncate((drafts.len() / 2).max(2)),
        }
        Some(anomaly)
    }

    /// Gives the drafts their times. Parents stand before their children.
    fn place(&self, drafts: &[Draft], trace_anomaly: Option<Anomaly>) -> Vec<Span> {
        let self_ns: Vec<u64> = drafts.iter().map(|draft| draft.self_ns.max(1e3) as u64).collect();
        let mut dur_ns = self_ns.clone();
        for i in (1..drafts.len()).rev() {
            dur_ns[drafts[i].parent] += dur_ns[i];
        }
        let mut start_ns = vec![0; drafts.len()];
        // Where the next child of a span begins.
        let mut free_ns = vec![0; drafts.len()];
        for (i, draft) in drafts.iter().enumerate() {
            if i > 0 {
                start_ns[i] = free_ns[draft.parent];
                free_ns[draft.parent] += dur_ns[i];
            }
            free_ns[i] = start_ns[i] + self_ns[i];
        }
        let begin = BEGIN.plus_ns(self.now_ns as u64);
        let span = |(i, draft): (usize, &Draft)| {
            let operation = &self.operations[draft.operation];
            let parent = &self.operations[drafts[draft.parent].operation];
            let is_entry = i == 0 || parent.service != operation.service;
            let start = begin.plus_ns(start_ns[i]);
            Span {
                trace: self.next,
                idx: (i as u32).cast_signed(),
                parent_idx: if i == 0 { -1 } else { (draft.parent as u32).cast_signed() },
                service: Arc::clone(&operation.service),
                operation: Arc::clone(&operation.name),
                kind: if is_entry { SpanKind::Server } else { SpanKind::Internal },
                start,
                end: Timestamp(start.as_ns() + dur_ns[i]),
                anomaly: draft.anomaly,
                trace_anomaly,
                judged: true,
            }
        };
        drafts.iter().enumerate().map(span).collect()
    }
}

impl Operation {
    fn new(i: usize, draw: &mut Draw) -> Self {
        let n_calls = match i {
            _ if i + 1 == N_OPERATIONS => 0,
            _ if i <= N_ENTRIES => 2,
            _ => N_CALLEES[draw.below(0, N_CALLEES.len())],
        };
        let call = |draw: &mut Draw| {
            let callee = draw.below(i + 1, N_OPERATIONS.min(i + CALLEE_REACH));
            let always = draw.happens(ALWAYS_CALLED);
            (callee, if always { 1.0 } else { draw.uniform(0.1, 0.9) })
        };
        Self {
            service: format!("s{}", i / N_OPERATIONS_PER_SERVICE).into(),
            name: format!("op{}", i % N_OPERATIONS_PER_SERVICE).into(),
            median_ns: 1e3 * draw.log_uniform(MEDIAN_US.0, MEDIAN_US.1),
            sigma: draw.uniform(SIGMA.0, SIGMA.1),
            calls: (0..n_calls).map(|_| call(draw)).collect(),
        }
    }
}

impl Iterator for TraceStream {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if let Some(span) = self.spans.next() {
            return Some(span);
        }
        if self.next >= N_TRACES {
            return None;
        }
        self.spans = self.trace().into_iter();
        self.spans.next()
    }
}

#[cfg(test)]
mod ceiling;

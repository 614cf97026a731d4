//! Synthetic streams of spans whose truth is known: what `synthetic:NAME[:SEED]` stands for.
//!
//! | name | spans | what is anomalous |
//! |---|---|---|
//! | `unimodal` | 400,000 at 40 call sites, log-normal (medians 0.3 .. 600 ms, sigma 0.2 .. 0.6) | 1 % of the spans, 5 to 20 times slower |
//! | `bimodal` | the same, but 25 sites have a second mode (share 0.2, ratio 30 .. 80, sigma halved) | the same |
//! | `cold` | ten times 40,000 spans of `unimodal`, each time at 40 new call sites; a site's first 32 spans are not judged | the same |
//! | `traces` | 20,000 traces over 60 operations and 12 entries | 1 % of the traces: one span's self time 5 to 20 times longer |
//! | `mixed` | the same | 1 % of the traces: half as in `traces`, a quarter has a retry storm or is cut off, a quarter fails |
//!
//! The sites of the first three are one fixed table; the graph of the last two is drawn by the seed.
//! Durations say nothing of when spans happen, so arrivals are ours: a Poisson process of 200 spans
//! or 10 traces a second. Same name and seed, same spans, on every machine.

mod sites;
mod spans;
mod traces;

use std::sync::Arc;

use spanwise_model::{SpanKind, Timestamp};

use self::spans::SpanStream;
use self::traces::TraceStream;

/// When every stream begins: 2025-01-01T00:00:00Z.
pub const BEGIN: Timestamp = Timestamp::from_secs(1_735_689_600);

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One mode per call site.
    Unimodal,
    /// Two modes at most call sites, as with a cache.
    Bimodal,
    /// Every call site new, again and again.
    Cold,
    /// Traces with latency anomalies.
    Traces,
    /// Traces with latency, structure and error anomalies.
    Mixed,
}

/// What is wrong with a span or a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// One span is slow by itself.
    Latency,
    /// Calls are repeated or missing.
    Structure,
    /// A span fails.
    Error,
}

/// A generated span with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Number of its trace, from 0.
    pub trace: u32,
    /// Number of the span in its trace, from 0.
    pub idx: i32,
    /// Number of its parent, -1 for the root.
    pub parent_idx: i32,
    /// Service.
    pub service: Arc<str>,
    /// Operation.
    pub operation: Arc<str>,
    /// Kind.
    pub kind: SpanKind,
    /// Start.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// What is wrong with this span itself; a structural anomaly has no span of its own.
    pub anomaly: Option<Anomaly>,
    /// What is wrong with its trace.
    pub trace_anomaly: Option<Anomaly>,
    /// Whether it counts: not while its call site is younger than the scenario grants.
    pub judged: bool,
}

/// Iterator over the spans of a scenario: spans of a trace stand together, parents first.
#[derive(Clone, Debug)]
pub struct Stream(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Spans(Box<SpanStream>),
    Traces(Box<TraceStream>),
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 5] =
        [Self::Unimodal, Self::Bimodal, Self::Cold, Self::Traces, Self::Mixed];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unimodal => "unimodal",
            Self::Bimodal => "bimodal",
            Self::Cold => "cold",
            Self::Traces => "traces",
            Self::Mixed => "mixed",
        }
    }

    /// The scenario of a name, exactly spelt.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.as_str() == name)
    }

    /// Its spans.
    pub fn stream(self, seed: u64) -> Stream {
        let spans = |stream| Stream(Inner::Spans(Box::new(stream)));
        let traces = |stream| Stream(Inner::Traces(Box::new(stream)));
        match self {
            Self::Unimodal => spans(SpanStream::new(seed, 1, false)),
            Self::Bimodal => spans(SpanStream::new(seed, 1, true)),
            Self::Cold => spans(SpanStream::new(seed, 10, false)),
            Self::Traces => traces(TraceStream::new(seed, &[Anomaly::Latency])),
            Self::Mixed => {
                use Anomaly::{Error, Latency, Structure};
                traces(TraceStream::new(seed, &[Latency, Latency, Structure, Error]))
            }
        }
    }
}

impl Iterator for Stream {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        match &mut self.0 {
            Inner::Spans(spans) => spans.next(),
            Inner::Traces(traces) => traces.next(),
        }
    }
}

#[cfg(test)]
mod tests;

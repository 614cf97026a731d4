//! A trace that was kept, and why.

use serde::{Deserialize, Serialize};

use super::ns::Ns;
use crate::snapshot::KeptTrace;
use crate::time::format_time;

/// A kept trace, or late spans of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// `t-` and a number.
    pub id: String,
    /// When it was decided.
    pub time: String,
    /// Trace id in hexadecimal.
    pub trace_id: String,
    /// Service of the root, else of the first span.
    pub service: String,
    /// Operation of the root, else of the first span.
    pub operation: String,
    /// Start of the earliest span.
    pub start: String,
    /// From the start of the earliest span to the end of the last; `null` if times are invalid.
    pub duration_ns: Option<Ns>,
    /// Spans.
    pub spans: u32,
    /// Services, in order of their names.
    pub services: Vec<String>,
    /// Failed spans.
    pub errors: u32,
    /// Why it was kept: `latency`, `structure`, `error`, `cluster`, `probability`, `late`, `tag`.
    pub reason: String,
    /// The score that decided; `null` if none did.
    pub score: Option<f64>,
    /// Share of recent traces that score at least as high, or the probability of a keep by chance.
    pub tail: Option<f64>,
    /// The cluster that decided.
    pub cluster: Option<String>,
    /// What the score comes from: a call site, or a fact about one.
    pub rule: Option<String>,
    /// Whether these are spans that came after the verdict.
    pub late: bool,
    /// In mode `tag`, the verdict it would have got.
    pub decision: Option<String>,
}

/// A page of kept traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceList {
    /// Newest first.
    pub items: Vec<TraceView>,
    /// `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
}

impl From<&KeptTrace> for TraceView {
    fn from(trace: &KeptTrace) -> Self {
        Self {
            id: format!("t-{}", trace.seq),
            time: format_time(trace.at),
            trace_id: trace.trace_id.to_string(),
            service: trace.service.to_string(),
            operation: trace.operation.to_string(),
            start: format_time(trace.start),
            duration_ns: trace.duration_ns.map(Ns),
            spans: trace.n_spans,
            services: trace.services.iter().map(ToString::to_string).collect(),
            errors: trace.n_errors,
            reason: trace.reason.to_owned(),
            score: trace.score,
            tail: trace.tail,
            cluster: trace.cluster.map(|cluster| cluster.to_string()),
            rule: trace.rule.clone(),
            late: trace.late,
            decision: trace.decision.map(ToOwned::to_owned),
        }
    }
}

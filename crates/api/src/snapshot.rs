//! What the API shows: a picture of the running pipeline in model values. The application makes a
//! new one every so often and puts it into a watch channel; requests read the latest and never reach
//! a stage.

mod archive;

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{
    CallSite, Decision, KeepReason, Mode, Observed, SampledSpan, SiteStats, SpanHead, TargetRef,
    Timestamp, TraceId,
};

pub use archive::{ArchiveStatus, ArchivedWindow, EmittedArchive};

/// One picture. Cheap to make where little changed: the lists hold shared values.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Figures of the whole process.
    pub status: Status,
    /// Call sites, in any order.
    pub sites: Arc<[Site]>,
    /// The latest anomalies, oldest first.
    pub anomalies: Vec<Arc<Anomaly>>,
    /// The latest decisions, oldest first.
    pub decisions: Vec<Arc<Decision>>,
    /// The latest kept traces, oldest first.
    pub traces: Vec<Arc<KeptTrace>>,
    /// Rules in the order of the configuration.
    pub rules: Vec<RuleStatus>,
}

/// Figures of the whole process.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Version of the binary.
    pub version: String,
    /// `all`, `sampler` or `processor`.
    pub role: String,
    /// Profile of the sampler.
    pub profile: String,
    /// Mode of targets that name none.
    pub mode: Mode,
    /// When the picture was made.
    pub at: Timestamp,
    /// When the process started.
    pub started: Timestamp,
    /// What must hold before traffic may come.
    pub checks: Vec<Check>,
    /// Directory that decisions and models are kept in; `None` keeps everything in memory.
    pub data_dir: Option<String>,
    /// Whether work is being refused for lack of room.
    pub shedding: bool,
    /// Memory accounted for, in bytes.
    pub memory_bytes: u64,
    /// Memory that may be used, in bytes.
    pub memory_bytes_max: u64,
    /// Spans since the start.
    pub spans: SpanCounts,
    /// Traces since the start.
    pub traces: TraceCounts,
    /// Share of spans that the budget lets the sampler keep, in [0, 1]; `None` if it is a rate.
    pub budget: Option<f64>,
    /// Call sites known.
    pub n_sites: u64,
    /// Call sites with a reference of their own.
    pub n_sites_ready: u64,
    /// Names that did not fit into the dictionary of call sites, with their counts, most first.
    pub overflow: Vec<(String, u64)>,
    /// Targets of the configuration.
    pub targets: Vec<TargetStatus>,
    /// Whole traces; `None` if they are not sampled.
    pub sampling: Option<TraceSampling>,
    /// Archives; `None` if none are made or received.
    pub archives: Option<ArchiveStatus>,
}

impl Status {
    /// Whether traffic may come. Without a single check nobody has looked yet.
    pub fn is_ready(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.ok || !check.required)
    }
}

/// How whole traces are sampled.
#[derive(Clone, Debug, Default)]
pub struct TraceSampling {
    /// Name of the sampler.
    pub sampler: String,
    /// `sample` or `tag`.
    pub mode: &'static str,
    /// The budget as it is written.
    pub budget: String,
    /// `traces`, `spans` or `bytes`.
    pub unit: &'static str,
    /// Units seen in this horizon.
    pub seen: u64,
    /// Units kept in this horizon.
    pub kept: u64,
    /// Units that may be kept up to now.
    pub allowed: f64,
    /// Traces that wait for budget.
    pub n_held: u64,
    /// Traces kept and dropped since the start.
    pub n_kept: u64,
    /// Traces dropped.
    pub n_dropped: u64,
    /// Estimated share of anomalous traces.
    pub anomaly_share: f64,
    /// Other budgets in the same pass: the budget, traces seen, traces it would have kept.
    pub shadow: Vec<(String, u64, u64)>,
}

/// Spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Accepted.
    pub accepted: u64,
    /// Rejected, with an answer that says why.
    pub rejected: u64,
    /// Accepted with times that are never judged.
    pub invalid_time: u64,
    /// Accepted and not looked at: generated, not measured.
    pub synthetic: u64,
    /// Kept by the sampler.
    pub kept: u64,
    /// Kept, but missed by subscribers or destinations.
    pub missed: u64,
}

/// Traces since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceCounts {
    /// Open now.
    pub open: u64,
    /// Closed.
    pub closed: u64,
    /// Of these, closed early because memory ran short.
    pub evicted: u64,
}

/// Something that must hold before traffic may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What: `receiver grpc`, `data directory`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// The address, or what is wrong and the remedy.
    pub detail: String,
    /// Whether no traffic may come while it does not hold. What others take from us, such as a
    /// destination, is shown and changes nothing.
    pub required: bool,
}

/// A target and what was last seen of it.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    /// The target.
    pub target: TargetRef,
    /// Mode in force for it.
    pub mode: Mode,
    /// Its state when it was last observed; `Err` says why it could not be. `None` before the first
    /// time.
    pub observed: Option<Result<Observed, String>>,
}

/// A rule and what it has seen since the start.
#[derive(Clone, Debug)]
pub struct RuleStatus {
    /// Its name.
    pub name: Arc<str>,
    /// `scale`, `vertical` or `alert`.
    pub action: &'static str,
    /// The target, or the name of the alert.
    pub target: Arc<str>,
    /// The service whose spans it looks at.
    pub service: Arc<str>,
    /// The operation or pattern.
    pub operation: Arc<str>,
    /// What is compared, as the configuration spells it.
    pub metric: &'static str,
    /// The threshold in nanoseconds.
    pub over_ns: u64,
    /// Breaches needed.
    pub count: f64,
    /// Within so many seconds.
    pub window_s: u64,
    /// Spans seen at its call sites.
    pub n_spans: u64,
    /// Of these, breaches.
    pub n_breaches: u64,
    /// How often its condition held.
    pub n_fired: u64,
    /// When it last fired.
    pub fired_last: Option<Timestamp>,
}

/// A call site with its figures.
#[derive(Clone, Debug)]
pub struct Site {
    /// The call site.
    pub site: Arc<CallSite>,
    /// Its statistics; `None` if it sent nothing within their window.
    pub stats: Option<SiteStats>,
    /// Its model; `None` if the sampler has none yet.
    pub model: Option<ModelState>,
}

/// State of a call site's model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelState {
    /// Whether it has a reference of its own.
    pub ready: bool,
    /// Spans learnt.
    pub n_spans: u64,
    /// Median of the reference in nanoseconds, 0 while there is none.
    pub median_ns: u64,
    /// 99th percentile of the reference in nanoseconds, 0 while there is none.
    pub p99_ns: u64,
    /// Age of the reference window in nanoseconds.
    pub window_age_ns: u64,
}

/// A kept trace with a copy of its spans, so that keeping it for a while holds no request.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// Running number, starting at 1.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Trace id.
    pub trace_id: TraceId,
    /// Service of the root, else of the first span.
    pub service: Arc<str>,
    /// Operation of the root, else of the first span.
    pub operation: Arc<str>,
    /// Start of the earliest span.
    pub start: Timestamp,
    /// From there to the end of the last span; `None` if times are invalid.
    pub duration_ns: Option<u64>,
    /// Spans.
    pub n_spans: u32,
    /// Services in order of their names.
    pub services: Vec<Arc<str>>,
    /// Failed spans.
    pub n_errors: u32,
    /// Why it was kept.
    pub reason: &'static str,
    /// The score that decided, if one did.
    pub score: Option<f64>,
    /// Share of recent traces that score at least as high, or a probability.
    pub tail: Option<f64>,
    /// The cluster that decided, if one did.
    pub cluster: Option<u64>,
    /// What the score comes from.
    pub rule: Option<String>,
    /// Whether these are spans that came after the verdict.
    pub late: bool,
    /// The verdict it would have got, where everything is kept.
    pub decision: Option<&'static str>,
    /// Its spans as a request whose content only the application knows.
    pub request: Bytes,
}

/// A sampled span without its batch, so that keeping it for a while holds no request.
#[derive(Clone, Debug)]
pub struct Anomaly {
    /// Running number, starting at 1.
    pub seq: u64,
    /// When it was kept.
    pub at: Timestamp,
    /// Its call site.
    pub site: Arc<CallSite>,
    /// Its fixed fields; the ranges point nowhere.
    pub head: SpanHead,
    /// Instance that sent it, empty if unknown.
    pub instance: String,
    /// Why it was kept.
    pub reason: KeepReason,
    /// Whether it was kept on arrival.
    pub early: bool,
}

impl Anomaly {
    /// What is shown of a sampled span of `site`.
    pub fn of(seq: u64, at: Timestamp, sampled: &SampledSpan, site: Arc<CallSite>) -> Self {
        let head = *sampled.span_ref().head();
        Self {
            seq,
            at,
            site,
            instance: String::from_utf8_lossy(sampled.batch.instance(&head)).into_owned(),
            head,
            reason: sampled.reason,
            early: sampled.early,
        }
    }
}

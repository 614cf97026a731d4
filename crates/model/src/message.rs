//! The messages between stages, in the order they flow: sampled spans, rule counts, findings,
//! scaling plans.

use std::sync::Arc;

use crate::decision::{Condition, RuleRef};
use crate::ids::TraceId;
use crate::name::CallSiteId;
use crate::orchestration::{ScaleAction, TargetRef};
use crate::span::{Batch, SpanRef};
use crate::time::Timestamp;

/// Which figure a score is. The scales differ and are never compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// max(self time at its site, self time globally), as -log2 mass against the trusted reference.
    Cause,
    /// max(self time at its site, duration globally).
    Impact,
    /// Against the adaptive reference: unusual now, whatever last hour was like.
    Transient,
    /// Duration at its site, known on arrival.
    SiteDuration,
    /// Duration among all sites, known on arrival.
    GlobalDuration,
    /// river's `HalfSpaceTrees` score (the `scale` profile).
    River,
    /// No score: the span's site is still cold.
    Cold,
    /// No score: the span's times are invalid, it is never judged. Only a budget of everything keeps
    /// it.
    InvalidTime,
}

/// Why a span was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeepReason {
    /// Which score decided.
    pub kind: ScoreKind,
    /// Its value; for `River` in [0, 1], else in bits.
    pub score: f64,
    /// Share of recent spans that score at least as high, in (0, 1].
    pub tail: f64,
    /// The call site.
    pub site: CallSiteId,
    /// Median of the site's reference, in nanoseconds; 0 while it has none.
    pub median_ns: u64,
    /// 99th percentile of the site's reference, in nanoseconds; 0 while it has none.
    pub p99_ns: u64,
    /// Age of the reference window the score was taken against, in nanoseconds.
    pub window_age_ns: u64,
    /// Whether the site had no reference of its own yet.
    pub cold: bool,
}

/// A span the sampler kept.
#[derive(Clone, Debug)]
pub struct SampledSpan {
    /// The batch that holds it.
    pub batch: Arc<Batch>,
    /// Position in [`Batch::spans`].
    pub span_idx: u32,
    /// Why it was kept.
    pub reason: KeepReason,
    /// Whether it was kept on arrival, before its trace closed.
    pub early: bool,
}

/// What one rule counted in one second of event time. Counts of the same rule and second add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleCount {
    /// Position of the rule in the rule set.
    pub rule_idx: u32,
    /// Second of the spans' end times, since the epoch.
    pub second: u64,
    /// Raw spans seen at the rule's call sites.
    pub n_spans: u64,
    /// Raw spans that breached.
    pub n_breaches: u64,
    /// Breaches, each weighted by its adjusted count.
    pub breaches: f64,
    /// Hashes of the instances that sent spans, sorted, at most 16.
    pub instances: Vec<u64>,
    /// Hashes of the instances that breached, sorted, at most 16.
    pub breaching_instances: Vec<u64>,
    /// Up to 5 traces that breached.
    pub trace_ids: Vec<TraceId>,
    /// Call site of the last breach, by name, so that counts mean the same in another process.
    pub call_site: Option<(Arc<str>, Arc<str>)>,
}

/// What evidence is missing for acting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumShortfall {
    /// One sentence with the figures: what was seen and what is needed.
    pub detail: String,
}

/// What a rule wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum WantedAction {
    /// Change the replicas by a number.
    ReplicasBy {
        /// Target name.
        target: Arc<str>,
        /// Replicas to add.
        by: u32,
    },
    /// Set the replicas.
    ReplicasTo {
        /// Target name.
        target: Arc<str>,
        /// Replicas wanted.
        to: u32,
    },
    /// Change the resources of each replica.
    Vertical {
        /// Target name.
        target: Arc<str>,
        /// CPU factor in percent to add (100 = double), if given relatively.
        cpu_percent: Option<u32>,
        /// CPU wanted in millicores, if given absolutely.
        cpu_millis: Option<u64>,
        /// Memory factor in percent to add, if given relatively.
        memory_percent: Option<u32>,
        /// Memory wanted in bytes, if given absolutely.
        memory_bytes: Option<u64>,
    },
    /// Tell somebody; scale nothing.
    Alert {
        /// Name of the alert.
        name: Arc<str>,
    },
}

/// A rule whose condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// When it was found.
    pub at: Timestamp,
    /// The rule.
    pub rule: RuleRef,
    /// What it wants.
    pub action: WantedAction,
    /// The figures.
    pub condition: Condition,
    /// The call site it fired on: `service`, `operation`.
    pub call_site: (Arc<str>, Arc<str>),
    /// Up to 5 traces.
    pub trace_ids: Vec<TraceId>,
    /// Set when the evidence does not suffice for `act`.
    pub shortfall: Option<QuorumShortfall>,
    /// Whether the rule is resting after it fired: a non-decision with reason `Cooldown`.
    pub resting: bool,
    /// Whether it makes good an earlier finding of the same burst that had a shortfall. Who could do
    /// without the evidence has answered that one already.
    pub completes: bool,
}

/// One action on one target, ready for the orchestrator.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingPlan {
    /// The decision this carries out.
    pub decision_id: u64,
    /// The target.
    pub target: TargetRef,
    /// What to do.
    pub action: ScaleAction,
    /// Revision the decision was made against.
    pub revision: String,
    /// Identity the decision was made against.
    pub uid: String,
    /// After this time the plan must not be carried out.
    pub expires: Timestamp,
    /// Text for the record on the other side.
    pub summary: String,
}

/// Statistics of one call site over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteStats {
    /// The call site.
    pub site: CallSiteId,
    /// Spans, weighted by their adjusted counts.
    pub count: f64,
    /// Spans per second.
    pub rate: f64,
    /// Share of spans with status ERROR, in [0, 1].
    pub error_rate: f64,
    /// Median duration in nanoseconds.
    pub p50_ns: u64,
    /// 95th percentile in nanoseconds.
    pub p95_ns: u64,
    /// 99th percentile in nanoseconds.
    pub p99_ns: u64,
    /// Change of p95 against the window before, as a ratio; 1 = no change, NaN-free.
    pub trend: f64,
}

impl SampledSpan {
    /// The span as a reference into its batch.
    pub fn span_ref(&self) -> SpanRef<'_> {
        SpanRef { batch: &self.batch, span_idx: self.span_idx }
    }
}

impl ScoreKind {
    /// Lower-case name as it stands in records: `cause`, `impact`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Impact => "impact",
            Self::Transient => "transient",
            Self::SiteDuration => "site_dur",
            Self::GlobalDuration => "global_dur",
            Self::River => "river",
            Self::Cold => "cold",
            Self::InvalidTime => "invalid_time",
        }
    }
}

impl WantedAction {
    /// The name of the target, or of the alert.
    pub fn target(&self) -> &Arc<str> {
        match self {
            Self::ReplicasBy { target, .. }
            | Self::ReplicasTo { target, .. }
            | Self::Vertical { target, .. } => target,
            Self::Alert { name } => name,
        }
    }
}

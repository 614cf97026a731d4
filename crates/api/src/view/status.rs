//! The process at a glance.

use serde::{Deserialize, Serialize};
use spanwise_model::{Observed, Owner};

use super::archive::ArchiveView;
use super::ns::Ns;
use super::target::TargetView;
use crate::snapshot::{Check, Status, TargetStatus, TraceSampling};
use crate::time::format_time;

/// The process at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Version of the binary.
    pub version: String,
    /// `all`, `sampler` or `processor`.
    pub role: String,
    /// Profile of the sampler.
    pub profile: String,
    /// Mode of targets that name none.
    pub mode: String,
    /// When these figures were taken.
    pub time: String,
    /// When the process started.
    pub started: String,
    /// How long it has run, in nanoseconds.
    pub uptime_ns: Ns,
    /// Whether every check that is required holds.
    pub ready: bool,
    /// What must hold before traffic may come.
    pub checks: Vec<CheckView>,
    /// Where decisions and models are kept; `null` keeps them in memory only.
    pub data_dir: Option<String>,
    /// Whether work is being refused for lack of room.
    pub shedding: bool,
    /// Memory.
    pub memory: MemoryView,
    /// Spans since the start.
    pub spans: SpansView,
    /// Traces.
    pub traces: TracesView,
    /// Call sites.
    pub call_sites: CallSitesView,
    /// Targets of the configuration.
    pub targets: Vec<TargetStateView>,
    /// How whole traces are sampled; absent if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingView>,
    /// Archives; absent if none are made or received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archives: Option<ArchiveView>,
}

/// How whole traces are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingView {
    /// Name of the sampler.
    pub sampler: String,
    /// `sample` or `tag`.
    pub mode: String,
    /// The budget.
    pub budget: String,
    /// `traces`, `spans` or `bytes`: what the next three count, since the horizon began.
    pub unit: String,
    /// Seen.
    pub seen: u64,
    /// Kept.
    pub kept: u64,
    /// May be kept up to now, what was inherited included.
    pub allowed: f64,
    /// Traces that wait for budget.
    pub held: u64,
    /// Traces kept since the start.
    pub traces_kept: u64,
    /// Traces dropped since the start.
    pub traces_dropped: u64,
    /// Estimated share of anomalous traces.
    pub anomaly_share: f64,
    /// What other budgets would have kept.
    pub shadow: Vec<ShadowView>,
}

/// What another budget would have kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowView {
    /// The budget.
    pub budget: String,
    /// Traces seen.
    pub seen: u64,
    /// Traces it would have kept.
    pub kept: u64,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// The address, or what is wrong and the remedy.
    pub detail: String,
    /// Whether `ready` needs it.
    pub required: bool,
}

/// Memory in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryView {
    /// Accounted for.
    pub bytes: u64,
    /// May be used.
    pub bytes_max: u64,
}

/// Spans since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpansView {
    /// Accepted.
    pub accepted: u64,
    /// Rejected.
    pub rejected: u64,
    /// Accepted with times that are never judged.
    pub invalid_time: u64,
    /// Accepted and not looked at: generated, not measured.
    #[serde(default)]
    pub synthetic: u64,
    /// Kept by the sampler.
    pub kept: u64,
    /// Kept over accepted, 0 before the first span.
    pub kept_share: f64,
    /// Share the budget allows; `null` if the budget is a rate.
    pub budget: Option<f64>,
    /// Kept, but missed by subscribers or destinations.
    pub missed: u64,
}

/// Traces since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracesView {
    /// Open now.
    pub open: u64,
    /// Closed.
    pub closed: u64,
    /// Of these, closed early because memory ran short.
    pub evicted: u64,
}

/// Call sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSitesView {
    /// Known.
    pub known: u64,
    /// With a reference of their own.
    pub ready: u64,
    /// Names that did not fit into the dictionary, most frequent first.
    pub overflow: Vec<OverflowView>,
}

/// A name that did not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverflowView {
    /// The name.
    pub name: String,
    /// How often it came.
    pub count: u64,
}

/// A target and what was last seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStateView {
    /// The target.
    pub target: TargetView,
    /// Mode in force for it.
    pub mode: String,
    /// Whether it was observed at all, and successfully.
    pub observed: bool,
    /// Desired replicas.
    pub desired: Option<u32>,
    /// Ready replicas.
    pub ready: Option<u32>,
    /// Whether no rollout is in progress.
    pub settled: Option<bool>,
    /// Who else scales it.
    pub owner: Option<String>,
    /// Whether scaling is paused on it.
    pub paused: bool,
    /// Why it could not be observed.
    pub error: Option<String>,
}

impl From<&Status> for StatusView {
    fn from(status: &Status) -> Self {
        let spans = &status.spans;
        let share =
            if spans.accepted == 0 { 0.0 } else { spans.kept as f64 / spans.accepted as f64 };
        let overflow = status.overflow.iter();
        Self {
            version: status.version.clone(),
            role: status.role.clone(),
            profile: status.profile.clone(),
            mode: status.mode.as_str().to_owned(),
            time: format_time(status.at),
            started: format_time(status.started),
            uptime_ns: Ns(status.at.since(status.started)),
            ready: status.is_ready(),
            checks: status.checks.iter().map(CheckView::from).collect(),
            data_dir: status.data_dir.clone(),
            shedding: status.shedding,
            memory: MemoryView { bytes: status.memory_bytes, bytes_max: status.memory_bytes_max },
            spans: SpansView {
                accepted: spans.accepted,
                rejected: spans.rejected,
                invalid_time: spans.invalid_time,
                synthetic: spans.synthetic,
                kept: spans.kept,
                kept_share: share,
                budget: status.budget,
                missed: spans.missed,
            },
            traces: TracesView {
                open: status.traces.open,
                closed: status.traces.closed,
                evicted: status.traces.evicted,
            },
            call_sites: CallSitesView {
                known: status.n_sites,
                ready: status.n_sites_ready,
                overflow: overflow
                    .map(|(name, count)| OverflowView { name: name.clone(), count: *count })
                    .collect(),
            },
            targets: status.targets.iter().map(TargetStateView::from).collect(),
            sampling: status.sampling.as_ref().map(SamplingView::from),
            archives: status.archives.as_ref().map(ArchiveView::from),
        }
    }
}

impl From<&TraceSampling> for SamplingView {
    fn from(sampling: &TraceSampling) -> Self {
        let shadow = sampling.shadow.iter();
        Self {
            sampler: sampling.sampler.clone(),
            mode: sampling.mode.to_owned(),
            budget: sampling.budget.clone(),
            unit: sampling.unit.to_owned(),
            seen: sampling.seen,
            kept: sampling.kept,
            allowed: sampling.allowed,
            held: sampling.n_held,
            traces_kept: sampling.n_kept,
            traces_dropped: sampling.n_dropped,
            anomaly_share: sampling.anomaly_share,
            shadow: shadow
                .map(|(budget, seen, kept)| ShadowView {
                    budget: budget.clone(),
                    seen: *seen,
                    kept: *kept,
                })
                .collect(),
        }
    }
}

impl From<&Check> for CheckView {
    fn from(check: &Check) -> Self {
        let Check { name, ok, detail, required } = check;
        Self { name: name.clone(), ok: *ok, detail: detail.clone(), required: *required }
    }
}

impl From<&TargetStatus> for TargetStateView {
    fn from(status: &TargetStatus) -> Self {
        let seen: Option<&Observed> = status.observed.as_ref().and_then(|o| o.as_ref().ok());
        Self {
            target: TargetView::from(&status.target),
            mode: status.mode.as_str().to_owned(),
            observed: seen.is_some(),
            desired: seen.map(|state| state.desired),
            ready: seen.and_then(|state| state.ready),
            settled: seen.and_then(|state| state.settled),
            owner: seen.and_then(|state| state.owner.as_ref()).map(Owner::to_string),
            paused: seen.is_some_and(|state| state.paused),
            error: status.observed.as_ref().and_then(|o| o.as_ref().err()).cloned(),
        }
    }
}

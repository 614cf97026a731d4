//! A decision, and just as much a decision not to act: what, for which target, with which evidence,
//! and why.

use std::sync::Arc;

use crate::ids::TraceId;
use crate::orchestration::{Axis, TargetRef};
use crate::time::Timestamp;

/// How far spanwise may go for a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Compute and record, never call a write. The default.
    #[default]
    Observe,
    /// Also publish what should be done.
    Recommend,
    /// Do it.
    Act,
}

/// Where the figure of a target goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// More capacity.
    Up,
    /// Less capacity.
    Down,
    /// No change.
    Hold,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The orchestrator carried it out.
    Acted,
    /// It was published, not carried out (`recommend`, or a target in `observe`).
    Recommended,
    /// A brake, a bound or missing evidence held it back.
    Suppressed,
    /// The orchestrator refused or failed.
    Failed,
}

/// Why a decision came out as it did. A closed set; each has an anchor in `docs/reasons.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A rule fired: Count(D > T, window) >= N (SCALE eq. 4).
    ThresholdBreached,
    /// The bottleneck is a resource: scale vertically (SCALE eq. 5).
    ResourceBound,
    /// The bottleneck is load: scale horizontally (SCALE eq. 5).
    LoadBound,
    /// The slow part lies in a dependency.
    DownstreamIsBottleneck,
    /// The rule or the target rests after its last action.
    Cooldown,
    /// The target is at its maximum.
    AtMax,
    /// The target is at its minimum.
    AtMin,
    /// A stabilisation window or a rollout is in progress.
    Stabilizing,
    /// A `HorizontalPodAutoscaler`, `ScaledObject` or unknown writer owns the target.
    OtherControllerOwns,
    /// The model is still learning.
    ModelLearning,
    /// Scaling of the target is paused.
    Paused,
    /// The target's mode does not allow acting.
    ObserveOnly,
    /// Folded into another action on the same target.
    Conflated,
    /// The orchestrator refused, failed, or does not support the action.
    OrchestratorError,
    /// Too few spans, instances or sub-windows to act on, or a window with a hole in it.
    InsufficientData,
}

/// Names a rule and the version of it that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// The rule's name.
    pub name: Arc<str>,
    /// A hash of the rule's text, so that a record names one version.
    pub hash: u64,
}

/// The figures behind a rule: the left and the right side of SCALE eq. 4.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// What was compared: `total`, `self`, `gap` or `self+gap`.
    pub metric: Arc<str>,
    /// Threshold T in nanoseconds.
    pub over_ns: u64,
    /// N.
    pub count: f64,
    /// Window in nanoseconds.
    pub window_ns: u64,
    /// Weighted count of breaches in the window.
    pub observed: f64,
    /// Raw spans seen at the rule's call sites in the window.
    pub n_spans: u64,
    /// Raw breaches in the window.
    pub n_breaches: u64,
    /// Quarters of the window with a breach, 0 to 4.
    pub n_quarters: u32,
    /// Instances that sent spans, counted up to 16.
    pub n_instances: u32,
    /// Instances that breached, counted up to 16.
    pub n_breaching_instances: u32,
}

/// A bound or brake that was applied on the way to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The reason code it stands for.
    pub reason: Reason,
    /// One sentence with the figures.
    pub detail: String,
}

/// The record of one decision or non-decision. Absolute figures; written once, amended only with
/// its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Sequence number of this process's decision log; shown as `d-<id>`.
    pub id: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// The target; for an alert rule the name of the alert with an empty backend.
    pub target: TargetRef,
    /// Horizontal or vertical.
    pub axis: Axis,
    /// Direction of change.
    pub direction: Direction,
    /// Replicas before (vertical: CPU millicores), if known.
    pub from: Option<u64>,
    /// Replicas wanted (vertical: CPU millicores), if there is a figure.
    pub to: Option<u64>,
    /// Memory wanted in bytes (vertical only).
    pub memory_bytes: Option<u64>,
    /// Mode in force for the target.
    pub mode: Mode,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// One sentence that a person understands without the rest.
    pub summary: String,
    /// The rules whose actions were folded into this one; the first is the decisive one.
    pub rules: Vec<RuleRef>,
    /// The figures of the decisive rule.
    pub condition: Condition,
    /// The call site the decisive rule fired on: `service`, `operation`.
    pub call_site: (Arc<str>, Arc<str>),
    /// Bounds and brakes applied, in order.
    pub bounds: Vec<Bound>,
    /// Up to 5 traces that show the breach.
    pub trace_ids: Vec<TraceId>,
    /// What the orchestrator said, if it was called.
    pub orchestrator: Option<String>,
}

impl Mode {
    /// `observe`, `recommend` or `act`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Recommend => "recommend",
            Self::Act => "act",
        }
    }
}

impl Direction {
    /// `up`, `down` or `hold`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Hold => "hold",
        }
    }
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Acted, Self::Recommended, Self::Suppressed, Self::Failed];

    /// `acted`, `recommended`, `suppressed` or `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acted => "acted",
            Self::Recommended => "recommended",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::ThresholdBreached,
        Self::ResourceBound,
        Self::LoadBound,
        Self::DownstreamIsBottleneck,
        Self::Cooldown,
        Self::AtMax,
        Self::AtMin,
        Self::Stabilizing,
        Self::OtherControllerOwns,
        Self::ModelLearning,
        Self::Paused,
        Self::ObserveOnly,
        Self::Conflated,
        Self::OrchestratorError,
        Self::InsufficientData,
    ];

    /// The code as it stands in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ThresholdBreached => "ThresholdBreached",
            Self::ResourceBound => "ResourceBound",
            Self::LoadBound => "LoadBound",
            Self::DownstreamIsBottleneck => "DownstreamIsBottleneck",
            Self::Cooldown => "Cooldown",
            Self::AtMax => "AtMax",
            Self::AtMin => "AtMin",
            Self::Stabilizing => "Stabilizing",
            Self::OtherControllerOwns => "OtherControllerOwns",
            Self::ModelLearning => "ModelLearning",
            Self::Paused => "Paused",
            Self::ObserveOnly => "ObserveOnly",
            Self::Conflated => "Conflated",
            Self::OrchestratorError => "OrchestratorError",
            Self::InsufficientData => "InsufficientData",
        }
    }

    /// The reason of a code, exactly spelt.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::from_name("cooldown"), None);
    }

    #[test]
    fn modes_are_ordered_by_how_far_they_go() {
        assert!(Mode::Observe < Mode::Recommend && Mode::Recommend < Mode::Act);
    }
}

//! What scaling talks about: targets, their observed state, and what is to be done to them. Plain
//! data between the scaler, which decides, and the orchestrator, which acts.

use std::sync::Arc;

/// Names a workload to its backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// The target's name in the configuration: the service it serves.
    pub name: Arc<str>,
    /// Which backend acts on it: `kubernetes`, `exec`, `recorder`, ...
    pub backend: Arc<str>,
    /// Kind, such as `Deployment`; empty where the backend has none.
    pub kind: Arc<str>,
    /// API group and version of a kind the backend cannot know, such as `argoproj.io/v1alpha1`;
    /// empty for built-in kinds.
    pub api_version: Arc<str>,
    /// Namespace; empty where the backend has none.
    pub namespace: Arc<str>,
    /// The workload's own name.
    pub object: Arc<str>,
}

/// Which way a target is scaled (SCALE eq. 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// More replicas.
    Horizontal,
    /// Larger replicas.
    Vertical,
}

/// An absolute action. Never a delta: repeating it is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleAction {
    /// Set the number of replicas.
    SetReplicas {
        /// The number the decision was made against.
        from: u32,
        /// The number wanted.
        to: u32,
    },
    /// Set the resources of each replica.
    SetResources {
        /// CPU wanted, in millicores; `None` leaves it.
        cpu_millis: Option<u64>,
        /// Memory wanted, in bytes; `None` leaves it.
        memory_bytes: Option<u64>,
    },
}

/// Resources of one replica, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU limit, else request, in millicores.
    pub cpu_millis: Option<u64>,
    /// Memory limit, else request, in bytes.
    pub memory_bytes: Option<u64>,
}

/// Who else writes the replicas of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A `HorizontalPodAutoscaler`, by name.
    HorizontalPodAutoscaler(String),
    /// A KEDA `ScaledObject`, by name.
    ScaledObject(String),
    /// Some writer we cannot name: our value was undone.
    Unknown(String),
}

/// The state of a target as its backend sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Desired replicas (`spec.replicas`).
    pub desired: u32,
    /// Ready replicas, if the backend tells.
    pub ready: Option<u32>,
    /// Whether no rollout is in progress; `None` if the backend cannot tell.
    pub settled: Option<bool>,
    /// Resources of one replica.
    pub resources: Resources,
    /// The revision a write must match (`resourceVersion`), empty if there is none.
    pub revision: String,
    /// The object's identity (`uid`), empty if there is none.
    pub uid: String,
    /// Who else scales it, if anybody.
    pub owner: Option<Owner>,
    /// Whether somebody paused scaling on the object.
    pub paused: bool,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HorizontalPodAutoscaler(name) => write!(f, "HorizontalPodAutoscaler {name}"),
            Self::ScaledObject(name) => write!(f, "ScaledObject {name}"),
            Self::Unknown(who) => write!(f, "another writer ({who})"),
        }
    }
}

impl Axis {
    /// `horizontal` or `vertical`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Horizontal => "horizontal",
            Self::Vertical => "vertical",
        }
    }
}

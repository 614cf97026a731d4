//! What can go wrong between a plan and its effect, named by what the caller can do about it.

use spanwise_model::Owner;

/// Why a call to an orchestrator had no effect, or may have had none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrchError {
    /// The target is no longer what the decision was made against. Observe it and decide anew.
    #[error("the target changed since the decision: {changed}")]
    Conflict {
        /// What changed, with both figures.
        changed: String,
    },
    /// Somebody else scales the target. Hold, and tell the user whom to remove.
    #[error("{0} scales this target: remove it, or take the target out of the configuration")]
    Owned(Owner),
    /// Somebody paused scaling on the target. Hold until the pause is lifted.
    #[error("scaling is paused by {by}")]
    Paused {
        /// What paused it: the annotation and its value.
        by: String,
    },
    /// Rights are missing. Only the user can grant them; repeating the call is useless.
    #[error("forbidden: may not {verb} {resource}: {detail}")]
    Forbidden {
        /// The verb that was refused: `get`, `list`, `patch`.
        verb: String,
        /// The resource, a subresource after a slash: `deployments/scale`.
        resource: String,
        /// What the backend said, or the remedy.
        detail: String,
    },
    /// The target, or the API it needs, does not exist.
    #[error("not found: {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The backend cannot do this. `detail` says what a person can do in its place.
    #[error("{what} is not supported: {detail}")]
    Unsupported {
        /// What was asked.
        what: String,
        /// What to do by hand; for vertical scaling on Kubernetes the patch of the pod template.
        detail: String,
    },
    /// The request makes no sense and never will: a mistake in the configuration or in the plan.
    #[error("invalid: {detail}")]
    Invalid {
        /// What is wrong and how to mend it.
        detail: String,
    },
    /// The right to write ran out before the write was sent. Decide anew.
    #[error("not written: {detail}")]
    Fenced {
        /// Which right ran out.
        detail: String,
    },
    /// The backend could not be reached or was busy. Try again with a new decision.
    #[error("the backend failed for now: {detail}")]
    Transient {
        /// What happened.
        detail: String,
        /// Whether a write had been sent whose answer never came: observe before deciding anew.
        maybe_applied: bool,
    },
}

impl OrchError {
    /// A stable word for logs and metric labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Owned(_) => "owned",
            Self::Paused { .. } => "paused",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound { .. } => "not_found",
            Self::Unsupported { .. } => "unsupported",
            Self::Invalid { .. } => "invalid",
            Self::Fenced { .. } => "fenced",
            Self::Transient { .. } => "transient",
        }
    }

    /// A failure that left nothing behind and may be tried again.
    pub(crate) fn transient(detail: impl Into<String>) -> Self {
        Self::Transient { detail: detail.into(), maybe_applied: false }
    }

    /// A mistake with its remedy.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }

    /// A difference between the decision and the target.
    pub(crate) fn conflict(changed: impl Into<String>) -> Self {
        Self::Conflict { changed: changed.into() }
    }
}

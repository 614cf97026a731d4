//! What an orchestrator may answer beside "done", as far as the scaler tells answers apart.

/// Why an orchestrator did not carry out a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The target changed meanwhile: nothing was written, decide anew.
    Conflict(String),
    /// Somebody else scales the target: nothing was written.
    Owned(String),
    /// Scaling of the target is paused: nothing was written.
    Paused(String),
    /// The backend cannot do this. The text may say how to do it by hand.
    Unsupported(String),
    /// Not known to have been carried out: forbidden, failed, or no answer in time.
    Failed(String),
}

//! What can go wrong: a setting out of its range, or a snapshot that does not fit.

/// Why a sampler could not be made or restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting lies outside its range: choose another value.
    #[error("{name} must be {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The forest refuses its settings.
    #[error("the forest refuses its settings")]
    Forest(#[from] spanwise_hst::Error),
    /// The bytes are not a snapshot of this version, or damaged. The models are left as they were;
    /// start cold.
    #[error("the model snapshot is unusable at byte {offset}: {what}; delete it to start cold")]
    Snapshot {
        /// Where it was noticed.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The snapshot was made with other settings. The models are left as they were.
    #[error("the model snapshot was made with another {what}; delete it or restore the setting")]
    Mismatch {
        /// The setting that differs.
        what: &'static str,
    },
}

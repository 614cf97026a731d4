//! What can be wrong with the settings. Nothing else fails here: input is bounded, not refused.

use thiserror::Error;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A value outside its range.
    #[error("assembler setting {setting} is {value}, give {min} to {max}")]
    OutOfRange {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: u64,
        /// Least value that works.
        min: u64,
        /// Greatest value that works.
        max: u64,
    },
}

//! What can go wrong, named by what the caller can do about it.
//!
//! Written out by hand instead of derived: the crate has no dependencies.

use std::fmt;

/// Why a forest could not be built, taught, asked, merged or restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range: choose another value.
    Setting {
        /// Name of the setting, as in the configuration struct.
        name: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { name, expected } => write!(f, "{name} must be {expected}"),
        }
    }
}

impl std::error::Error for Error {}

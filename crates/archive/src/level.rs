//! The dial: how much of its window a file keeps, and by which method.

use std::fmt;
use std::str::FromStr;

/// What a file keeps of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything, to the bit.
    Lossless,
    /// Every trace; times and numbers to their bin, ids anew.
    NearLossless,
    /// A model, and minute, shape and root duration of every trace.
    Pinned,
    /// A model.
    Model,
}

/// How a file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Columns: L0.
    Columns,
    /// Trees of conditionals: L1, L2, L3.
    Structured,
    /// Generative adversarial networks.
    Ctgan,
}

impl Level {
    /// All levels from the most faithful.
    pub const ALL: [Self; 4] = [Self::Lossless, Self::NearLossless, Self::Pinned, Self::Model];

    /// The word on the command line: `l0` to `l3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lossless => "l0",
            Self::NearLossless => "l1",
            Self::Pinned => "l2",
            Self::Model => "l3",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a level; use l0, l1, l2 or l3")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|level| level.name() == word).ok_or(UnknownLevel)
    }
}

impl Method {
    /// In the order of their numbers in a file.
    pub(crate) const ALL: [Self; 3] = [Self::Columns, Self::Structured, Self::Ctgan];

    /// The word in reports and in the mark of generated spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Structured => "structured",
            Self::Ctgan => "ctgan",
        }
    }
}

//! What can go wrong, named by what the caller can do about it.
//!
//! Written out by hand instead of derived: the crate has no dependencies.

use std::fmt;

/// Why a forest could not be built, taught, asked, merged or restored. Whatever failed left the
/// forest as it was.
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
    /// A record has another number of features than the forest.
    FeatureCount {
        /// Features of the forest.
        expected: usize,
        /// Features of the record.
        found: usize,
    },
    /// A feature is NaN or infinite: leave it out (`None`) or leave the record out.
    NotFinite {
        /// Position of the first such feature.
        feature_idx: usize,
    },
    /// The first record, from whose features the trees are drawn, has none.
    NoFeature,
    /// The trees of the two forests differ, so their masses mean different things: relearn.
    SkeletonMismatch {
        /// Id of the forest that was asked; 0 if it has no trees yet.
        expected: u64,
        /// Id of the other.
        found: u64,
    },
    /// The sum of two forests' counts exceeds what is counted exactly: flip one of them first.
    TooManyObservations,
    /// The bytes are a snapshot of a version this build does not know.
    SnapshotVersion {
        /// The version found.
        found: u16,
    },
    /// The bytes are no intact snapshot of this kind of forest: start without it.
    SnapshotCorrupt {
        /// Position in the bytes where the problem was noticed.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { name, expected } => write!(f, "{name} must be {expected}"),
            Self::FeatureCount { expected, found } => {
                write!(f, "record has {found} features, the forest {expected}")
            }
            Self::NotFinite { feature_idx } => write!(
                f,
                "feature {feature_idx} is not a finite number, pass it as missing instead"
            ),
            Self::NoFeature => write!(f, "first record has no feature to draw the trees from"),
            Self::SkeletonMismatch { expected, found } => write!(
                f,
                "skeleton {found:016x} differs from {expected:016x}, masses of different trees \
                 cannot be combined: use one seed and one shape, or relearn"
            ),
            Self::TooManyObservations => {
                write!(f, "sum of the counts is too large to stay exact, flip a forest first")
            }
            Self::SnapshotVersion { found } => {
                write!(f, "snapshot version {found} is unknown to this build, relearn or upgrade")
            }
            Self::SnapshotCorrupt { offset, problem } => {
                write!(f, "snapshot damaged at byte {offset}: {problem}, start without it")
            }
        }
    }
}

impl std::error::Error for Error {}

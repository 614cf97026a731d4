//! Names of sections.

use std::fmt;

/// The name of a section: four ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 4]);

impl Tag {
    /// Nodes, pods, keys and values of a model.
    pub const DICT: Self = Self(*b"DICT");
    /// Topologies.
    pub const SHAPES: Self = Self(*b"SHAP");
    /// Topologies with the positions of error spans, and who has them when.
    pub const LABELLED_SHAPES: Self = Self(*b"LSHA");
    /// Traces per bucket of time.
    pub const TIMES: Self = Self(*b"TIME");
    /// Edges of bins.
    pub const BINS: Self = Self(*b"BINS");
    /// Trees of conditionals.
    pub const TREES: Self = Self(*b"TREE");
    /// What L2 pins for each trace.
    pub const PINS: Self = Self(*b"PINS");
    /// L0 and L1: columns of the window.
    pub const COLUMNS: Self = Self(*b"COLS");
    /// Traces stored as they are, beside any level.
    pub const VERBATIM: Self = Self(*b"VERB");
    /// The networks of the paper: generators, and how numbers become their units.
    pub const NETWORKS: Self = Self(*b"GANS");
    /// What the compressor measured of its own file.
    pub const FIDELITY: Self = Self(*b"FIDE");
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

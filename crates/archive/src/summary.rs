//! What a compressor tells of its work.

use crate::container::Header;

/// What was compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The header written.
    pub header: Header,
    /// Bytes of the requests given.
    pub n_bytes_in: u64,
    /// Traces kept verbatim beside the level.
    pub n_traces_verbatim: u64,
    /// L1 only.
    pub near_lossless: Option<NearLossless>,
}

/// What a near-lossless file took, and what it gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NearLossless {
    /// Ideal length of the coded traces in bytes: the sum of -log2 of the probabilities with which
    /// their symbols were coded.
    pub ideal_bytes: f64,
    /// Bytes of their sections as written.
    pub coded_bytes: u64,
    /// Median over spans of the relative error of the duration.
    pub timing_error: f64,
}

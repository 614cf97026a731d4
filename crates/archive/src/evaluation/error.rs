//! What can go wrong with an evaluation.

/// Why a comparison was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word of `--baselines` is none.
    #[error(
        "unknown baseline `{word}`\n  fix: give head:N with N from 1 on, tail:error or tail:latency"
    )]
    Baseline {
        /// The word.
        word: String,
    },
    /// A word of `--codecs` is none.
    #[error("unknown codec `{word}`\n  fix: give none, gzip, zstd or clp-like")]
    Codec {
        /// The word.
        word: String,
    },
    /// A request is not readable.
    #[error("request {number}: {source}")]
    Request {
        /// Position among the requests, from 0.
        number: u64,
        /// What is wrong with it.
        source: spanwise_otlp::DecodeError,
    },
    /// There are no traces.
    #[error("no spans in the input\n  fix: give a file with at least one trace")]
    Empty,
    /// A compressor failed.
    #[error("cannot compress: {0}")]
    Compress(#[from] std::io::Error),
}

//! A window of traces as columns: what models and metrics read.
//!
//! Spans stand in preorder, trace after trace, with strings and attribute values as numbers. Ids are
//! gone but for those of traces; what a window cannot hold as a tree is named and left to L0.

mod build;
mod columns;
mod intern;
pub(crate) mod wire;

use spanwise_otlp::DecodeError;

pub use build::{Builder, Window};
pub use columns::{Column, NO_PARENT, Node, Place, Pod, Traces};
pub use intern::{Interner, Values};

/// Most traces of a window.
pub const N_TRACES_MAX: usize = 1 << 20;
/// Most spans of a window.
pub const N_SPANS_MAX: usize = 1 << 24;
/// Most spans of a trace; larger ones are set apart.
pub const SPANS_PER_TRACE_MAX: usize = 4096;
/// Most levels below a root; deeper traces are set apart.
pub const TRACE_DEPTH_MAX: u16 = 256;

/// Why a window was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request is malformed or over its limits.
    #[error("request is not readable: {0}")]
    Request(#[from] DecodeError),
    /// Close the window earlier.
    #[error("window holds more than {limit} spans, close it earlier")]
    TooManySpans {
        /// Most spans of a window.
        limit: usize,
    },
    /// Close the window earlier.
    #[error("window holds more than {limit} traces, close it earlier")]
    TooManyTraces {
        /// Most traces of a window.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;

//! L2 and L3: topology and errors exact, the rest from trees of conditionals.

mod bins;
mod coder;
mod codes;
mod conditionals;
mod coordinates;
mod deck;
mod domain;
mod emit;
mod features;
mod fit;
mod format;
mod generate;
mod keys;
mod learn;
mod model;
mod template;
mod text;
mod topology;
mod tree;

use bytes::Bytes;

use crate::traces::Traces;

pub use emit::Mark;

/// How a window is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Weight of the bits of data when trees are split: more is larger and closer. Default 1.
    pub beta: f64,
    /// Bits that a code of a leaf is thought to cost. Default 6.
    pub code_bits: f64,
    /// Steps of a leaf's weights in one standard deviation of their estimate.
    pub precision: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { beta: 1.0, code_bits: 6.0, precision: 2.0 }
    }
}

/// A window as a model.
#[derive(Clone, Debug)]
pub struct Fitted {
    model: model::Model,
}

impl Fitted {
    /// Fits a model.
    ///
    /// # Errors
    /// The window has more of something than a file may hold.
    pub fn fit(traces: &Traces, options: &Options) -> Result<Self, Error> {
        Ok(Self { model: fit::fit(traces, options)?.model })
    }

    /// Its sections: tag and bytes.
    pub fn sections(&self) -> Vec<([u8; 4], Vec<u8>)> {
        format::write(&self.model)
    }

    /// Reads it back; `find` yields the bytes of a section.
    ///
    /// # Errors
    /// A section is missing, ends early, exceeds a limit or contradicts another.
    pub fn read<'a>(find: impl Fn([u8; 4]) -> Option<&'a [u8]>) -> Result<Self, Error> {
        Ok(Self { model: format::read(find)? })
    }

    /// Generates the window as `ExportTraceServiceRequest`s of at most 512 spans.
    ///
    /// # Errors
    /// What `sink` fails with, at once.
    pub fn generate<E>(
        &self,
        seed: u64,
        mark: &Mark,
        sink: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let generated = generate::generate(&self.model, seed);
        emit::emit(&self.model, &generated, mark, sink)
    }
}

/// Why a model cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More was asked for than is there.
    #[error("ends early")]
    Truncated,
    /// A value that cannot be.
    #[error("holds an impossible {0}")]
    Impossible(&'static str),
    /// A section is not there.
    #[error("has no section {}", .0.escape_ascii())]
    Missing([u8; 4]),
    /// A count above its limit.
    #[error("holds too many {0}")]
    TooMany(&'static str),
}

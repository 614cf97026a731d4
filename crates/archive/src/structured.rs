//! L2 and L3: topology and errors exact, the rest from trees of conditionals.

mod bins;
mod calibration;
mod clock;
mod coder;
mod codes;
mod conditionals;
mod coordinates;
mod coupling;
mod deck;
mod domain;
mod emit;
mod features;
mod fit;
mod format;
mod generate;
mod keys;
mod learn;
mod mend;
mod model;
mod pins;
pub(crate) mod template;
mod text;
mod timing;
mod topology;
mod tree;
#[cfg(feature = "ctgan")]
mod vocabulary;

use bytes::Bytes;

use crate::limits::Limits;
use crate::traces::Traces;

pub(crate) use emit::{Mark, emit};
pub(crate) use format::version;
#[cfg(feature = "ctgan")]
pub(crate) use generate::order_siblings;
pub(crate) use model::Model;
#[cfg(feature = "ctgan")]
pub(crate) use {
    codes::Codes,
    domain::{Domain, Key},
    generate::Generated,
    topology::{Shape, Topology},
    vocabulary::{Described, describe, empty_codes, read_vocabulary, write_vocabulary},
};
#[cfg(all(test, feature = "ctgan"))]
pub(crate) use {codes::Layout, model::Site};

/// How a window is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Options {
    /// Weight of the bits of data when trees are split: more is larger and closer. Default 1.
    pub(crate) beta: f64,
    /// Bits that a code of a leaf is thought to cost: what the coder needs for one. Default 4.5.
    pub(crate) code_bits: f64,
    /// Weight of gaps and tails, relative to `beta`. Default 1.
    pub(crate) time_weight: f64,
    /// Weight of the durations of traces, relative to `beta`. Default 3: there is one for a whole
    /// trace, and percentiles per minute hang on it.
    pub(crate) duration_weight: f64,
    /// Steps of a leaf's weights in one standard deviation of their estimate. Default 2.
    pub(crate) precision: f64,
    /// Whether traces are pinned. Default [`Detail::Model`].
    pub(crate) detail: Detail,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            beta: 1.0,
            code_bits: 4.5,
            precision: 2.0,
            time_weight: 1.0,
            duration_weight: 3.0,
            detail: Detail::Model,
        }
    }
}

/// Whether shape and duration of each trace are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// L3: the model alone.
    Model,
    /// L2: the model and, for each trace, its minute, shape and duration.
    Pinned,
}

/// A window as a model.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    model: Model,
    pins: Option<pins::Pins>,
}

impl Fitted {
    /// Fits a model. Deterministic; memory and time grow with spans times columns.
    ///
    /// # Errors
    /// The window has more of something than a file may hold.
    pub(crate) fn fit(traces: &Traces, options: &Options) -> Result<Self, Error> {
        let fit = fit::fit(traces, options)?;
        let pins = match options.detail {
            Detail::Model => None,
            Detail::Pinned => Some(pins::pins_of(&fit.codes)),
        };
        Ok(Self { model: fit.model, pins })
    }

    /// Its sections in file order, tag and bytes; they are compressed already.
    pub(crate) fn sections(&self) -> Vec<([u8; 4], Vec<u8>)> {
        let mut sections = format::write(&self.model);
        if let Some(pins) = &self.pins {
            sections.push((PINS, pins::write(&self.model, pins)));
        }
        sections
    }

    /// Reads it back within limits; `find` yields version and bytes of a section. With a section of pins it
    /// is L2.
    ///
    /// # Errors
    /// A section is missing, ends early, exceeds a limit or contradicts another.
    pub(crate) fn read<'a>(
        find: impl Fn([u8; 4]) -> Option<(u16, &'a [u8])>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let model = format::read(&find, limits)?;
        let pins = find(PINS).map(|(_, bytes)| pins::read(&model, bytes)).transpose()?;
        Ok(Self { model, pins })
    }

    /// Generates the window as `ExportTraceServiceRequest`s of at most 512 spans, the same for the
    /// same model, seed and mark everywhere.
    ///
    /// # Errors
    /// What `sink` fails with, at once.
    pub(crate) fn generate<E>(
        &self,
        seed: u64,
        mark: &Mark,
        sink: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let generated = generate::generate(&self.model, self.pins.as_ref(), seed);
        emit(&self.model, &generated, mark, sink)
    }
}

/// The tag of the section that makes a model L2.
pub(crate) const PINS: [u8; 4] = *b"PINS";

/// Why a model cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
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

#[cfg(test)]
mod tests;

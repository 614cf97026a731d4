//! Numbers to bits and back: a range coder and a model that predicts the next bit.
//!
//! Writer and reader walk the same code, generic over [`Coder`]: what one writes is what the other
//! reads, by construction. All arithmetic is in integers but for two tables made once with `libm`.

mod model;
mod range;
mod symbols;

pub(crate) use model::{Model, hash};
pub(crate) use range::{Coder, Decoder, Encoder};
pub(crate) use symbols::Costs;

#[cfg(test)]
mod tests;

//! What a model is compared with: samples of whole traces, really encoded again and compressed.
//!
//! Pure but for what it is given: who measures time and memory, and prints, is the application.

mod baseline;
mod clp;
mod codec;
mod cost;
mod error;
mod period;
pub mod published;
mod recording;

pub use baseline::Baseline;
pub use codec::Codec;
pub use cost::{Cost, Prices};
pub use error::Error;
pub use period::{Period, periods};
pub use recording::Recording;

#[cfg(test)]
mod tests;

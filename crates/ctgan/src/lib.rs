#![doc = include_str!("../README.md")]

mod architecture;
mod calibration;
mod critic;
mod error;
mod fields;
mod frozen;
mod gan;
mod generator;
mod inherit;
mod layer;
mod marginals;
mod math;
mod matrix;
mod mixture;
mod normaliser;
mod random;
mod rows;
mod sampling;

pub use architecture::{Activation, Architecture, Context, Layer};
pub use error::Error;
pub use fields::Field;
pub use frozen::{Frozen, Precision, Scratch, Value};
pub use gan::{Data, Gan, Losses, Training, Values};
pub use inherit::Names;
pub use mixture::{Component, Mixture};
pub use normaliser::Normaliser;
pub use random::Random;
pub use rows::{Block, Rows};
pub use sampling::Sampling;

#[cfg(test)]
mod tests;

#![doc = include_str!("../README.md")]

pub mod chart;
mod error;
mod fault;
mod figure;
pub mod metrics;
mod replay;
mod rows;
mod score;
pub mod shocks;
pub mod spans;
mod stream;
pub mod traces;

pub use error::Error;
pub use fault::{Fault, service_of_pod};
pub use figure::Figure;
pub use replay::Meter;
pub use rows::Rows;
pub use score::{Judge, Score};
pub use stream::{Labels, Recorded, Stream, StreamBuilder};

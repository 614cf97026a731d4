#![doc = include_str!("../README.md")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this crate is test code that other crates' tests call"
)]

mod clock;
#[cfg(feature = "orchestrator")]
pub mod conformance;
mod span;
mod trace;

pub use clock::VirtualClock;
pub use span::{EPOCH, SpanSpec, batch};
pub use trace::closed_trace;

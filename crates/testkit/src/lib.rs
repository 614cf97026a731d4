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
#[cfg(feature = "fake-kubernetes")]
pub mod fake_kubernetes;
mod span;
mod trace;

pub use clock::VirtualClock;
#[cfg(feature = "fake-kubernetes")]
pub use fake_kubernetes::FakeKubernetes;
pub use span::{EPOCH, SpanSpec, batch};
pub use trace::closed_trace;

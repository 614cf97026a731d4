//! Sending OTLP: to a store that keeps what was sampled, or to our own receiver from recordings and
//! generators.
//!
//! [`Client`] sends one request and waits for its answer. [`Exporter`] puts a bounded queue and
//! OTLP's rules of retrying in front of it: only what the specification calls retryable is sent
//! again, a pause asked for is kept, and everything given up is counted under its reason.

mod client;
mod config;
mod grpc;
mod http;
mod queue;
mod retry;

pub use client::{Client, ExportError, Exported};
pub use config::{Config, ConfigError, Protocol};
pub use queue::{Driver, Exporter, NotQueued, Stats, exporter};
pub use retry::Backoff;

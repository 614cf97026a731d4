//! Configuration: one YAML file, strict, every mistake reported with its place.
//!
//! Precedence: command-line flag, then `SPANWISE_*` environment variable (both arrive through
//! [`crate::cli`]), then the file, then the default. No file at all is a valid configuration: it
//! listens on loopback, keeps 1 % of the spans, and scales nothing.

pub mod built;
pub mod load;
pub mod raw;
pub mod tail_sampling;
pub mod yaml;

pub use built::{
    Archive, Config, Destination, Forward, ForwardProtocol, Listen, Otlp, Peer, Sent, TraceMode,
    Traces, Windows,
};
pub use load::{Loaded, load, read};

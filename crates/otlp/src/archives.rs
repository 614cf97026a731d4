//! `spanwise.v1.ArchiveService`: archives from one spanwise to another, piece by piece.
//!
//! [`Service`] takes pieces off the wire and hands them to the application's [`Receive`];
//! [`Client`] sends them. What an archive is, neither knows: the application checks it before it
//! says that it is stored. Retrying is the application's business too, since it knows what is left
//! to send; a piece of no bytes asks where to go on.
//!
//! The wire format is `proto/spanwise/v1/archive.proto`; `cargo run` in `proto/generate` makes
//! `generated.rs` from it.

mod client;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, reason = "generated code")]
mod generated;
mod port;
mod request;
mod service;

pub use client::{Client, PushError};
pub use port::{Chunk, Progress, Receive, Refused};
pub use request::{read_push, write_push};
pub use service::Service;

/// The service's full name, as in gRPC health.
pub const SERVICE: &str = "spanwise.v1.ArchiveService";
/// The method's path.
pub(crate) const PUSH: &str = "/spanwise.v1.ArchiveService/Push";
/// Largest piece.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Largest archive.
pub const ARCHIVE_BYTES_MAX: u64 = 64 << 20;
/// Longest name of a sender.
pub const SOURCE_BYTES_MAX: usize = 256;

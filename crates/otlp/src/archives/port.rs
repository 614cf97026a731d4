//! What the application is handed, and what it says to it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A piece of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Which archive.
    pub archive_id: [u8; 16],
    /// Bytes of the whole archive, from 1 to [`ARCHIVE_BYTES_MAX`](super::ARCHIVE_BYTES_MAX).
    pub n_bytes: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece; it ends within the archive. Empty to ask where to go on.
    pub bytes: Bytes,
    /// Who sends.
    pub source: String,
    /// Number of the window at its sender.
    pub sequence: u64,
    /// When the window was opened, in nanoseconds since the epoch by the sender's clock.
    pub opened_ns: u64,
    /// When it was closed.
    pub closed_ns: u64,
}

/// How much of an archive has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes: where the next piece begins.
    pub n_received: u64,
    /// Whether the archive is whole, checked and on disk.
    pub is_stored: bool,
}

/// Why a piece was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What arrived is no archive, or not the one it was said to be: sending it again is no use.
    #[error("{0}")]
    Invalid(String),
    /// There is no room now.
    #[error("{message}")]
    Full {
        /// What is full.
        message: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// It could not be written now.
    #[error("{0}")]
    Failed(String),
}

/// Takes pieces. Pieces of one archive may come from several calls at once.
pub trait Receive: Send + Sync {
    /// Takes one piece. A piece that does not begin where the last one ended is left, and the answer
    /// says where to go on.
    fn push(&self, chunk: Chunk) -> BoxFuture<'_, Result<Progress, Refused>>;
}

//! What can go wrong, by what the caller can do about it. Damage found while opening is no error:
//! see [`Recovery`](crate::Recovery).

use std::io;

use thiserror::Error;

/// Why an operation on the log failed.
#[derive(Debug, Error)]
pub enum Error {
    /// Another process has the directory open.
    #[error("{dir} is used by another process{holder}; stop it or choose another directory")]
    Locked {
        /// The directory.
        dir: String,
        /// ` (pid N)` if it is known, else nothing.
        holder: String,
    },
    /// The disk refused. Nothing is lost: what was not committed is still held, try again later.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// As much is held uncommitted as may be: commit first.
    #[error("{n_bytes} bytes wait to be written, the limit is reached; commit the log first")]
    Unsynced {
        /// Bytes held.
        n_bytes: u64,
    },
    /// The log has reached its limit and nothing in it may be deleted yet. Refuse input until
    /// records are released or cursors advance.
    #[error("the log holds {n_bytes} bytes that nobody has released yet; come again later")]
    Full {
        /// Bytes of all segments.
        n_bytes: u64,
    },
    /// The payload exceeds [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX).
    #[error("record of {n_bytes} bytes exceeds the limit of 64 MiB")]
    TooLarge {
        /// Bytes of the payload.
        n_bytes: u64,
    },
    /// A cursor's name is empty or longer than 255 bytes, or there are 255 cursors already.
    #[error("cursor {name:?}: {problem}")]
    Cursor {
        /// The name.
        name: String,
        /// Why not.
        problem: &'static str,
    },
    /// An fsync failed, and so did the fsync of a new file with the same records: the log takes
    /// nothing more. The process should exit, so that recovery sees what the disk really holds.
    #[error("the log has stopped because the disk failed twice; restart to recover")]
    Stopped,
    /// The segment of a position has been deleted: everything in it was released.
    #[error("{file} has been released; its records are gone")]
    Gone {
        /// The segment's file.
        file: String,
    },
    /// There is no good record at a position. Others may be fine.
    #[error("{file}: the record at offset {offset} is damaged: {problem}")]
    Corrupt {
        /// The segment's file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A setting that cannot be used.
    #[error("log configuration: {problem}")]
    Config {
        /// Which, and why.
        problem: &'static str,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { action, file, source }
    }

    /// Whether the disk has no room: space may be freed, and the same call succeed later.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// No room on the disk or in the user's quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

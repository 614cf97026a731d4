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
    /// The disk refused. Nothing is lost: what was not synced is still held, try again later.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// As much is held unsynced as may be: `sync` first.
    #[error("{n_bytes} bytes wait to be synced, the limit is reached; sync the log first")]
    Unsynced {
        /// Bytes held.
        n_bytes: u64,
    },
    /// The payload exceeds [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX).
    #[error("record of {n_bytes} bytes exceeds the limit of 64 MiB")]
    TooLarge {
        /// Bytes of the payload.
        n_bytes: u64,
    },
    /// An fsync failed, and writing the same records to a new file failed too: the log takes
    /// nothing more. The process should exit, so that recovery sees what the disk really holds.
    #[error("the log has stopped because the disk failed twice; restart to recover")]
    Stopped,
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
}

//! Sizes of the log.

use crate::error::Error;

const MIB: u64 = 1 << 20;

/// How large files, the log and the unsynced part may become. Bytes throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A segment that has reached this size is not written to any more. At least 4 KiB, default
    /// 64 MiB. A segment may exceed it by what one `sync` writes.
    pub segment_bytes: u64,
    /// All segments together; the oldest are deleted to stay below, but never the one at hand. At
    /// least `segment_bytes`, default 256 MiB.
    pub log_bytes_max: u64,
    /// Records held until the next `sync`; a single record may exceed it. Default 8 MiB.
    pub unsynced_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { segment_bytes: 64 * MIB, log_bytes_max: 256 * MIB, unsynced_bytes_max: 8 * MIB }
    }
}

impl Config {
    pub(crate) const fn validate(&self) -> Result<(), Error> {
        if self.segment_bytes < 4096 {
            return Err(Error::Config { problem: "segment_bytes below 4096" });
        }
        if self.log_bytes_max < self.segment_bytes {
            return Err(Error::Config { problem: "log_bytes_max below segment_bytes" });
        }
        Ok(())
    }
}

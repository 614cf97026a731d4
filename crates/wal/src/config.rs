//! Sizes of the log, and what an acknowledgement and a full log mean.

use crate::error::Error;

const MIB: u64 = 1 << 20;
/// Keeps every offset in a segment below 4 GiB, so that a position is 8 bytes.
const GIB: u64 = 1 << 30;

/// How large files, the log and the unsynced part may become (bytes throughout), when a record
/// counts as acknowledged, and which segments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A segment that has reached this size is not written to any more. 4 KiB to 1 GiB, default
    /// 64 MiB. A segment may exceed it by what one commit writes.
    pub segment_bytes: u64,
    /// All segments together, quarantined ones not counted. At least `segment_bytes`, default 256
    /// MiB. What happens at the limit is `retention`.
    pub log_bytes_max: u64,
    /// Records held until the next commit; a single record may exceed it. At most 1 GiB, default
    /// 8 MiB.
    pub unsynced_bytes_max: u64,
    /// When a record is acknowledged. Default [`Durability::Fsync`].
    pub durability: Durability,
    /// Which segments are deleted. Default [`Retention::Oldest`].
    pub retention: Retention,
}

/// When a record counts as acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives a loss of power.
    #[default]
    Fsync,
    /// When the system has it: it survives the death of the process, and a loss of power only if a
    /// [`sync`](crate::Log::sync) followed. A segment is synced before the next one is begun.
    Write,
    /// When it is appended: it survives nothing until the next commit.
    Memory,
}

/// Which segments are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// The oldest, when the log has reached `log_bytes_max`. Holds and cursors do not prevent it.
    #[default]
    Oldest,
    /// The oldest, as soon as nothing in it is held and every cursor has passed it. At
    /// `log_bytes_max` records that hold something are refused.
    Released,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            log_bytes_max: 256 * MIB,
            unsynced_bytes_max: 8 * MIB,
            durability: Durability::default(),
            retention: Retention::default(),
        }
    }
}

impl Config {
    pub(crate) const fn validate(&self) -> Result<(), Error> {
        if self.segment_bytes < 4096 || self.segment_bytes > GIB {
            return Err(Error::Config { problem: "segment_bytes is not between 4096 and 1 GiB" });
        }
        if self.unsynced_bytes_max > GIB {
            return Err(Error::Config { problem: "unsynced_bytes_max above 1 GiB" });
        }
        if self.log_bytes_max < self.segment_bytes {
            return Err(Error::Config { problem: "log_bytes_max below segment_bytes" });
        }
        Ok(())
    }
}

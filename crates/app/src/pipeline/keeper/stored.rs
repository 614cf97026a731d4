//! Bytes of requests read back from the span log, on the worker's thread and beside the keeper.

use std::any::Any;

use bytes::Bytes;
use spanwise_model::{Batch, ByteRange};
use spanwise_wal::{Disk, Reader};
use tracing::error;

use super::door::{Freed, Lease};
use crate::pipeline::stored::{Leases, ReadBack};

/// A request that is so many segments behind the newest has been held for long enough: only the oldest
/// segment can be deleted, so one request holds all behind it. Half of what the log may have.
const SEGMENTS_BEHIND_MAX: u32 = (super::LOG_BYTES_MAX / (64 << 20) / 2) as u32;

/// Reads requests at the places their leases name.
pub struct Stored<D: Disk> {
    reader: Reader<D>,
    freed: Freed,
}

impl<D: Disk> Stored<D> {
    pub(super) fn new(reader: Reader<D>, freed: Freed) -> Self {
        Self { reader, freed }
    }
}

impl<D> ReadBack for Stored<D>
where
    D: Disk + Send + Sync,
    D::File: Send,
{
    fn read(&mut self, batch: &Batch, range: ByteRange) -> Option<Bytes> {
        let position = batch.lease.as_ref()?.downcast_ref::<Lease>()?.position;
        let read = self.reader.read_range(position, range.start..range.start + range.len);
        read.inspect_err(|error| error!(%error, "span log")).ok()
    }

    fn is_old(&self, batch: &Batch) -> bool {
        let newest = self.freed.newest();
        batch
            .lease
            .as_deref()
            .and_then(oldest_of)
            .is_some_and(|oldest| newest.saturating_sub(oldest) > SEGMENTS_BEHIND_MAX)
    }
}

/// The oldest segment that a lease holds.
fn oldest_of(lease: &(dyn Any + Send + Sync)) -> Option<u32> {
    if let Some(lease) = lease.downcast_ref::<Lease>() {
        return Some(lease.position.segment);
    }
    let Leases(leases) = lease.downcast_ref()?;
    leases.iter().filter_map(|lease| oldest_of(lease.as_ref())).min()
}

impl<D: Disk> std::fmt::Debug for Stored<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("reader", &self.reader).finish_non_exhaustive()
    }
}

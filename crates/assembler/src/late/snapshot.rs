//! Decided traces as bytes, so that they survive a restart. See `docs/formats/decided.md`.

use spanwise_model::{Timestamp, TraceId};
use thiserror::Error;

use super::cuckoo::Parts;
use super::{Decided, Note};

/// First bytes: name and version.
const MAGIC: &[u8; 8] = b"SPANDEC\x01";
const KEEP_BYTES: usize = 16 + 8 + 2;
const DROP_BYTES: usize = 16 + 8;

/// Why a snapshot was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It is none, or of another version.
    #[error("not a snapshot of decided traces, or of another version")]
    Other,
    /// Its lengths or its checksum do not fit.
    #[error("snapshot of decided traces is damaged")]
    Damaged,
    /// It was made with another seed or another size of filter.
    #[error("snapshot of decided traces was made with other settings")]
    Settings,
}

impl Decided {
    /// Appends everything known to `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.config.seed.to_le_bytes());
        out.extend_from_slice(&self.config.n_drops.to_le_bytes());
        out.extend_from_slice(&(self.keeps.len() as u32).to_le_bytes());
        for (id, note) in self.keeps.iter() {
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&note.threshold.to_le_bytes());
            out.extend_from_slice(&[u8::from(note.erase_threshold), note.reason]);
        }
        out.extend_from_slice(&(self.drops.len() as u32).to_le_bytes());
        for (at, id) in self.drops.iter() {
            out.extend_from_slice(&at.as_ns().to_le_bytes());
            out.extend_from_slice(&id.0);
        }
        for filter in &self.filters {
            let Parts { buckets, n_ids, homeless } = filter.parts();
            let (at, print) = homeless.unwrap_or((0, 0));
            out.extend_from_slice(&(buckets.len() as u32).to_le_bytes());
            out.extend_from_slice(&n_ids.to_le_bytes());
            out.extend_from_slice(&(at as u32).to_le_bytes());
            out.extend_from_slice(&print.to_le_bytes());
            out.extend(buckets.iter().flatten().flat_map(|print| print.to_le_bytes()));
        }
        let sum = checksum(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Replaces everything known by a snapshot. On an error nothing has changed.
    ///
    /// # Errors
    /// It is damaged, or was made with another seed or size of filter.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let Some((content, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(SnapshotError::Other);
        };
        let mut input = Input(content);
        if input.take::<8>()? != *MAGIC {
            return Err(SnapshotError::Other);
        }
        if checksum(content) != u64::from_le_bytes(*sum) {
            return Err(SnapshotError::Damaged);
        }
        if input.u64()? != self.config.seed || input.u32()? != self.config.n_drops {
            return Err(SnapshotError::Settings);
        }
        let mut restored = Self::new(self.config);
        let n_keeps = input.count(KEEP_BYTES)?;
        for _ in 0..n_keeps {
            let id = TraceId(input.take()?);
            let threshold = input.u64()?;
            let [erase, reason] = input.take()?;
            restored.keep(id, Note { threshold, erase_threshold: erase != 0, reason });
        }
        let n_drops = input.count(DROP_BYTES)?;
        for _ in 0..n_drops {
            let at = Timestamp(input.u64()?);
            restored.drop(TraceId(input.take()?), 0, at);
        }
        for filter in &mut restored.filters {
            let n_buckets = input.u32()? as usize;
            let n_ids = input.u32()?;
            let at = input.u32()? as usize;
            let print = u16::from_le_bytes(input.take()?);
            if input.0.len() / 8 < n_buckets {
                return Err(SnapshotError::Damaged);
            }
            let mut buckets = Vec::with_capacity(n_buckets);
            for _ in 0..n_buckets {
                let [a, b, c, d, e, f, g, h] = input.take()?;
                buckets.push([[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes));
            }
            let homeless = (print != 0).then_some((at, print));
            if !filter.fill(buckets, n_ids, homeless) {
                return Err(SnapshotError::Damaged);
            }
        }
        if !input.0.is_empty() {
            return Err(SnapshotError::Damaged);
        }
        *self = restored;
        Ok(())
    }
}

/// What has not been read yet.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SnapshotError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// A number of entries of so many bytes, all of which must be there.
    fn count(&mut self, n_bytes: usize) -> Result<u32, SnapshotError> {
        let n = self.u32()?;
        let fits = n as usize <= self.0.len() / n_bytes;
        if fits { Ok(n) } else { Err(SnapshotError::Damaged) }
    }
}

/// FNV-1a over words of 8 bytes: against accidents, not against people.
fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
    sum ^ bytes.len() as u64
}

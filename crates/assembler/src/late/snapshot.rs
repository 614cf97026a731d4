//! Decided traces as bytes, so that they survive a restart. See `docs/formats/kept.md`.
//!
//! Whoever remembers a share of the ids writes what it knows of them. Facts do not depend on how many
//! share: keeps and the latest drops have ids and go to whoever they belong to now; of filters nobody
//! can tell the ids, so whoever has ids in common with their share asks them too.

use std::sync::Arc;

use spanwise_model::{Timestamp, TraceId};
use thiserror::Error;

use super::cuckoo::{Cuckoo, Parts};
use super::{Decided, Inherited, LateConfig, N_INHERITED_MAX, Note, Share};

/// First bytes: name and version.
const MAGIC: &[u8; 8] = b"SPANDEC\x02";
/// Of snapshots without a share: of whoever was alone.
const MAGIC_ALONE: &[u8; 8] = b"SPANDEC\x01";
const KEEP_BYTES: usize = 16 + 8 + 2;
const DROP_BYTES: usize = 16 + 8;
/// What a filter has at least.
const FILTER_BYTES: usize = 4 + 4 + 4 + 2;

/// What somebody remembered, read back.
#[derive(Clone, Debug)]
pub struct Snapshot {
    share: Share,
    /// The one used longest ago first.
    keeps: Vec<(TraceId, Note)>,
    /// Oldest first.
    drops: Vec<(Timestamp, TraceId)>,
    filters: [Arc<Cuckoo>; 2],
    inherited: Vec<Inherited>,
}

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
    /// Appends everything known to `out`, as what is known of `share`.
    pub fn snapshot(&self, share: Share, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.config.seed.to_le_bytes());
        out.extend_from_slice(&self.config.n_drops.to_le_bytes());
        write_share(share, out);
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
            write_filter(filter, out);
        }
        out.extend_from_slice(&(self.inherited.len() as u32).to_le_bytes());
        for Inherited { share, filter } in &self.inherited {
            write_share(*share, out);
            write_filter(filter, out);
        }
        let sum = checksum(&out[from..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Replaces everything known by what snapshots say of `share`. A filter is filled on only if all
    /// snapshots are of as many shares: else it is asked, and not filled, until ours is full.
    pub fn restore(&mut self, share: Share, snapshots: &[Snapshot]) {
        let mut restored = Self::new(self.config);
        // Used last is used last by whoever had it.
        let mut keeps: Vec<(usize, TraceId, Note)> = Vec::new();
        let mut drops: Vec<(Timestamp, TraceId)> = Vec::new();
        let is_as_before = snapshots.iter().all(|snapshot| snapshot.share.n == share.n);
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.share.meets(share)) {
            let n_keeps = snapshot.keeps.len();
            let ranked = snapshot.keeps.iter().enumerate();
            let ranked = ranked.map(|(at, (id, note))| (n_keeps - at, *id, *note));
            keeps.extend(ranked.filter(|(_, id, _)| share.has(*id)));
            drops.extend(snapshot.drops.iter().filter(|(_, id)| share.has(*id)));
            for Inherited { share: of, filter } in &snapshot.inherited {
                restored.inherit((*of, filter), share);
            }
            let [current, before] = &snapshot.filters;
            if is_as_before {
                restored.filters = [Cuckoo::clone(current), Cuckoo::clone(before)];
            } else {
                restored.inherit((snapshot.share, before), share);
                restored.inherit((snapshot.share, current), share);
            }
        }
        keeps.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
        for (_, id, note) in keeps {
            restored.keep(id, note);
        }
        drops.sort_by_key(|(at, _)| *at);
        for (at, id) in drops {
            restored.drop(id, 0, at);
        }
        *self = restored;
    }

    /// Takes a filter over that others have filled, unless it says nothing new of `share`.
    fn inherit(&mut self, (of, filter): (Share, &Arc<Cuckoo>), share: Share) {
        let is_same = |one: &Inherited| one.share == of && one.filter.is_same(filter);
        if filter.len() == 0 || !of.meets(share) || self.inherited.iter().any(is_same) {
            return;
        }
        if self.inherited.len() == N_INHERITED_MAX {
            self.inherited.remove(0);
        }
        self.inherited.push(Inherited { share: of, filter: Arc::clone(filter) });
    }
}

impl Snapshot {
    /// Reads a snapshot of somebody with the settings `config`.
    ///
    /// # Errors
    /// It is damaged, or was made with another seed or size of filter.
    pub fn read(config: &LateConfig, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let Some((content, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(SnapshotError::Other);
        };
        let mut input = Input(content);
        let magic = input.take::<8>()?;
        let is_alone = magic == *MAGIC_ALONE;
        if !is_alone && magic != *MAGIC {
            return Err(SnapshotError::Other);
        }
        if checksum(content) != u64::from_le_bytes(*sum) {
            return Err(SnapshotError::Damaged);
        }
        if input.u64()? != config.seed || input.u32()? != config.n_drops {
            return Err(SnapshotError::Settings);
        }
        let share = if is_alone { Share::ALL } else { input.share()? };
        let n_keeps = input.count(KEEP_BYTES)?;
        let keeps = (0..n_keeps).map(|_| input.keep()).collect::<Result<_, _>>()?;
        let n_drops = input.count(DROP_BYTES)?;
        let drops = (0..n_drops).map(|_| input.drop()).collect::<Result<_, _>>()?;
        let filters = [input.filter(config)?, input.filter(config)?];
        let n_inherited = if is_alone { 0 } else { input.count(FILTER_BYTES)? };
        let inherited = (0..n_inherited)
            .map(|_| Ok(Inherited { share: input.share()?, filter: input.filter(config)? }))
            .collect::<Result<_, _>>()?;
        if !input.0.is_empty() {
            return Err(SnapshotError::Damaged);
        }
        Ok(Self { share, keeps, drops, filters, inherited })
    }

    /// Which ids it is about.
    pub const fn share(&self) -> Share {
        self.share
    }
}

fn write_share(share: Share, out: &mut Vec<u8>) {
    out.extend_from_slice(&share.idx.to_le_bytes());
    out.extend_from_slice(&share.n.to_le_bytes());
}

fn write_filter(filter: &Cuckoo, out: &mut Vec<u8>) {
    let Parts { buckets, n_ids, homeless } = filter.parts();
    let (at, print) = homeless.unwrap_or((0, 0));
    out.extend_from_slice(&(buckets.len() as u32).to_le_bytes());
    out.extend_from_slice(&n_ids.to_le_bytes());
    out.extend_from_slice(&(at as u32).to_le_bytes());
    out.extend_from_slice(&print.to_le_bytes());
    out.extend(buckets.iter().flatten().flat_map(|print| print.to_le_bytes()));
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

    /// A number of entries of at least so many bytes, all of which must be there.
    fn count(&mut self, n_bytes: usize) -> Result<u32, SnapshotError> {
        let n = self.u32()?;
        let fits = n as usize <= self.0.len() / n_bytes;
        if fits { Ok(n) } else { Err(SnapshotError::Damaged) }
    }

    fn share(&mut self) -> Result<Share, SnapshotError> {
        let (idx, n) = (self.u32()?, self.u32()?);
        if idx < n { Ok(Share { idx, n }) } else { Err(SnapshotError::Damaged) }
    }

    fn keep(&mut self) -> Result<(TraceId, Note), SnapshotError> {
        let id = TraceId(self.take()?);
        let threshold = self.u64()?;
        let [erase, reason] = self.take()?;
        Ok((id, Note { threshold, erase_threshold: erase != 0, reason }))
    }

    fn drop(&mut self) -> Result<(Timestamp, TraceId), SnapshotError> {
        Ok((Timestamp(self.u64()?), TraceId(self.take()?)))
    }

    fn filter(&mut self, config: &LateConfig) -> Result<Arc<Cuckoo>, SnapshotError> {
        let n_buckets = self.u32()? as usize;
        let n_ids = self.u32()?;
        let at = self.u32()? as usize;
        let print = u16::from_le_bytes(self.take()?);
        if self.0.len() / 8 < n_buckets {
            return Err(SnapshotError::Damaged);
        }
        let mut buckets = Vec::with_capacity(n_buckets);
        for _ in 0..n_buckets {
            let [a, b, c, d, e, f, g, h] = self.take()?;
            buckets.push([[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes));
        }
        let homeless = (print != 0).then_some((at, print));
        let mut filter = Cuckoo::new(config.n_drops, config.seed);
        if filter.fill(buckets, n_ids, homeless) {
            Ok(Arc::new(filter))
        } else {
            Err(SnapshotError::Damaged)
        }
    }
}

/// FNV-1a over words of 8 bytes: against accidents, not against people.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
    sum ^ bytes.len() as u64
}

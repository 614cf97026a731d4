//! After a start: which traces were decided before, and which requests are to be looked at again.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use spanwise_assembler::Decided;
use spanwise_model::{Batch, Timestamp, TraceId};
use spanwise_otlp::decode;
use spanwise_wal::{Disk, Kind, Log, Position, Records, unpack};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::delivery::Delivery;
use super::door::{Freed, is_request};
use super::holds::Holds;
use super::message::Entry;
use super::record;
use crate::pipeline::shards::{Part, Shards};
use crate::pipeline::spares::Spares;
use crate::pipeline::traces::limits;

/// Requests that wait for a shard while the log is read: one is judged while the next is decoded.
const AGAIN_MAX: usize = 1;

/// What is to be replayed: read once, by one thread, for all shards.
#[derive(Debug)]
pub struct Replay<D: Disk> {
    records: Records<D>,
    /// Up to which request the verdict on a trace reaches, for those that may be in the span log.
    through: FxHashMap<TraceId, u64>,
    shards: Shards,
    spares: Spares,
    holds: Holds,
    /// By shard.
    freed: Vec<Freed>,
    n_again: u64,
    n_decided: u64,
}

/// What a shard hears of a replay.
#[derive(Debug)]
pub enum Again {
    /// A request to be looked at again, or its part of one.
    Request {
        /// Its spans that no verdict was taken from.
        batch: Batch,
        /// Its number in the span log.
        seq: u64,
    },
    /// That was all. Whoever does not hear this must not decide: there may be more of any trace.
    End,
}

/// A request to be looked at again.
#[derive(Debug)]
pub struct Found {
    /// Its spans that no verdict was taken from, by shard.
    pub parts: Vec<Part>,
    /// Its number in the span log.
    pub seq: u64,
}

/// Reads the kept log: what destinations have not got yet, and verdicts. Up to which request of the span
/// log each of them reaches.
pub(super) fn read_kept<D: Disk>(
    (kept, spans): (&Log<D>, &Log<D>),
    deliveries: &mut [Delivery<D>],
    decided: &mut [&mut Decided],
    now: Timestamp,
) -> FxHashMap<TraceId, u64> {
    let shards = Shards::new(decided.len() as u32);
    let first_seq = spans.first_seq();
    let mut through: FxHashMap<TraceId, u64> = FxHashMap::default();
    for record in kept.records(0) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                warn!(%error, "part of the kept log cannot be read");
                continue;
            }
        };
        let (seq, position) = (record.seq, record.position);
        let payload = Bytes::from(record.payload);
        let entries = match record.kind {
            Kind::KEPT => record::read_kept(&payload).map(|found| {
                for delivery in deliveries.iter_mut() {
                    if kept.cursor(delivery.name()) < Some(seq) {
                        delivery.found(seq, position, &found);
                    }
                }
                found.entries
            }),
            Kind::VERDICT => record::read_verdicts(&payload),
            _ => Some(Vec::new()),
        };
        let Some(entries) = entries else {
            warn!(seq, "record of the kept log skipped");
            continue;
        };
        for Entry { trace_id, through: reached, kept } in entries {
            let decided = &mut *decided[shards.of(trace_id)];
            match kept {
                Some(note) => decided.keep(trace_id, note),
                None => decided.drop(trace_id, 0, now),
            }
            if reached >= first_seq {
                let known = through.entry(trace_id).or_default();
                *known = reached.max(*known);
            }
        }
    }
    through
}

impl<D: Disk> Replay<D> {
    /// Of these records, for as many shards as there are lists of what is free.
    pub(super) fn new(
        records: Records<D>,
        through: FxHashMap<TraceId, u64>,
        holds: Holds,
        freed: Vec<Freed>,
    ) -> Self {
        let (shards, spares) = (Shards::new(freed.len() as u32), Spares::default());
        Self { records, through, shards, spares, holds, freed, n_again: 0, n_decided: 0 }
    }

    /// What reads the log, on a thread of its own, and by shard where it is heard of.
    pub fn start(self) -> (impl Future<Output = ()>, Vec<mpsc::Receiver<Again>>) {
        let n = self.shards.n();
        let (feeds, heard): (Vec<_>, Vec<_>) = (0..n).map(|_| mpsc::channel(AGAIN_MAX)).unzip();
        (self.run(feeds), heard)
    }

    /// Reads to the end, unless a shard ends before: then the others do not hear of the end.
    async fn run(mut self, feeds: Vec<mpsc::Sender<Again>>) {
        for Found { parts, seq } in &mut self {
            for Part { shard, batch } in parts {
                if feeds[shard].send(Again::Request { batch, seq }).await.is_err() {
                    return;
                }
            }
        }
        for feed in feeds {
            // Whoever has ended need not know.
            drop(feed.send(Again::End).await);
        }
    }

    /// Spans of a request that no verdict was taken from, by shard.
    fn open_parts(&mut self, mut batch: Batch, seq: u64) -> Vec<Part> {
        batch.is_stored = is_request(&batch);
        let n_before = batch.spans.len();
        let is_open = |id: &TraceId| self.through.get(id).is_none_or(|&reached| reached < seq);
        batch.spans.retain(|head| is_open(&head.trace_id));
        self.n_again += batch.spans.len() as u64;
        self.n_decided += (n_before - batch.spans.len()) as u64;
        if batch.spans.is_empty() {
            return Vec::new();
        }
        let touched = self.shards.touched(&batch);
        self.shards.cut(batch, &touched, &self.spares)
    }

    /// Says how many parts of a request are needed, before anybody can say that one is not any more, and
    /// takes a lease for each.
    fn hold(&self, mut parts: Vec<Part>, position: Position) -> Vec<Part> {
        let (segment, n_parts) = (position.segment, parts.len() as u64);
        self.holds.hold(segment, n_parts);
        for Part { shard, batch } in &mut parts {
            batch.lease = Some(self.freed[*shard].lease(position));
        }
        parts
    }

    fn end(&self) {
        let (n_again, n_decided) = (self.n_again, self.n_decided);
        if n_again + n_decided > 0 {
            info!(n_spans = n_again, n_decided, "spans that were not decided are judged now");
        }
        self.holds.end();
    }
}

/// Requests with spans that no verdict was taken from, held once for each part. At the end the log is
/// told.
impl<D: Disk> Iterator for Replay<D> {
    type Item = Found;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(record) = self.records.next() else {
                self.end();
                return None;
            };
            let record = match record {
                Ok(record) if record.kind == Kind::BATCH => record,
                Ok(_) => continue,
                Err(error) => {
                    warn!(%error, "part of the span log cannot be read");
                    continue;
                }
            };
            let unpacked = unpack(record.codec, &record.payload).map_err(anyhow::Error::from);
            let decoded = unpacked.and_then(|request| Ok(decode(request.into(), &limits())?));
            match decoded {
                Ok(decoded) => {
                    let parts = self.open_parts(decoded.batch, record.seq);
                    if !parts.is_empty() {
                        let parts = self.hold(parts, record.position);
                        return Some(Found { parts, seq: record.seq });
                    }
                }
                Err(error) => {
                    let (seq, error) = (record.seq, format!("{error:#}"));
                    warn!(seq, error, "request in the span log cannot be read; skipped");
                }
            }
        }
    }
}

//! After a start: which traces were decided before, and which requests are to be looked at again.

use std::path::Path;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use spanwise_assembler::Decided;
use spanwise_model::{Batch, Timestamp, TraceId};
use spanwise_otlp::decode;
use spanwise_wal::{Disk, Kind, Log, Records, unpack};
use tracing::{info, warn};

use super::delivery::Delivery;
use super::door::{KeeperHandle, is_request};
use super::message::Entry;
use super::record;
use crate::persist;
use crate::pipeline::traces::limits;

/// What is to be replayed.
#[derive(Debug)]
pub struct Replay<D: Disk> {
    records: Records<D>,
    /// Up to which request the verdict on a trace reaches, for those that may be in the span log.
    through: FxHashMap<TraceId, u64>,
    n_again: u64,
    n_decided: u64,
}

/// A request to be looked at again.
#[derive(Debug)]
pub struct Again {
    /// Its spans that no verdict was taken from.
    pub batch: Batch,
    /// Its number in the span log.
    pub seq: u64,
}

/// Reads what is remembered of decided traces.
pub(super) fn restore(path: &Path, decided: &mut Decided) {
    let restored = match persist::read(path) {
        Ok(None) => return,
        Ok(Some(bytes)) => decided.restore(&bytes).map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = restored {
        let (path, error) = (path.display(), format!("{error:#}"));
        warn!(error, %path, "decided traces cannot be used; late spans of them are judged anew");
    }
}

/// Reads the kept log: what destinations have not got yet, and verdicts.
pub(super) fn read_kept<D: Disk>(
    (kept, spans): (&Log<D>, &Log<D>),
    deliveries: &mut [Delivery<D>],
    decided: &mut Decided,
    now: Timestamp,
) -> Replay<D> {
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
    Replay { records: spans.records(0), through, n_again: 0, n_decided: 0 }
}

impl<D: Disk> Replay<D> {
    /// The next request with spans that no verdict was taken from. At the end the log is told.
    pub async fn next(&mut self, keeper: &KeeperHandle) -> Option<Again> {
        loop {
            let Some(record) = self.records.next() else {
                let (n_again, n_decided) = (self.n_again, self.n_decided);
                if n_again + n_decided > 0 {
                    info!(
                        n_spans = n_again,
                        n_decided, "spans that were not decided are judged now"
                    );
                }
                keeper.replayed().await;
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
            let mut batch = match decoded {
                Ok(decoded) => decoded.batch,
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(
                        seq = record.seq,
                        error, "request in the span log cannot be read; skipped"
                    );
                    continue;
                }
            };
            batch.is_stored = is_request(&batch);
            let n_before = batch.spans.len();
            let is_open =
                |id: &TraceId| self.through.get(id).is_none_or(|&reached| reached < record.seq);
            batch.spans.retain(|head| is_open(&head.trace_id));
            self.n_again += batch.spans.len() as u64;
            self.n_decided += (n_before - batch.spans.len()) as u64;
            if batch.spans.is_empty() {
                continue;
            }
            batch.lease = Some(keeper.hold(record.position).await);
            return Some(Again { batch, seq: record.seq });
        }
    }
}

//! What comes to the keeper.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_assembler::{Note, Share};
use spanwise_model::TraceId;
use spanwise_otlp::admission::Charge;
use spanwise_otlp::receiver::Overloaded;
use spanwise_wal::{Codec, Position};
use tokio::sync::{mpsc, oneshot};

use super::door::Freed;
use crate::pipeline::shards::Part;
use crate::pipeline::worker::Work;

/// A request as it goes into the log.
#[derive(Debug)]
pub struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) codec: Codec,
}

/// A part of a request, and the place that is kept for it in the queue of its shard.
#[derive(Debug)]
pub struct Seat {
    /// The part.
    pub part: Part,
    /// The place.
    pub place: mpsc::OwnedPermit<Work>,
}

/// A request that waits to be written.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) packed: Packed,
    /// Its parts, each of which holds it.
    pub(super) seats: Vec<Seat>,
    pub(super) charge: Arc<Charge>,
    /// Whoever waits for the answer; `None` once it was given.
    pub(super) answer: Option<oneshot::Sender<Result<(), Overloaded>>>,
}

/// A verdict, and up to which request it was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) trace_id: TraceId,
    /// Spans of the trace in requests up to this number of the span log have gone into it.
    pub(super) through: u64,
    /// Kept with this; `None` = dropped.
    pub(super) kept: Option<Note>,
}

/// Kept traces in a request.
#[derive(Clone, Debug)]
pub(super) struct KeptPack {
    pub(super) request: Bytes,
    pub(super) n_spans: u64,
    /// Whether they say why they were kept.
    pub(super) is_stamped: bool,
    /// Whether every trace in it ends in it.
    pub(super) is_whole: bool,
    /// Traces that end in it.
    pub(super) entries: Vec<Entry>,
}

/// What a shard decided.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) packs: Vec<KeptPack>,
    /// Verdicts that stand in no pack.
    pub(super) entries: Vec<Entry>,
    /// Segments of requests that the shard does not need any more, once for each of its parts.
    pub(super) freed: Vec<u32>,
}

/// What shards say.
#[derive(Debug)]
pub(super) enum Message {
    /// Verdicts.
    Verdicts(Verdicts),
    /// What is remembered of decided traces.
    Snapshot {
        /// By whom.
        share: Share,
        /// The snapshot.
        bytes: Vec<u8>,
    },
    /// Bring everything to disk and to those who take it, as soon as every shard has asked for that;
    /// then answer.
    Flush(oneshot::Sender<()>),
}

impl Submitted {
    /// The request is safe: its parts go to their shards, then its sender is answered.
    pub(super) fn accept(mut self, seq: u64, position: Option<Position>, freed: &[Freed]) {
        let answer = self.answer.take();
        for Seat { part: Part { shard, mut batch }, place } in self.seats {
            batch.lease = position.map(|position| freed[shard].lease(position));
            batch.is_stored &= position.is_some();
            place.send(Work { batch, charge: Arc::clone(&self.charge), seq });
        }
        if let Some(answer) = answer {
            // Whoever asked may have gone.
            let _ = answer.send(Ok(()));
        }
    }

    /// The request is not written. If it was acknowledged nevertheless, it goes on without.
    pub(super) fn refuse(mut self, overloaded: Overloaded) {
        if self.answer.is_some() {
            self.answer(Err(overloaded));
            return;
        }
        for Seat { part: Part { mut batch, .. }, place } in self.seats {
            batch.is_stored = false;
            place.send(Work { batch, charge: Arc::clone(&self.charge), seq: 0 });
        }
    }

    pub(super) fn answer(&mut self, result: Result<(), Overloaded>) {
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
    }
}

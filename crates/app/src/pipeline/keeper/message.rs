//! What comes to the keeper.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_assembler::Note;
use spanwise_model::{Batch, TraceId};
use spanwise_otlp::admission::Charge;
use spanwise_otlp::receiver::Overloaded;
use spanwise_wal::{Codec, Position};
use tokio::sync::{mpsc, oneshot};

use super::door::Freed;
use crate::pipeline::worker::Work;

/// A request that waits to be written.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) packed: Vec<u8>,
    pub(super) codec: Codec,
    /// Whether what is packed are the bytes of the batch, so that ranges in one are those in the other.
    pub(super) is_same: bool,
    pub(super) batch: Batch,
    pub(super) charge: Arc<Charge>,
    /// Its place in the worker's queue.
    pub(super) place: mpsc::OwnedPermit<Work>,
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

/// What the worker decided.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) packs: Vec<KeptPack>,
    /// Verdicts that stand in no pack.
    pub(super) entries: Vec<Entry>,
    /// Segments of requests that nobody needs any more, once for each request.
    pub(super) freed: Vec<u32>,
}

/// What the worker says.
#[derive(Debug)]
pub(super) enum Message {
    /// Verdicts.
    Verdicts(Verdicts),
    /// A request that was found in the span log is needed.
    Hold {
        /// Its segment.
        segment: u32,
    },
    /// Everything in the span log has been looked at.
    Replayed,
    /// What is remembered of decided traces.
    Snapshot(Vec<u8>),
    /// Bring everything to disk and to those who take it, then answer.
    Flush(oneshot::Sender<()>),
}

impl Submitted {
    /// The request is safe: it goes to the worker, then its sender is answered.
    pub(super) fn accept(mut self, seq: u64, position: Option<Position>, freed: &Freed) {
        self.batch.lease = position.map(|position| freed.lease(position));
        self.batch.is_stored = self.is_same && position.is_some();
        let mut answer = self.answer.take();
        self.place.send(Work { batch: self.batch, charge: self.charge, seq });
        if let Some(answer) = answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(Ok(()));
        }
    }

    /// The request is not written. If it was acknowledged nevertheless, it goes on without.
    pub(super) fn refuse(mut self, overloaded: Overloaded) {
        if self.answer.is_none() {
            self.place.send(Work { batch: self.batch, charge: self.charge, seq: 0 });
            return;
        }
        self.answer(Err(overloaded));
    }

    pub(super) fn answer(&mut self, result: Result<(), Overloaded>) {
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
    }
}

//! How the receivers and the shards reach the keeper.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use spanwise_assembler::{Decided, Share};
use spanwise_model::{Batch, CallSites};
use spanwise_otlp::admission::Charge;
use spanwise_otlp::receiver::{NotTaken, Overloaded};
use spanwise_otlp::{KeptSpan, reframe};
use spanwise_wal::{Compressor, Position, RECORD_BYTES_MAX};
use tokio::sync::{mpsc, oneshot};

use super::message::{Entry, KeptPack, Message, Packed, Seat, Submitted, Verdicts};
use super::{REST, Shown};
use crate::clock::Clock;
use crate::pipeline::traces::{KeptTrace, Verdicted, pack};

/// Compressors that are kept for the next requests.
const COMPRESSORS_MAX: usize = 16;

/// Segments of requests that a shard does not hold any more.
///
/// Each shard has its own: whoever tells the keeper that a request is free must have told it before
/// what became of the traces in it, and that is known of one's own traces only.
#[derive(Clone, Debug, Default)]
pub(super) struct Freed {
    segments: Arc<Mutex<Vec<u32>>>,
    /// The newest segment a request was written to, for all shards.
    newest: Arc<AtomicU32>,
}

/// The place in the span log of a request, or of a part, for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) position: Position,
    freed: Freed,
}

/// The receivers' part.
#[derive(Debug)]
pub struct Door {
    submit: mpsc::Sender<Submitted>,
    compressors: Mutex<Vec<Compressor>>,
    shown: Shown,
}

/// A shard's part.
#[derive(Debug)]
pub struct KeeperHandle {
    decide: mpsc::Sender<Message>,
    /// Which traces it decides.
    share: Share,
    freed: Freed,
    /// Counted by the keeper: how many there are still.
    _alive: Arc<()>,
    /// Which ways of framing are wanted: without stamps, with stamps.
    variants: Vec<bool>,
}

impl Freed {
    /// One for each of `n` shards.
    pub(super) fn all(n: usize) -> Vec<Self> {
        let newest = Arc::<AtomicU32>::default();
        let one = || Self { segments: Arc::default(), newest: Arc::clone(&newest) };
        std::iter::repeat_with(one).take(n).collect()
    }

    pub(super) fn lease(&self, position: Position) -> Arc<dyn Any + Send + Sync> {
        self.newest.fetch_max(position.segment, Ordering::Relaxed);
        Arc::new(Lease { position, freed: self.clone() })
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.segments.lock())
    }

    pub(super) fn newest(&self) -> u32 {
        self.newest.load(Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.freed.segments.lock().push(self.position.segment);
    }
}

impl Door {
    pub(super) fn new(submit: mpsc::Sender<Submitted>, shown: Shown) -> Self {
        Self { submit, compressors: Mutex::default(), shown }
    }

    /// Brings a packed request into the log, and then its parts to their shards, in the places that were
    /// kept for them.
    ///
    /// # Errors
    /// It could not be written, or is larger than what may be, and is nowhere.
    pub async fn submit(
        &self,
        packed: Packed,
        seats: Vec<Seat>,
        charge: Arc<Charge>,
    ) -> Result<(), NotTaken> {
        let (n_bytes, limit) = (packed.bytes.len() as u64, u64::from(RECORD_BYTES_MAX));
        if n_bytes > limit {
            // Here and not in the log, which would rest for it.
            return Err(NotTaken::TooLarge { n_bytes, limit });
        }
        let refused = Overloaded { retry_after: REST };
        let (answer, answered) = oneshot::channel();
        let submitted = Submitted { packed, seats, charge, answer: Some(answer) };
        self.submit.send(submitted).await.map_err(|_| refused)?;
        Ok(answered.await.map_err(|_| refused)??)
    }

    /// Whether nothing is taken now, and when to come again.
    pub fn overloaded(&self, clock: Clock) -> Option<Overloaded> {
        self.shown.is_closed(clock).then_some(Overloaded { retry_after: REST })
    }

    /// Packs a request whole, before it is cut. Where its bytes go into the log exactly as they are, it
    /// is marked as stored.
    pub fn pack(&self, batch: &mut Batch) -> Packed {
        let is_same = is_request(batch);
        batch.is_stored = is_same;
        let taken = self.compressors.lock().pop();
        let mut compressor = taken.unwrap_or_default();
        let reframed;
        let request = if is_same {
            &batch.bytes
        } else {
            let batch = &*batch;
            let all = 0..batch.spans.len() as u32;
            let spans: Vec<KeptSpan<'_>> =
                all.map(|span_idx| KeptSpan { batch, span_idx, stamp: &[] }).collect();
            reframed = reframe(&spans).bytes;
            &reframed
        };
        let mut bytes = Vec::with_capacity(request.len() / 3);
        let codec = compressor.pack(request, &mut bytes);
        let mut compressors = self.compressors.lock();
        if compressors.len() < COMPRESSORS_MAX {
            compressors.push(compressor);
        }
        Packed { bytes, codec }
    }
}

/// Whether the bytes of a batch are a request and nothing else: a resource that came in pieces was
/// joined behind it.
pub(super) fn is_request(batch: &Batch) -> bool {
    let spans_end = batch.spans.iter().map(|head| head.raw.start + head.raw.len).max();
    let contexts = batch.resources.iter().map(|resource| resource.raw);
    let contexts = contexts.chain(batch.scopes.iter().map(|scope| scope.raw));
    let last_start = contexts.map(|raw| raw.start).max().unwrap_or(0);
    spans_end.is_none_or(|end| last_start < end)
}

impl KeeperHandle {
    /// One for each of as many shards as there are lists of what is free.
    pub(super) fn all(
        decide: &mpsc::Sender<Message>,
        freed: &[Freed],
        alive: &Arc<()>,
        mut variants: Vec<bool>,
    ) -> Vec<Self> {
        variants.sort_unstable();
        variants.dedup();
        let shares = Share::all(freed.len() as u32);
        let one = |(share, freed): (Share, &Freed)| Self {
            decide: decide.clone(),
            share,
            freed: freed.clone(),
            _alive: Arc::clone(alive),
            variants: variants.clone(),
        };
        shares.zip(freed).map(one).collect()
    }

    /// Sends kept traces and verdicts. Waits while the keeper waits for the disk.
    pub async fn decided(
        &self,
        kept: &[KeptTrace],
        verdicts: &mut Vec<Verdicted>,
        sites: &CallSites,
    ) {
        // Taken first: what is freed was decided before, by this shard and nobody else.
        let mut decided = Verdicts { freed: self.freed.take(), ..Verdicts::default() };
        for &is_stamped in &self.variants {
            for pack in pack(kept, sites, is_stamped) {
                let last = pack.traces.end.saturating_sub(1);
                let ends = pack.traces.start..if pack.is_whole { pack.traces.end } else { last };
                decided.packs.push(KeptPack {
                    request: pack.bytes,
                    n_spans: pack.n_spans,
                    is_stamped,
                    is_whole: pack.is_whole,
                    entries: kept[ends].iter().map(entry).collect(),
                });
            }
        }
        let has_packs = !self.variants.is_empty();
        let alone = verdicts.drain(..).filter(|verdict| verdict.kept.is_none() || !has_packs);
        decided.entries = alone.map(Entry::from).collect();
        if decided.packs.is_empty() && decided.entries.is_empty() && decided.freed.is_empty() {
            return;
        }
        self.say(Message::Verdicts(decided)).await;
    }

    /// Saves what is remembered of decided traces.
    pub async fn remember(&self, decided: &Decided) {
        let (share, mut bytes) = (self.share, Vec::new());
        decided.snapshot(share, &mut bytes);
        self.say(Message::Snapshot { share, bytes }).await;
    }

    /// Waits until all shards have asked for this, and everything said so far is on disk and was offered
    /// to the destinations.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        self.say(Message::Flush(done)).await;
        // A keeper that is gone has nothing to flush.
        let _ = is_done.await;
    }

    async fn say(&self, message: Message) {
        // A keeper that panicked is reported by its stage.
        drop(self.decide.send(message).await);
    }
}

fn entry(kept: &KeptTrace) -> Entry {
    Entry { trace_id: kept.trace_id, through: kept.through, kept: Some(kept.why.note()) }
}

impl From<Verdicted> for Entry {
    fn from(verdict: Verdicted) -> Self {
        let Verdicted { trace_id, through, kept } = verdict;
        Self { trace_id, through, kept }
    }
}

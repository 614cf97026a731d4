//! The thread that owns the [`Core`]: takes batches from the receivers, closes what is due, hands
//! on what was sampled and counted, and shows its state once a second.
//!
//! One thread and no lock: spans meet the stages in the order in which their requests were
//! acknowledged. With several shards there are as many workers, and requests are cut into parts
//! before they queue. Each queue is bounded in requests; the bytes in it are bounded by the
//! receivers' door, whose charge travels with each batch.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::{BoxFuture, FutureExt as _};
use spanwise_model::{Batch, SampledSpan, Timestamp};
use spanwise_otlp::admission::Charge;
use spanwise_otlp::receiver::{Ingest, NotTaken, Overloaded, ReceiverEvent, RequestMeta};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::core::{Core, RulesId};
use super::fanout::Fanout;
use super::governor::Governor;
use super::keeper::{Again, Door, KeeperHandle, Seat};
use super::known::Known;
use super::panics::Panics;
use super::remote::compile_subscribed;
use super::shards::{Part, School, Shards};
use super::spares::Spares;
use super::traces::{KeptTrace, Verdicted};
use super::windows::{Piece, Tap};
use crate::clock::Clock;
use crate::telemetry::metrics::{EncodingLabel, Metrics, ReceiverLabels};

/// Requests that may wait for the worker.
const QUEUE_REQUESTS: usize = 1_024;
/// Longest wait for a place in the queue before the client is told to come again.
const QUEUE_WAIT: Duration = Duration::from_millis(500);
/// What the client is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Requests taken from the queue at once.
const TAKE_MAX: usize = 64;
/// Counts are handed on and windows looked at this often.
const TICK: Duration = Duration::from_millis(250);
/// What is remembered of decided traces is saved this often: the log keeps the verdicts since.
const REMEMBER_EVERY_NS: u64 = 60 * 1_000_000_000;
/// Shards do so that long after one another.
const REMEMBER_APART_NS: u64 = 900_000_000;
/// State is shown this often.
const SHOW_EVERY_NS: u64 = 1_000_000_000;

/// One acknowledged request.
#[derive(Debug)]
pub struct Work {
    /// The request.
    pub(super) batch: Batch,
    /// Pays for the request until every worker has taken its part.
    pub(super) charge: Arc<Charge>,
    /// Its number in the span log; 0 where there is none.
    pub(super) seq: u64,
}

/// The receivers' end of the queue.
#[derive(Debug)]
pub struct Queue {
    shards: Shards,
    /// By shard.
    work: Vec<mpsc::Sender<Work>>,
    spares: Arc<Spares>,
    /// By shard.
    known: Vec<Arc<Known>>,
    metrics: Metrics,
    /// The way through the span log, if there is one.
    door: Option<Door>,
    clock: Clock,
    /// While a stage is gone nothing is taken.
    panics: Panics,
}

/// Shows the state of the core to the rest of the process. Called once a second and at the end.
pub type Show = Box<dyn FnMut(&Core, Timestamp, bool) + Send>;

/// What the worker needs.
pub struct Worker {
    /// The stages.
    pub core: Core,
    /// The clock.
    pub clock: Clock,
    /// Where sampled spans and counts go.
    pub fanout: Fanout,
    /// Shows the state.
    pub show: Show,
    /// The hub's revision that the core's rule sets reflect.
    pub revision: u64,
    /// The span log's keeper, if there is one, and where is heard what is to be replayed from it.
    pub keeper: Option<(KeeperHandle, mpsc::Receiver<Again>)>,
    /// Verdicts on their way to the keeper.
    pub verdicts: Vec<Verdicted>,
    /// When decided traces are saved next.
    pub remember_next: Timestamp,
    /// Where it learns from the other shards.
    pub school: School,
    /// Bounds what open traces hold, and which shard this is.
    pub governor: (Arc<Governor>, usize),
    /// Where closed traces go for the archive, if there is one, and what is on its way there.
    pub archive: (Option<Tap>, Vec<Piece>),
}

/// Both ends of the queues in front of the shards, which put their tables into `spares` and know the
/// call sites of `known`.
pub fn queue(
    shards: Shards,
    (spares, known): (Arc<Spares>, Vec<Arc<Known>>),
    metrics: Metrics,
    door: Option<Door>,
    clock: Clock,
    panics: Panics,
) -> (Arc<Queue>, Vec<mpsc::Receiver<Work>>) {
    let (work, receivers) = (0..shards.n()).map(|_| mpsc::channel(QUEUE_REQUESTS)).unzip();
    (Arc::new(Queue { shards, work, spares, known, metrics, door, clock, panics }), receivers)
}

impl Queue {
    /// A place in the queue of each of some shards.
    async fn places(&self, shards: &[usize]) -> Result<Vec<mpsc::OwnedPermit<Work>>, Overloaded> {
        let full = Overloaded { retry_after: RETRY_AFTER };
        let mut places = Vec::with_capacity(shards.len());
        for &shard in shards {
            let place = self.work[shard].clone().reserve_owned().await;
            places.push(place.map_err(|_| full)?);
        }
        Ok(places)
    }
}

impl Ingest for Queue {
    fn submit(
        &self,
        mut batch: Batch,
        _meta: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>> {
        async move {
            let full = Overloaded { retry_after: RETRY_AFTER };
            let touched = self.shards.touched(&batch);
            if let &[shard] = &touched[..] {
                self.known[shard].name(&mut batch);
            }
            let places = tokio::time::timeout(QUEUE_WAIT, self.places(&touched)).await;
            let places = places.map_err(|_| full)??;
            if self.panics.first().is_some() {
                return Err(full.into());
            }
            let packed = self.door.as_ref().map(|door| door.pack(&mut batch));
            let charge = Arc::new(charge);
            let mut parts = self.shards.cut(batch, &touched, &self.spares);
            if parts.len() > 1 {
                for Part { shard, batch } in &mut parts {
                    self.known[*shard].name(batch);
                }
            }
            let seats = parts.into_iter().zip(places).map(|(part, place)| Seat { part, place });
            if let (Some(door), Some(packed)) = (&self.door, packed) {
                return door.submit(packed, seats.collect(), charge).await;
            }
            for Seat { part, place } in seats {
                place.send(Work { batch: part.batch, charge: Arc::clone(&charge), seq: 0 });
            }
            Ok(())
        }
        .boxed()
    }

    fn spare(&self) -> Batch {
        self.spares.take()
    }

    fn overloaded(&self) -> Option<Overloaded> {
        if self.panics.first().is_some() {
            return Some(Overloaded { retry_after: RETRY_AFTER });
        }
        self.door.as_ref().and_then(|door| door.overloaded(self.clock))
    }

    fn record(&self, event: ReceiverEvent) {
        match event {
            ReceiverEvent::Spans { protocol, outcome, n_spans } => {
                let labels =
                    ReceiverLabels { protocol: protocol.as_str(), outcome: outcome.as_str() };
                self.metrics.receiver_spans.get_or_create(&labels).inc_by(n_spans);
            }
            ReceiverEvent::Request { protocol, outcome, wire_bytes, compression, .. } => {
                let labels =
                    ReceiverLabels { protocol: protocol.as_str(), outcome: outcome.as_str() };
                let encoding = EncodingLabel { encoding: compression.as_str() };
                self.metrics.receiver_bytes.get_or_create(&encoding).inc_by(wire_bytes);
                self.metrics.receiver_requests.get_or_create(&labels).inc();
            }
            ReceiverEvent::Connection { protocol, peer, end } => {
                let labels = ReceiverLabels { protocol: protocol.as_str(), outcome: end.as_str() };
                self.metrics.receiver_connections.get_or_create(&labels).inc();
                warn!(%peer, protocol = protocol.as_str(), end = end.as_str(), "connection ended badly");
            }
        }
    }
}

impl Worker {
    /// Works until every sender of the queue is gone, then closes what is open. Runs on its own
    /// thread with its own runtime.
    pub async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        if !self.replay(&work).await {
            self.leave().await;
            return;
        }
        let mut taken = Vec::with_capacity(TAKE_MAX);
        let mut sampled = Vec::new();
        let mut kept = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut show_next = Timestamp::default();
        loop {
            tokio::select! {
                n = work.recv_many(&mut taken, TAKE_MAX) => {
                    if n == 0 {
                        break;
                    }
                    for Work { batch, charge, seq } in taken.drain(..) {
                        self.core.batch(batch, self.clock.now(), &mut sampled);
                        self.core.mark(seq);
                        drop(charge);
                    }
                    self.bound();
                    self.hand_on_sampled(&mut sampled, self.clock.now());
                    self.hand_on_pieces();
                    self.hand_on_kept(&mut kept).await;
                }
                _ = tick.tick() => {
                    let now = self.clock.now();
                    self.follow_subscribers();
                    self.bound();
                    self.core.tick(now, &mut sampled);
                    self.hand_on(&mut sampled, now);
                    self.hand_on_pieces();
                    self.hand_on_kept(&mut kept).await;
                    if now >= show_next {
                        show_next = now.plus_ns(SHOW_EVERY_NS);
                        self.learn(now);
                        (self.show)(&self.core, now, false);
                        self.remember(now, false).await;
                    }
                }
            }
        }
        let now = self.clock.now();
        let open = self.core.assembler().stats();
        info!(n_traces = open.n_open_traces, n_spans = open.n_open_spans, "closing open traces");
        self.core.drain(now, &mut sampled);
        self.hand_on(&mut sampled, now);
        self.hand_on_kept(&mut kept).await;
        // What the last traces held is free now.
        self.hand_on_kept(&mut kept).await;
        self.save(now).await;
    }

    /// Ends before all that the log holds has been looked at: nothing that is open is decided, for its other
    /// spans may be among the rest, and all of it is judged after the next start.
    async fn leave(&mut self) {
        warn!(
            "told to stop while the span log was replayed; what is open is judged after the next start"
        );
        self.save(self.clock.now()).await;
    }

    /// Ends windows, saves what was learned and decided, and has what was kept brought to disk.
    async fn save(&mut self, now: Timestamp) {
        self.core.take_pieces(&mut self.archive.1);
        if let Some(tap) = self.archive.0.take() {
            tap.finish(&mut self.archive.1);
        }
        (self.show)(&self.core, now, true);
        self.remember(now, true).await;
        if let Some((keeper, _)) = &self.keeper {
            keeper.flush().await;
        }
    }

    /// Has open traces hold what memory there is for them.
    fn bound(&mut self) {
        let (governor, shard) = &self.governor;
        governor.bound(*shard, &mut self.core);
    }

    /// Tells the other shards what was learned, and learns what they have.
    fn learn(&mut self, now: Timestamp) {
        let Self { school, core, .. } = self;
        if school.has_others() {
            school.tell(|| core.lesson());
            core.hear(&school.heard(), now);
        }
    }

    /// Takes from the span log what an earlier process did not finish, until nobody sends any more;
    /// whether that was all.
    async fn replay(&mut self, work: &mpsc::Receiver<Work>) -> bool {
        let (mut sampled, mut kept) = (Vec::new(), Vec::new());
        loop {
            let Some((_, again)) = &mut self.keeper else { return true };
            if work.is_closed() {
                // Whoever reads the log must not wait for this shard.
                again.close();
                return false;
            }
            let (batch, seq) = match again.recv().await {
                Some(Again::Request { batch, seq }) => (batch, seq),
                Some(Again::End) => return true,
                // Another shard has left, and took along who reads the log.
                None => return false,
            };
            let now = self.clock.now();
            self.core.batch(batch, now, &mut sampled);
            self.core.mark(seq);
            self.bound();
            self.hand_on(&mut sampled, now);
            self.hand_on_pieces();
            self.hand_on_kept(&mut kept).await;
        }
    }

    /// Hands on what windows have gathered.
    fn hand_on_pieces(&mut self) {
        if let (Some(tap), pieces) = &mut self.archive {
            self.core.take_pieces(pieces);
            tap.send(pieces);
        }
    }

    /// Hands on kept traces, and with a log the verdicts on all.
    async fn hand_on_kept(&mut self, kept: &mut Vec<KeptTrace>) {
        self.core.take_kept(kept);
        self.fanout.kept(kept, self.core.sites(), self.clock.now());
        if let Some((keeper, _)) = &self.keeper {
            if let Some(traces) = self.core.traces_mut() {
                traces.take_verdicts(&mut self.verdicts);
            }
            keeper.decided(kept, &mut self.verdicts, self.core.sites()).await;
        }
        self.core.recycle_kept(kept);
    }

    /// Has what is remembered of decided traces saved, when that is due.
    async fn remember(&mut self, now: Timestamp, is_last: bool) {
        let (Some((keeper, _)), Some(traces)) = (&self.keeper, self.core.traces()) else { return };
        if self.remember_next == Timestamp::default() {
            // Soon: a process that is killed again and again would never free its log. But not all
            // shards in one moment: each has megabytes to write.
            let nth = 1 + self.governor.1 as u64;
            self.remember_next = now.plus_ns(nth * REMEMBER_APART_NS);
        }
        if !is_last && now < self.remember_next {
            return;
        }
        self.remember_next = now.plus_ns(REMEMBER_EVERY_NS);
        keeper.remember(traces.decided()).await;
    }

    /// Counts for exactly the rules that subscribers want counted now.
    fn follow_subscribers(&mut self) {
        let revision = self.fanout.hub.revision();
        if revision == self.revision {
            return;
        }
        self.revision = revision;
        let wanted = self.fanout.hub.rule_sets();
        let known = self.core.rule_sets();
        for id in &known {
            let is_wanted = wanted.iter().any(|set| RulesId::Subscribed(set.id) == *id);
            if *id != RulesId::Own && !is_wanted {
                self.core.remove_rules(*id);
            }
        }
        for set in wanted.iter().filter(|set| !known.contains(&RulesId::Subscribed(set.id))) {
            match compile_subscribed(&set.yaml) {
                Ok(rules) => self.core.add_rules(RulesId::Subscribed(set.id), rules),
                // They passed the same check when the subscription was opened.
                Err(error) => warn!(%error, "rules of a subscriber cannot be compiled"),
            }
        }
    }

    fn hand_on_sampled(&mut self, sampled: &mut Vec<SampledSpan>, now: Timestamp) {
        let is_whole = self.fanout.sends_spans();
        if is_whole {
            self.core.fill_sampled(sampled);
        }
        self.fanout.sampled(sampled, is_whole, self.core.sites(), now);
        self.core.recycle(sampled);
    }

    fn hand_on(&mut self, sampled: &mut Vec<SampledSpan>, now: Timestamp) {
        self.hand_on_sampled(sampled, now);
        let fanout = &mut self.fanout;
        self.core.counted(|counted| fanout.counted(&counted));
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("core", &self.core.counters()).finish_non_exhaustive()
    }
}

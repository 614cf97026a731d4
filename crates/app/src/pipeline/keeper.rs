//! The keeper: a thread with two logs, so that what was acknowledged is not lost.
//!
//! `spans` holds every request until the traces in it are decided: a client is answered when the
//! commit that holds its request is on disk, and one commit serves everybody who came meanwhile.
//! `kept` holds what was decided: kept traces until every destination has them, each at its own
//! pace, and who was dropped. A request is released only after the verdicts on its traces are on
//! disk: each shard that has a part of it says when its own are given. What power takes is decided
//! again, so a trace may be sent twice and never not at all.
//!
//! A full disk or a full log stops acknowledging, nothing else: clients are told to come again, and
//! the next attempt is a second later. Verdicts wait for the kept log alone, and so does a start,
//! once so many are waiting as may.

mod delivery;
mod door;
mod holds;
mod message;
mod record;
mod remembered;
mod replay;
mod shown;
mod stored;
mod way;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use spanwise_otlp::receiver::Overloaded;
use spanwise_wal::{Codec, Disk, Durability, Kind, Log, RECORD_BYTES_MAX, Retention, StdDisk};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use spanwise_assembler::{Decided, Share};

use super::outlets::Outlet;
use crate::clock::Clock;

use delivery::Delivery;
use holds::Holds;
use message::{KeptPack, Message, Submitted, Verdicts};
use remembered::Remembered;
use shown::Which;

pub use door::{Door, KeeperHandle};
pub use message::{Packed, Seat};
pub use replay::{Again, Found, Replay};
pub use shown::{Showing, Shown};
pub use stored::Stored;
pub use way::Marker;

/// Requests that may wait for the next commit; each holds a place in every queue it goes to.
const SUBMITTED_MAX: usize = 1_024;
/// Messages of shards that may wait. They wait for the disk as the clients do.
const DECIDED_MAX: usize = 256;
/// Destinations are looked after this often.
const PUMP: Duration = Duration::from_millis(50);
/// How far destinations are is brought to disk this often where no verdict takes it along: when power
/// fails they get that much twice.
const SETTLE: Duration = Duration::from_secs(1);
/// After a failed commit nothing is taken for this long.
const REST: Duration = Duration::from_secs(1);
/// The end waits this long for destinations to take what is theirs.
const FLUSH: Duration = Duration::from_secs(5);
/// What either log may hold.
const LOG_BYTES_MAX: u64 = 1 << 30;
/// So much of the disk is left to others: requests are refused while less is free. A share, but never
/// more than both logs may take: on a large disk five percent would be room nobody misses.
const RESERVE_PERCENT: u64 = 5;
const RESERVE_BYTES_MAX: u64 = 2 * LOG_BYTES_MAX;
/// Verdicts of one record, without the traces.
const VERDICTS_MAX: usize = 65_536;
/// Bytes of one commit.
const COMMIT_BYTES_MAX: u64 = 128 << 20;
/// The consumer of the kept log that is the snapshot of decided traces.
const SNAPSHOT: &str = "decided";
/// Folders and files below the data directory.
const SPANS: &str = "spans";
const KEPT: &str = "kept";

/// The thread's state.
#[derive(Debug)]
pub struct Keeper<D: Disk> {
    spans: Log<D>,
    kept: Log<D>,
    deliveries: Vec<Delivery<D>>,
    submitted: mpsc::Receiver<Submitted>,
    decided: mpsc::Receiver<Message>,
    /// What the replay found.
    holds: Holds,
    /// Requests whose verdicts are appended and not yet on disk.
    to_release: Vec<u32>,
    /// What was decided and could not be appended: nothing else is taken before it.
    unlogged: Option<Verdicts>,
    /// Spans given up since this was shown, because no record is large enough for them.
    n_unfit_spans: u64,
    is_kept_dirty: bool,
    /// When cursors are brought to disk next.
    settle_next: Option<std::time::Instant>,
    durability: Durability,
    /// By shard.
    freed: Vec<door::Freed>,
    remembered: Remembered,
    /// Shards that wait for the end.
    flushing: Vec<oneshot::Sender<()>>,
    /// Shards there are still.
    alive: Weak<()>,
    clock: Clock,
    shown: Shown,
    /// Ends the marker when dropped.
    _marking: oneshot::Sender<()>,
}

/// Whether something stands in a log.
enum Appended {
    Yes,
    /// There is no room for it now.
    NotYet,
    /// No record is large enough.
    Never,
}

/// What [`open`] makes.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    /// The thread's part.
    pub keeper: Keeper<D>,
    /// Notes how far destinations are, beside the keeper.
    pub marker: Marker<D>,
    /// The receivers' part.
    pub door: Door,
    /// What is to be replayed first, for all shards.
    pub replay: Replay<D>,
    /// What each shard needs.
    pub shards: Vec<Shard<D>>,
    /// What is shown.
    pub shown: Shown,
}

/// What a shard has to do with the keeper.
#[derive(Debug)]
pub struct Shard<D: Disk> {
    /// Where it hands in what it has decided.
    pub handle: KeeperHandle,
    /// Where it reads bytes back that it has let go.
    pub stored: Stored<D>,
}

/// Opens both logs below `data_dir`, finds what was not finished, and tells what was to `decided`, which
/// are those of all shards.
pub fn open(
    (data_dir, cache_bytes): (&Path, usize),
    durability: Durability,
    outlets: &[Outlet],
    clock: Clock,
    decided: &mut [&mut Decided],
) -> Result<Opened<StdDisk>> {
    let disk = |name: &str| {
        let dir = data_dir.join(name);
        StdDisk::new(&dir).with_context(|| format!("log in {}", dir.display()))
    };
    let (spans, kept, dir) = (disk(SPANS)?, disk(KEPT)?, data_dir.to_owned());
    let logs = Logs { spans, kept, durability, dir, cache_bytes };
    assemble(logs, outlets, clock, decided)
}

/// Where the logs are, and what they promise.
struct Logs<D: Disk> {
    spans: D,
    kept: D,
    durability: Durability,
    /// For the snapshot of decided traces.
    dir: PathBuf,
    /// Of requests that are read back.
    cache_bytes: usize,
}

fn assemble<D: Disk>(
    logs: Logs<D>,
    outlets: &[Outlet],
    clock: Clock,
    decided: &mut [&mut Decided],
) -> Result<Opened<D>> {
    let spans = open_log(logs.spans, logs.durability)?;
    // Verdicts are never less safe than the requests they release.
    let kept_durability = match logs.durability {
        Durability::Memory => Durability::Write,
        other => other,
    };
    let mut kept = open_log(logs.kept, kept_durability)?;
    kept.finish_replay();
    let stamps: Vec<bool> = outlets.iter().map(|outlet| outlet.stamp).collect();
    let mut deliveries = delivery::follow(outlets, &mut kept)?;
    let remembered = Remembered::restore(logs.dir, decided);
    let read = replay::read_kept((&kept, &spans), &mut deliveries, decided, clock.now());
    let (submit, submitted) = mpsc::channel(SUBMITTED_MAX);
    let (decide, verdicts) = mpsc::channel(DECIDED_MAX);
    let freed = door::Freed::all(decided.len());
    let alive = Arc::default();
    let shown = Shown::default();
    let (marking, ended) = oneshot::channel();
    let ways = deliveries.iter().map(Delivery::way).collect();
    let marker = Marker::new(ways, kept.bookmarks(), ended);
    let handles = KeeperHandle::all(&decide, &freed, &alive, stamps);
    let holds = Holds::default();
    let replay = Replay::new(spans.records(0), read, holds.clone(), freed.clone());
    let door = Door::new(submit, shown.clone());
    let cache_bytes = logs.cache_bytes / freed.len();
    let shards = handles.into_iter().zip(&freed).map(|(handle, freed)| Shard {
        handle,
        stored: Stored::new(spans.reader(cache_bytes), freed.clone()),
    });
    let shards = shards.collect();
    let keeper = Keeper {
        spans,
        kept,
        deliveries,
        submitted,
        decided: verdicts,
        holds,
        to_release: Vec::new(),
        unlogged: None,
        n_unfit_spans: 0,
        is_kept_dirty: false,
        settle_next: None,
        durability: logs.durability,
        freed,
        remembered,
        flushing: Vec::new(),
        alive: Arc::downgrade(&alive),
        clock,
        shown: shown.clone(),
        _marking: marking,
    };
    Ok(Opened { keeper, marker, door, replay, shards, shown })
}

fn open_log<D: Disk>(disk: D, durability: Durability) -> Result<Log<D>> {
    let config = spanwise_wal::Config {
        durability,
        retention: Retention::Released,
        log_bytes_max: LOG_BYTES_MAX,
        unsynced_bytes_max: COMMIT_BYTES_MAX,
        ..spanwise_wal::Config::default()
    };
    let (log, recovery) = Log::open(disk, config)?;
    if recovery.is_degraded() {
        warn!("log is damaged: {recovery}; what could be read is used");
    } else if recovery.n_records > 0 {
        info!(n_records = recovery.n_records, "log opened");
    }
    Ok(log)
}

impl<D: Disk> Keeper<D> {
    /// Works until both queues have ended and the destinations have what they take, then syncs. Runs
    /// on a thread of its own with its own runtime.
    pub async fn run(mut self) {
        let mut submitted = Vec::new();
        let mut pump = tokio::time::interval(PUMP);
        pump.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut is_open, mut is_deciding) = (true, true);
        while is_open || is_deciding {
            let may_decide = is_deciding
                && self.unlogged.is_none()
                && !self.shown.rests(Which::Kept, self.clock);
            tokio::select! {
                n = self.submitted.recv_many(&mut submitted, SUBMITTED_MAX), if is_open => {
                    is_open = n > 0;
                    self.take(&mut submitted);
                }
                message = self.decided.recv(), if may_decide => {
                    match message {
                        Some(message) => self.note(message),
                        None => is_deciding = false,
                    }
                }
                _ = pump.tick() => self.look_after(),
            }
            self.flush_if_all_ask().await;
        }
        self.end().await;
    }

    /// Appends requests, commits them together, hands them on and answers.
    fn take(&mut self, submitted: &mut Vec<Submitted>) {
        if submitted.is_empty() {
            return;
        }
        if self.shown.is_disk_low() {
            for mut one in submitted.drain(..) {
                one.answer(Err(Overloaded { retry_after: REST }));
            }
            return;
        }
        let mut waiting = Vec::with_capacity(submitted.len());
        let mut n_bytes = 0;
        for mut one in submitted.drain(..) {
            let (packed, n_parts) = (&one.packed, one.seats.len() as u32);
            n_bytes += packed.bytes.len() as u64;
            if n_bytes > COMMIT_BYTES_MAX / 2 {
                self.commit_taken(std::mem::take(&mut waiting));
                n_bytes = packed.bytes.len() as u64;
            }
            match self.spans.append_held(Kind::BATCH, packed.codec, &packed.bytes, n_parts) {
                Ok(seq) => {
                    if self.durability == Durability::Memory {
                        one.answer(Ok(()));
                    }
                    waiting.push((seq, one));
                }
                Err(error) => {
                    self.refuse(Which::Spans, &error);
                    one.answer(Err(Overloaded { retry_after: REST }));
                }
            }
        }
        self.commit_taken(waiting);
    }

    /// Commits requests that were appended, hands them on and answers.
    fn commit_taken(&mut self, waiting: Vec<(u64, Submitted)>) {
        match self.spans.commit() {
            Ok(committed) => {
                self.acknowledge(waiting.len() as u64);
                for (seq, one) in waiting {
                    one.accept(seq, committed.position(seq), &self.freed);
                }
            }
            Err(error) => {
                self.spans.discard_uncommitted();
                self.refuse(Which::Spans, &error);
                for (_, one) in waiting {
                    one.refuse(Overloaded { retry_after: REST });
                }
            }
        }
    }

    /// So many requests are safe.
    fn acknowledge(&self, n_requests: u64) {
        if n_requests > 0 {
            self.shown.relieve(Which::Spans);
            self.shown.update(|shown| shown.n_acknowledged += n_requests);
        }
    }

    fn note(&mut self, message: Message) {
        self.holds.tell(&mut self.spans);
        match message {
            Message::Verdicts(verdicts) => self.append(verdicts),
            Message::Snapshot { share, bytes } => self.save(share, &bytes),
            Message::Flush(done) => self.flushing.push(done),
        }
    }

    /// Once for all shards, so that none waits for what another has not said yet, and destinations get
    /// their time once.
    async fn flush_if_all_ask(&mut self) {
        if self.flushing.is_empty() || self.flushing.len() < self.alive.strong_count() {
            return;
        }
        self.flush().await;
        for done in self.flushing.drain(..) {
            // Nobody waits any more if the process is told to hurry.
            let _ = done.send(());
        }
    }

    /// Appends kept traces and verdicts, which the next commit brings to disk, and offers the traces
    /// to destinations that wait for nothing else. What finds no room waits, and so does everybody else:
    /// the requests it came from may be given free next.
    fn append(&mut self, decided: Verdicts) {
        let Verdicts { packs, mut entries, freed } = decided;
        let mut packs = packs.into_iter();
        while let Some(mut pack) = packs.next() {
            match self.append_pack(&pack) {
                Appended::Yes => {}
                Appended::NotYet => {
                    let packs = std::iter::once(pack).chain(packs).collect();
                    self.unlogged = Some(Verdicts { packs, entries, freed });
                    return;
                }
                // Were it tried again, nothing else would ever be written.
                Appended::Never => entries.append(&mut pack.entries),
            }
        }
        while !entries.is_empty() {
            let n_entries = entries.len().min(VERDICTS_MAX);
            let payload = record::verdicts(&entries[..n_entries]);
            if self.append_kept(Kind::VERDICT, &payload).is_none() {
                self.unlogged = Some(Verdicts { packs: Vec::new(), entries, freed });
                return;
            }
            entries.drain(..n_entries);
        }
        self.to_release.extend(freed);
        self.make_room();
    }

    fn append_pack(&mut self, pack: &KeptPack) -> Appended {
        self.make_room();
        let payload = record::kept(pack);
        if payload.len() > RECORD_BYTES_MAX as usize {
            let (n_bytes, n_spans) = (payload.len(), pack.n_spans);
            error!(n_bytes, n_spans, "kept spans are larger than a record may be: given up");
            self.n_unfit_spans += n_spans;
            return Appended::Never;
        }
        let Some(seq) = self.append_kept(Kind::KEPT, &payload) else { return Appended::NotYet };
        for delivery in &mut self.deliveries {
            delivery.add(seq, pack);
        }
        if !pack.is_whole {
            // The record that ends this trace must not be on disk without this one.
            self.commit_kept();
        }
        Appended::Yes
    }

    /// Commits before more waits to be written than may.
    fn make_room(&mut self) {
        if self.kept.stats().n_unsynced_bytes > COMMIT_BYTES_MAX / 4 {
            self.commit_kept();
        }
    }

    fn append_kept(&mut self, kind: Kind, payload: &[u8]) -> Option<u64> {
        match self.kept.append(kind, Codec::NONE, payload) {
            Ok(seq) => {
                self.is_kept_dirty = true;
                Some(seq)
            }
            Err(problem) => {
                error!(error = %problem, "a verdict cannot be logged yet");
                self.refuse(Which::Kept, &problem);
                None
            }
        }
    }

    /// Tries again what found no room.
    fn append_unlogged(&mut self) {
        if !self.shown.rests(Which::Kept, self.clock)
            && let Some(rest) = self.unlogged.take()
        {
            self.append(rest);
        }
    }

    /// Brings verdicts to disk, then lets go of the requests they were about. Whether nothing of the kept
    /// log waits any more.
    fn commit_kept(&mut self) -> bool {
        if self.is_kept_dirty {
            match self.kept.commit() {
                Ok(committed) => {
                    self.is_kept_dirty = false;
                    for delivery in &mut self.deliveries {
                        delivery.committed(&committed);
                    }
                }
                Err(error) => {
                    self.refuse(Which::Kept, &error);
                    return false;
                }
            }
        }
        if self.to_release.is_empty() {
            return true;
        }
        for segment in self.to_release.drain(..) {
            self.spans.release(segment, 1);
        }
        if let Err(error) = self.spans.commit() {
            self.refuse(Which::Spans, &error);
        }
        true
    }

    /// Brings verdicts to disk, feeds the destinations, brings to disk how far they are, and shows
    /// all that.
    fn look_after(&mut self) {
        self.holds.tell(&mut self.spans);
        self.commit_kept();
        self.append_unlogged();
        let n_given_up = self.pump() + std::mem::take(&mut self.n_unfit_spans);
        self.set_cursors();
        let now = self.clock.instant();
        if self.settle_next.is_none_or(|next| now >= next) {
            self.settle_next = Some(now + SETTLE);
            self.settle();
            self.look_for_room();
            self.shown.forgive(Which::Spans, self.clock);
        }
        self.show(n_given_up);
    }

    /// Notes how far each destination is. The next commit takes it along.
    fn set_cursors(&mut self) {
        let last_seq = self.kept.next_seq() - 1;
        for delivery in &self.deliveries {
            let done = delivery.done_seq().unwrap_or(last_seq);
            if self.kept.cursor(delivery.name()) < Some(done)
                && let Err(error) = self.kept.set_cursor(delivery.name(), done)
            {
                warn!(%error, "cursor of a destination");
            }
        }
    }

    /// Brings to disk how far each destination is, and whatever else is not: what nobody needs any
    /// more is deleted only then.
    fn settle(&mut self) {
        self.is_kept_dirty = true;
        let is_written = self.commit_kept();
        if let Err(error) = self.spans.sync() {
            self.refuse(Which::Spans, &error);
        }
        // Not tried again: where it puts records nobody would hear of.
        if !is_written {
            return;
        }
        if let Err(error) = self.kept.sync() {
            self.refuse(Which::Kept, &error);
            return;
        }
        self.shown.relieve(Which::Kept);
        self.deliveries.iter_mut().for_each(Delivery::settled);
    }

    /// Stops taking requests while the disk has little room, so that verdicts, which free some, can
    /// still be written.
    fn look_for_room(&self) {
        let space = match self.spans.space() {
            Ok(Some(space)) => space,
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "free room of the disk is not known");
                return;
            }
        };
        let reserve = (space.total_bytes / 100 * RESERVE_PERCENT).min(RESERVE_BYTES_MAX);
        self.shown.set_disk_low(space.free_bytes < reserve, space.free_bytes >> 20);
    }

    /// Feeds the destinations; how many spans were given up for lack of
    /// room.
    fn pump(&mut self) -> u64 {
        let mut n_given_up = 0;
        for delivery in &mut self.deliveries {
            delivery.pump();
        }
        if self.kept.stats().n_bytes > LOG_BYTES_MAX {
            let remembered = self.kept.cursor(SNAPSHOT).unwrap_or(0);
            // Unless the log is so full for want of a snapshot: then nothing would be freed for it.
            let lags =
                |one: &&mut Delivery<D>| one.done_seq().is_some_and(|done| done < remembered);
            let slowest = self.deliveries.iter_mut().filter(lags).min_by_key(|one| one.done_seq());
            n_given_up = slowest.map_or(0, |slowest| slowest.give_up(self.kept.first_seq()));
        }
        n_given_up
    }

    fn show(&self, n_given_up: u64) {
        let (spans, kept) = (self.spans.stats(), self.kept.stats());
        let backlogs = self.deliveries.iter();
        let backlogs =
            backlogs.map(|delivery| (delivery.name().to_owned(), delivery.n_spans())).collect();
        self.shown.update(|shown| {
            shown.span_log_bytes = spans.n_bytes;
            shown.kept_log_bytes = kept.n_bytes;
            shown.n_held_requests = spans.n_held;
            shown.n_commits = spans.n_commits;
            shown.n_failed_syncs = spans.n_failed_syncs + kept.n_failed_syncs;
            shown.n_given_up_spans += n_given_up;
            shown.backlogs = backlogs;
        });
    }

    /// Writes what a shard remembers of decided traces; verdicts before what all have written need not
    /// be read again.
    fn save(&mut self, share: Share, bytes: &[u8]) {
        // What the file tells of must not outlive the verdicts themselves.
        if !self.commit_kept() {
            return;
        }
        let last_seq = self.kept.next_seq() - 1;
        match self.remembered.save(share, bytes, last_seq) {
            Ok(None) => {}
            Ok(Some(done_seq)) => {
                if let Err(error) = self.kept.set_cursor(SNAPSHOT, done_seq) {
                    warn!(%error, "cursor of the snapshot of decided traces");
                }
                self.is_kept_dirty = true;
            }
            Err(error) => error!(error = format!("{error:#}"), "decided traces could not be saved"),
        }
    }

    /// Gives the destinations a while to take what is theirs.
    async fn flush(&mut self) {
        let until = self.clock.instant() + FLUSH;
        loop {
            self.look_after();
            let is_taken = self.deliveries.iter().all(Delivery::is_taken);
            if is_taken || self.clock.instant() >= until {
                return;
            }
            tokio::time::sleep(PUMP).await;
        }
    }

    /// Waits for the destinations to end, then notes how far each has come.
    async fn end(&mut self) {
        while !self.deliveries.iter().all(Delivery::has_ended) {
            self.look_after();
            tokio::time::sleep(PUMP).await;
        }
        self.look_after();
        self.settle();
    }

    /// No request is taken for a while, nor a verdict if it was the kept log.
    fn refuse(&self, which: Which, problem: &spanwise_wal::Error) {
        self.shown.fail(which, problem, self.clock);
    }
}

#[cfg(test)]
mod tests;

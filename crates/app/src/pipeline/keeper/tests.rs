use std::time::Duration;

use parking_lot::Mutex;
use spanwise_assembler::LateConfig;
use spanwise_model::{Batch, Timestamp, TraceId};
use spanwise_otlp::admission::Admission;
use spanwise_otlp::receiver::NotTaken;
use spanwise_otlp::{Limits, RequestBuilder, decode};
use spanwise_wal::testing::SimDisk;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::pipeline::outlets::{Queue, Sink, Writer};
use crate::pipeline::shards::{Part, Shards};
use crate::pipeline::spares::Spares;
use crate::pipeline::traces::{KeptTrace, Verdicted, Why};
use crate::pipeline::worker::Work;

mod dead;
mod decisions;
mod large;
mod power;
mod sharing;

/// A keeper on simulated disks, with the receivers' and the workers' ends of it.
struct Stand {
    spans: SimDisk,
    kept: SimDisk,
    dir: tempfile::TempDir,
    delivered: Arc<Mutex<Vec<Vec<u8>>>>,
}

struct Running {
    door: Door,
    replay: Replay<SimDisk>,
    shards: Vec<Worker>,
    shown: Shown,
    keeper: tokio::task::JoinHandle<()>,
    admission: Admission,
    writer: crate::pipeline::outlets::WriterHandle,
}

/// The ends of one shard.
struct Worker {
    handle: KeeperHandle,
    stored: Option<Stored<SimDisk>>,
    work: Receiver<Work>,
    place: mpsc::Sender<Work>,
}

/// Takes everything at once.
struct Collect(Arc<Mutex<Vec<Vec<u8>>>>);

impl Sink for Collect {
    fn write(&mut self, request: &[u8]) -> Result<bool> {
        self.0.lock().push(request.to_vec());
        Ok(true)
    }

    fn finish(&mut self, _now: bool) -> Result<bool> {
        Ok(true)
    }

    fn due(&self) -> Option<std::time::Instant> {
        None
    }

    fn abandon(&mut self) {}
}

impl Stand {
    fn new(seed: u64) -> Self {
        Self {
            spans: SimDisk::new(seed),
            kept: SimDisk::new(seed + 1),
            dir: tempfile::tempdir().unwrap(),
            delivered: Arc::default(),
        }
    }

    fn start(&self) -> Running {
        self.start_shards(1)
    }

    fn start_shards(&self, n: u32) -> Running {
        self.try_start_shards(n).unwrap()
    }

    fn try_start_shards(&self, n: u32) -> Result<Running> {
        let mut decided: Vec<Decided> =
            (0..n).map(|_| Decided::new(LateConfig::default())).collect();
        self.start_with(&mut decided.iter_mut().collect::<Vec<_>>())
    }

    fn start_with(&self, decided: &mut [&mut Decided]) -> Result<Running> {
        let (writer, thread) = Writer::new(Box::new(Collect(Arc::clone(&self.delivered))), 1 << 20);
        std::thread::spawn(move || thread.run());
        let queue = Queue::Writer(writer.clone());
        let outlet = Outlet { name: "0 test".to_owned(), stamp: false, queue };
        let logs = Logs {
            spans: self.spans.clone(),
            kept: self.kept.clone(),
            durability: Durability::Fsync,
            dir: self.dir.path().to_owned(),
            cache_bytes: 1 << 20,
        };
        let opened = assemble(logs, &[outlet], Clock::start(), decided)?;
        tokio::spawn(opened.marker.run());
        let worker = |Shard { handle, stored }| {
            let (place, work) = mpsc::channel(64);
            Worker { handle, stored: Some(stored), work, place }
        };
        Ok(Running {
            door: opened.door,
            replay: opened.replay,
            shards: opened.shards.into_iter().map(worker).collect(),
            shown: opened.shown,
            keeper: tokio::spawn(opened.keeper.run()),
            admission: Admission::new(1 << 30, 1 << 20),
            writer,
        })
    }
}

impl Stand {
    /// Whether the last note says that the destination has the last kept trace.
    fn is_noted(&self) -> bool {
        let files = self.kept.files();
        // The name, then the number. A file that was just begun has one of each consumer.
        let name = b"0 test";
        let note = files.get("cursors").and_then(|notes| {
            let at = notes.windows(name.len()).rposition(|bytes| bytes == name)?;
            notes[at + name.len()..].first_chunk()
        });
        let Some(noted) = note.map(|seq| u64::from_le_bytes(*seq)) else { return false };
        let log = open_log(SimDisk::with_files(&files), Durability::Fsync).unwrap();
        let kept = log.records(0).map(Result::unwrap).filter(|record| record.kind == Kind::KEPT);
        kept.last().is_some_and(|last| last.seq == noted)
    }
}

impl Running {
    async fn submit(&self, number: u64) -> Result<(), NotTaken> {
        self.submit_batch(batch(number)).await
    }

    /// As receivers do.
    async fn submit_batch(&self, mut batch: Batch) -> Result<(), NotTaken> {
        let charge = Arc::new(self.admission.charge());
        let shards = Shards::new(self.shards.len() as u32);
        let touched = shards.touched(&batch);
        let packed = self.door.pack(&mut batch);
        let mut seats = Vec::new();
        for part in shards.cut(batch, &touched, &Spares::default()) {
            let place = self.shards[part.shard].place.clone().reserve_owned().await.unwrap();
            seats.push(Seat { part, place });
        }
        self.door.submit(packed, seats, charge).await
    }

    /// What has come and was not taken, by shard.
    fn taken(&mut self) -> Vec<(Part, u64)> {
        let mut taken = Vec::new();
        for (shard, worker) in self.shards.iter_mut().enumerate() {
            while let Ok(Work { batch, seq, .. }) = worker.work.try_recv() {
                taken.push((Part { shard, batch }, seq));
            }
        }
        taken
    }

    /// Keeps or drops what came to the only shard.
    async fn decide(&mut self, keep: bool) {
        let Work { batch, seq, .. } = self.shards[0].work.recv().await.unwrap();
        self.decide_on(Part { shard: 0, batch }, seq, keep).await;
    }

    /// Keeps or drops the traces of a part.
    async fn decide_on(&self, part: Part, seq: u64, keep: bool) {
        let Part { shard, batch } = part;
        let handle = &self.shards[shard].handle;
        let batch = Arc::new(batch);
        let mut kept = Vec::new();
        let mut verdicts = Vec::new();
        for (trace_id, span) in
            batch.spans.iter().map(|head| head.trace_id).zip(KeptTrace::all_of(&batch))
        {
            if keep {
                let trace = KeptTrace::new(trace_id, vec![span], Why::EVERYTHING, Timestamp(1));
                kept.push(KeptTrace { through: seq, ..trace });
            } else {
                verdicts.push(Verdicted { trace_id, through: seq, kept: None });
            }
        }
        drop(batch);
        let sites = spanwise_model::CallSites::new(10, 10);
        handle.decided(&kept, &mut verdicts, &sites).await;
        drop(kept);
        handle.decided(&[], &mut verdicts, &sites).await;
    }

    /// As all shards do at the end.
    async fn flush(&self) {
        let all = self.shards.iter().map(|worker| worker.handle.flush());
        futures_util::future::join_all(all).await;
    }

    /// Ends in order.
    async fn end(self) {
        self.flush().await;
        self.writer.close();
        drop((self.shards, self.door, self.replay));
        self.keeper.await.unwrap();
    }

    fn replayed(&mut self) -> Vec<TraceId> {
        let mut ids = Vec::new();
        for Found { parts, .. } in &mut self.replay {
            let heads = parts.iter().flat_map(|part| &part.batch.spans);
            ids.extend(heads.map(|head| head.trace_id));
        }
        ids
    }
}

async fn is_shown(running: &Running, n_held: u64) {
    let shown = async {
        while running.shown.get().n_held_requests != n_held {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shown).await.unwrap();
}

fn id(number: u64) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

fn batch(number: u64) -> Batch {
    batch_of(number..number + 1)
}

/// A request with one span of each of these traces.
fn batch_of(numbers: std::ops::Range<u64>) -> Batch {
    let mut builder = RequestBuilder::new();
    for number in numbers {
        builder.push(&spanwise_model::SpanRecord {
            trace_id: id(number),
            span_id: spanwise_model::SpanId(number.to_be_bytes()),
            service: "cart".into(),
            operation: "GetCart".into(),
            start: Timestamp(1_000),
            end: Timestamp(2_000),
            parent_id: spanwise_model::SpanId::default(),
            instance: "".into(),
            kind: spanwise_model::SpanKind::Server,
            status: spanwise_model::StatusCode::Unset,
            trace_state: "".into(),
            attributes: Vec::new(),
            events: Vec::new(),
        });
    }
    decode(builder.finish(), &Limits::default()).unwrap().batch
}

/// Scenario: requests are acknowledged, some decided, then power fails.
/// Guarantees: what was not decided comes again, what was dropped does not, and what was kept is
/// delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_decided_comes_again() {
    let stand = Stand::new(1);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    for number in 1..=5 {
        running.submit(number).await.unwrap();
    }
    running.decide(true).await;
    running.decide(false).await;
    running.flush().await;
    running.keeper.abort();
    let (spans, kept) = (stand.spans.after_power_cut(), stand.kept.after_power_cut());
    let stand = Stand { spans, kept, ..stand };

    let mut again = stand.start();
    assert_eq!(again.replayed(), [id(3), id(4), id(5)]);
    let delivered = async {
        while stand.delivered.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), delivered).await.unwrap();
    again.end().await;
    // Maybe once by each run: the first may have been cut off before it noted that it was delivered.
    let delivered = stand.delivered.lock();
    assert!(delivered.len() <= 2 && delivered.iter().all(|one| *one == delivered[0]));
}

/// Scenario: a destination takes what was kept, and the process is killed as soon as that is noted, no
/// verdict taking it along.
/// Guarantees: the next process does not send it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_destination_took_before_a_kill_is_not_sent_again() {
    let stand = Stand::new(7);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    for number in 1..=5 {
        running.submit(number).await.unwrap();
        running.decide(true).await;
    }
    let noted = async {
        while stand.delivered.lock().len() < 5 || !stand.is_noted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noted).await.unwrap();
    running.keeper.abort();
    drop(running.keeper.await);
    let again = |disk: &SimDisk| SimDisk::with_files(&disk.files());
    let (spans, kept) = (again(&stand.spans), again(&stand.kept));
    let stand = Stand { spans, kept, ..stand };

    let mut running = stand.start();
    running.replayed();
    running.end().await;
    assert_eq!(stand.delivered.lock().len(), 5);
}

/// Scenario: the disk is full for a while.
/// Guarantees: clients are told to come again, nothing is half taken, and it goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_acknowledging_and_recovers() {
    let stand = Stand::new(2);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    running.submit(1).await.unwrap();
    stand.spans.set_capacity(Some(0));
    let refused = running.submit(2).await.unwrap_err();
    let again = Overloaded { retry_after: Duration::from_secs(1) };
    assert_eq!(refused, NotTaken::Overloaded(again));
    let clock = Clock::start();
    assert!(running.door.overloaded(clock).is_some(), "refused before it is read");
    assert!(running.shown.get().problem.is_some());
    stand.spans.set_capacity(None);
    while running.door.overloaded(clock).is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.submit(3).await.unwrap();
    assert!(running.shown.get().problem.is_none());
    running.decide(true).await;
    running.decide(true).await;
    running.end().await;
    let delivered = stand.delivered.lock().len();
    assert_eq!(delivered, 2, "the one that was refused is nowhere");
}

/// Scenario: less of the disk is free than is left to others; then there is room again.
/// Guarantees: nothing new is taken meanwhile, what was taken is still decided and delivered, and it
/// goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_disk_is_left_to_others() {
    let stand = Stand::new(3);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    running.submit(1).await.unwrap();
    let n_used: usize = stand.spans.files().values().map(Vec::len).sum();
    let clock = Clock::start();
    let is_closed = |running: &Running, expected: bool| {
        let is_as_expected = running.door.overloaded(clock).is_some() == expected;
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            is_as_expected
        }
    };
    // Five percent of all there is must stay free.
    stand.spans.set_capacity(Some(n_used as u64 + 10_000_000));
    running.submit(2).await.unwrap();
    let n_used: usize = stand.spans.files().values().map(Vec::len).sum();
    stand.spans.set_capacity(Some(n_used as u64 + n_used as u64 / 20 - 100));
    while !is_closed(&running, true).await {}
    running.submit(3).await.unwrap_err();
    assert!(running.shown.get().problem.is_some_and(|problem| problem.contains("reserve")));
    running.decide(true).await;
    running.decide(true).await;
    running.flush().await;
    // What was taken goes on.
    while stand.delivered.lock().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stand.spans.set_capacity(Some(1 << 30));
    while !is_closed(&running, false).await {}
    running.submit(4).await.unwrap();
    assert!(running.shown.get().problem.is_none());
    running.end().await;
}

/// Scenario: a sync fails, and the sync of the file that the records go to instead fails too.
/// Guarantees: nothing is acknowledged after it, and whoever supervises the process is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_twice_stops_the_keeper_and_says_so() {
    let stand = Stand::new(4);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    running.submit(1).await.unwrap();
    let mut number = 2;
    while !running.shown.get().is_stopped {
        // The sync of the request, and the one of the file that it goes to then.
        for ahead in [1, 6] {
            stand.spans.fail(stand.spans.n_calls() + ahead, spanwise_wal::testing::Fault::Io);
        }
        // A sync by the way may have met the fault.
        let _ = running.submit(number).await;
        number += 1;
    }
    tokio::time::timeout(Duration::from_secs(30), running.shown.stopped()).await.unwrap();
    stand.spans.heal();
    running.submit(number).await.unwrap_err();
    running.keeper.abort();
}

//! One decision for each trace, over late spans and restarts, in virtual time.

use std::collections::BTreeMap;

use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode};

use super::*;
use crate::pipeline::core::{self, Core};
use crate::pipeline::traces;

/// Traces, unless this variable names another number: a million takes minutes.
const N_TRACES: u64 = 30_000;
const N_TRACES_KEY: &str = "SPANWISE_DECISION_TRACES";
/// Spans of one trace.
const N_SPANS: u64 = 4;
/// Traces that start in a virtual second.
const N_PER_S: u64 = 400;
/// A span in twenty comes up to so much later.
const LATE_S: u64 = 300;
const LATE_PERCENT: u64 = 5;
const SECOND_NS: u64 = 1_000_000_000;
const START_S: u64 = 1_700_000_000;

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Spans of trace `n`, the root last; some traces are slow.
fn span(n: u64, idx: u64) -> SpanRecord {
    let id = |idx: u64| SpanId((n * N_SPANS + idx).to_be_bytes());
    let start = (START_S + n / N_PER_S) * SECOND_NS;
    let factor = if mix(n).is_multiple_of(97) { 20 } else { 1 };
    let length = (10 + mix(n * 7 + idx) % 30) * factor * 1_000_000;
    let is_root = idx + 1 == N_SPANS;
    SpanRecord {
        trace_id: TraceId((u128::from(mix(n)) << 64 | u128::from(n)).to_be_bytes()),
        span_id: id(idx),
        parent_id: if is_root { SpanId::default() } else { id(N_SPANS - 1) },
        service: "cart".into(),
        instance: "".into(),
        operation: if is_root { "GET /cart".into() } else { format!("step {idx}").into() },
        kind: SpanKind::Server,
        start: Timestamp(start),
        end: Timestamp(start + length),
        status: StatusCode::Unset,
        trace_state: "".into(),
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

/// Which spans come in each virtual second: all in the second of their trace but for the late ones.
fn schedule(n_traces: u64) -> Vec<Vec<(u64, u64)>> {
    let n_seconds = n_traces / N_PER_S + LATE_S + 2;
    let mut seconds = vec![Vec::new(); n_seconds as usize];
    for n in 0..n_traces {
        for idx in 0..N_SPANS {
            let lot = mix(n * 31 + idx);
            let is_late = lot % 100 < LATE_PERCENT;
            let late_s = if is_late { 1 + (lot >> 8) % LATE_S } else { 0 };
            seconds[(n / N_PER_S + late_s) as usize].push((n, idx));
        }
    }
    seconds
}

/// A process: the stages of all shards, and the keeper.
struct Process {
    cores: Vec<Core>,
    running: Running,
    kept: Vec<KeptTrace>,
    verdicts: Vec<Verdicted>,
}

/// The stages of `n` shards.
fn cores(n: u32) -> Vec<Core> {
    let yaml = "sampler: {traces: {budget: 5%}}";
    let raw = crate::config::yaml::parse(yaml, "test").unwrap();
    let (config, problems) = crate::config::built::build(&raw);
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    let traces = config.traces.unwrap();
    let accounts = traces::Accounts::new(&traces).unwrap();
    let core = |_| {
        let stage = traces::Config {
            traces: traces.clone(),
            recent_bytes: (4 << 20) / u64::from(n),
            is_logged: true,
            accounts: accounts.clone(),
            n_shards: n,
        };
        // Most of what is open is in the log alone.
        let full_bytes = (64 << 10) / u64::from(n);
        Core::new(core::Config {
            sampler: config.sampler,
            assembler: spanwise_assembler::Config { full_bytes, ..config.assembler },
            rules: Arc::clone(&config.rules),
            traces: Some(stage),
        })
        .unwrap()
    };
    (0..n).map(core).collect()
}

impl Process {
    async fn start(stand: &Stand, n_shards: u32, now: Timestamp) -> Self {
        let mut cores = cores(n_shards);
        let decided = cores.iter_mut().map(|core| core.traces_mut().unwrap().decided_mut());
        let mut running = stand.start_with(&mut decided.collect::<Vec<_>>()).unwrap();
        for (core, worker) in cores.iter_mut().zip(&mut running.shards) {
            core.read_back_from(Box::new(worker.stored.take().unwrap()));
        }
        let mut process = Self { cores, running, kept: Vec::new(), verdicts: Vec::new() };
        while let Some(Found { parts, seq }) = process.running.replay.next() {
            for part in parts {
                process.take(part, seq, now).await;
            }
        }
        process
    }

    async fn take(&mut self, part: Part, seq: u64, now: Timestamp) {
        let Part { shard, batch } = part;
        self.cores[shard].batch(batch, now, &mut Vec::new());
        self.cores[shard].mark(seq);
        self.hand_on(shard).await;
    }

    /// A virtual second with these spans.
    async fn second(&mut self, spans: &[(u64, u64)], now: Timestamp) {
        for chunk in spans.chunks(512) {
            let mut builder = RequestBuilder::new();
            for &(n, idx) in chunk {
                builder.push(&span(n, idx));
            }
            let batch = decode(builder.finish(), &Limits::default()).unwrap().batch;
            self.running.submit_batch(batch).await.unwrap();
            for (part, seq) in self.running.taken() {
                self.take(part, seq, now).await;
            }
        }
        let lessons: Vec<Arc<core::Lesson>> =
            self.cores.iter_mut().map(|core| Arc::new(core.lesson())).collect();
        for shard in 0..self.cores.len() {
            self.cores[shard].tick(now, &mut Vec::new());
            self.hand_on(shard).await;
            let others = lessons.iter().enumerate().filter(|(other, _)| *other != shard);
            let others: Vec<_> = others.map(|(_, lesson)| Arc::clone(lesson)).collect();
            self.cores[shard].hear(&others, now);
        }
        if now.as_secs().is_multiple_of(60) {
            self.remember().await;
        }
    }

    async fn remember(&self) {
        for (core, worker) in self.cores.iter().zip(&self.running.shards) {
            worker.handle.remember(core.traces().unwrap().decided()).await;
        }
    }

    async fn hand_on(&mut self, shard: usize) {
        let core = &mut self.cores[shard];
        core.take_kept(&mut self.kept);
        core.traces_mut().unwrap().take_verdicts(&mut self.verdicts);
        let handle = &self.running.shards[shard].handle;
        handle.decided(&self.kept, &mut self.verdicts, core.sites()).await;
        core.recycle_kept(&mut self.kept);
    }

    /// The orderly end; how many spans were read back from the log.
    async fn end(mut self, now: Timestamp) -> u64 {
        for shard in 0..self.cores.len() {
            self.cores[shard].drain(now, &mut Vec::new());
            self.hand_on(shard).await;
            self.hand_on(shard).await;
        }
        self.remember().await;
        self.running.end().await;
        n_read_back(&self.cores)
    }

    /// kill -9: what the process has written stays, the process does not.
    async fn kill(self, stand: Stand) -> (Stand, u64) {
        self.running.keeper.abort();
        drop(self.running.keeper.await);
        let again = |disk: &SimDisk| SimDisk::with_files(&disk.files());
        let (spans, kept) = (again(&stand.spans), again(&stand.kept));
        (Stand { spans, kept, ..stand }, n_read_back(&self.cores))
    }
}

fn n_read_back(cores: &[Core]) -> u64 {
    cores.iter().map(|core| core.counters().n_read_back).sum()
}

/// Scenario: traces of which a span in twenty comes up to five minutes late, roots included; three
/// restarts, one of them by kill -9; most open spans are in the log alone. With one shard, with four,
/// and with another number after each restart.
/// Guarantees: what leaves of a trace is all of it or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_decided_once_over_late_spans_and_restarts() {
    let n_traces =
        std::env::var(N_TRACES_KEY).map_or(N_TRACES, |text| text.parse().expect("a number"));
    for n_shards in [[1; 4], [4; 4], [1, 4, 3, 1]] {
        check_decisions(n_traces, n_shards).await;
    }
}

/// `n_shards` of the first process, and after each restart.
async fn check_decisions(n_traces: u64, n_shards: [u32; 4]) {
    let mut stand = Stand::new(6);
    let seconds = schedule(n_traces);
    let restarts = [seconds.len() / 8, seconds.len() / 4, seconds.len() / 2];
    let at = |second: usize| Timestamp((START_S + second as u64) * SECOND_NS);
    let mut process = Process::start(&stand, n_shards[0], at(0)).await;
    let mut n_read_back = 0;
    for (second, spans) in seconds.iter().enumerate() {
        process.second(spans, at(second)).await;
        let Some(which) = restarts.iter().position(|at| *at == second) else { continue };
        n_read_back += if which == 1 {
            let (again, n_read_back) = process.kill(stand).await;
            stand = again;
            n_read_back
        } else {
            process.end(at(second)).await
        };
        process = Process::start(&stand, n_shards[which + 1], at(second)).await;
    }
    n_read_back += process.end(at(seconds.len() + 60)).await;

    let mut delivered: BTreeMap<TraceId, std::collections::BTreeSet<SpanId>> = BTreeMap::new();
    for request in stand.delivered.lock().iter() {
        let batch = decode(request.clone().into(), &Limits::default()).unwrap().batch;
        for head in &batch.spans {
            delivered.entry(head.trace_id).or_default().insert(head.span_id);
        }
    }
    let n_partly = delivered.values().filter(|spans| spans.len() as u64 != N_SPANS).count();
    println!(
        "one decision: shards={n_shards:?} traces={n_traces} kept={} contradictions={n_partly} read_back_spans={n_read_back}",
        delivered.len()
    );
    assert!(delivered.len() as u64 > n_traces / 100, "hardly anything was kept");
    assert!(n_read_back > 0, "nothing was read back from the log");
    assert_eq!(n_partly, 0);
}

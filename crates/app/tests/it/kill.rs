//! kill -9 under load, again and again: nothing that was acknowledged is lost.
//!
//! The client keeps its own account of what was sent and acknowledged; what is stored is read from
//! the complete files of a destination.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use spanwise::serve::Spawner;
use spanwise_model::SpanId;
use spanwise_otlp::bench_payload;
use spanwise_otlp::exporter::{self, Client, ExportError, Protocol};
use spanwise_otlp::transport::Endpoint;
use spanwise_wal::{Codec, Compressor, Kind, Log, Retention, StdDisk};

use crate::support::http::{get_json, metric};
use crate::support::process::Serving;
use crate::support::requests::{Purchase, mix, recent, request};
use crate::support::until_true;
use crate::traces::files;

/// Kills, as many as a test that runs every time can afford, unless this variable names another number.
const N_KILLS: u64 = 10;
const N_KILLS_KEY: &str = "SPANWISE_KILLS";
/// Purchases of one request, of three spans each.
const N_PER_REQUEST: u64 = 40;

/// What the client knows.
#[derive(Debug, Default)]
struct Account {
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<SpanId>>,
    sent: Mutex<BTreeSet<SpanId>>,
    /// Refusals that say "come again".
    n_retryable: AtomicU64,
    /// Refusals for good: there must be none.
    permanent: Mutex<Vec<String>>,
    first_ack: Mutex<Option<Instant>>,
}

fn serve(dir: &Path, kept: &Path, ack_on: &str) -> Serving {
    let yaml = format!(
        "data_dir: {}
ack_on: {ack_on}
sampler: {{traces: {{budget: 100%}}}}
forward: [{{file: {}, rotate: {{every: 300ms}}}}]
",
        dir.join("data").display(),
        kept.display()
    );
    let free = "127.0.0.1:0";
    Serving::start(dir, &yaml, &["--otlp-grpc", free, "--otlp-http", free, "--http", free])
}

impl Account {
    /// Sends until it is told to stop, or the server is gone.
    fn send(&self, to: SocketAddr, protocol: Protocol, stop: &AtomicBool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint::parse(&to.to_string(), protocol.default_port()).unwrap();
            let config = exporter::Config::new(endpoint, protocol);
            let mut client = Client::new(config, Arc::new(Spawner::new()));
            while !stop.load(Ordering::Relaxed) {
                let first = self.next.fetch_add(N_PER_REQUEST, Ordering::Relaxed) + 1;
                let purchases: Vec<_> = recent(first, N_PER_REQUEST, 1).collect();
                let ids = || purchases.iter().flat_map(Purchase::spans).map(|span| span.span_id);
                self.sent.lock().extend(ids());
                match client.export(request(purchases.iter().copied())).await {
                    Ok(_) => {
                        self.first_ack.lock().get_or_insert_with(Instant::now);
                        self.acknowledged.lock().extend(ids());
                    }
                    Err(ExportError::Retryable { .. }) => {
                        self.n_retryable.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(ExportError::Permanent { message }) => self.permanent.lock().push(message),
                }
            }
        });
    }
}

/// Loads a server over both protocols for a while, then kills it. How long the start to the first
/// acknowledgement took.
fn round(account: &Arc<Account>, dir: &Path, kept: &Path, number: u64) -> Duration {
    *account.first_ack.lock() = None;
    let begin = Instant::now();
    let serving = serve(dir, kept, "fsync");
    let stop = Arc::new(AtomicBool::new(false));
    let senders =
        [(serving.grpc.unwrap(), Protocol::Grpc), (serving.http.unwrap(), Protocol::HttpProtobuf)];
    let threads = senders.map(|(to, protocol)| {
        let (account, stop) = (Arc::clone(account), Arc::clone(&stop));
        std::thread::spawn(move || account.send(to, protocol, &stop))
    });
    until_true("the first acknowledgement", || account.first_ack.lock().is_some());
    let first_ack = account.first_ack.lock().unwrap() - begin;
    // From the middle of the first commits to well behind the first verdicts.
    let n_before = account.acknowledged.lock().len() as u64;
    let n_more = mix(number) % 12_000;
    let until = Instant::now() + Duration::from_secs(4);
    until_true("the load", || {
        account.acknowledged.lock().len() as u64 >= n_before + n_more || Instant::now() > until
    });
    serving.kill();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    first_ack
}

/// Scenario: ten times (or as many as are asked for) load over gRPC and HTTP, kill -9, and a start on the same directory; then a
/// start and an orderly end.
/// Guarantees: every acknowledged span is in a complete file, nothing is there that was not sent, and
/// every start succeeds.
#[test]
fn nothing_acknowledged_is_lost_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let account = Arc::<Account>::default();
    let mut restarts = Vec::new();
    let n_kills =
        std::env::var(N_KILLS_KEY).map_or(N_KILLS, |text| text.parse().expect("a number"));
    for number in 0..n_kills {
        restarts.push(round(&account, dir.path(), &kept, number));
    }
    let mut last = serve(dir.path(), &kept, "fsync");
    until_true("the last start", || get_json(last.api, "/api/v1/status").is_some());
    let status = last.terminate();
    assert_eq!(status.code(), Some(0), "{}", last.stderr());

    let mut stored: BTreeMap<SpanId, u64> = BTreeMap::new();
    for batch in files(&kept) {
        for head in &batch.spans {
            *stored.entry(head.span_id).or_default() += 1;
        }
    }
    let (sent, acknowledged) = (account.sent.lock(), account.acknowledged.lock());
    let n_lost = acknowledged.iter().filter(|id| !stored.contains_key(id)).count();
    let n_ghosts = stored.keys().filter(|id| !sent.contains(id)).count();
    let n_twice = stored.values().filter(|&&n| n > 1).count();
    restarts.sort_unstable();
    println!(
        "F-01 kills={n_kills} sent={} acked={} stored={} lost={n_lost} ghost={n_ghosts} twice={n_twice} retryable={} start_to_ack_ms median={} max={}",
        sent.len(),
        acknowledged.len(),
        stored.len(),
        account.n_retryable.load(Ordering::Relaxed),
        restarts[restarts.len() / 2].as_millis(),
        restarts[restarts.len() - 1].as_millis(),
    );
    assert!(acknowledged.len() as u64 > n_kills * N_PER_REQUEST, "hardly anything was sent");
    assert_eq!((n_lost, n_ghosts), (0, 0));
    assert_eq!(*account.permanent.lock(), Vec::<String>::new());
}

/// Scenario: traces are decided, kept and written; the process is killed and started again.
/// Guarantees: what was decided and written before is neither judged nor written again, although the
/// span log still has it.
#[test]
fn what_is_decided_and_written_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let account = Arc::<Account>::default();
    let serving = serve(dir.path(), &kept, "write");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| account.send(serving.grpc.unwrap(), Protocol::Grpc, &stop));
        until_true("a load", || account.acknowledged.lock().len() > 6_000);
        stop.store(true, Ordering::Relaxed);
    });
    let n_acknowledged = account.acknowledged.lock().len() as u64;
    until_true("the verdicts", || {
        metric(serving.api, "spanwise_traces_kept_spans_total") >= n_acknowledged
    });
    until_true("the files", || {
        files(&kept).iter().map(|batch| batch.spans.len() as u64).sum::<u64>() >= n_acknowledged
    });
    // A second later the process has shown that nothing is left to do.
    let name = kept.display();
    let backlog = format!("spanwise_forward_backlog_spans{{destination=\"file:{name}\"}}");
    // A picture is made every second; the one in which this shows must be made from here on.
    let uptime = || {
        let status = get_json(serving.api, "/api/v1/status").unwrap();
        status["uptime_ns"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let from = uptime();
    let is_new = || uptime() >= from + 2_500_000_000;
    until_true("the cursor", || is_new() && metric(serving.api, &backlog) == 0);
    serving.kill();
    let again = serve(dir.path(), &kept, "write");
    until_true("the start", || get_json(again.api, "/api/v1/status").is_some());
    let n_files = std::fs::read_dir(&kept).unwrap().count();
    // Were they judged again, they would be written again within a second or two.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| account.send(again.grpc.unwrap(), Protocol::Grpc, &stop));
        until_true("another file", || std::fs::read_dir(&kept).unwrap().count() > n_files + 1);
        stop.store(true, Ordering::Relaxed);
    });
    let mut again = again;
    assert_eq!(again.terminate().code(), Some(0));
    let mut stored: BTreeMap<SpanId, u64> = BTreeMap::new();
    for head in files(&kept).iter().flat_map(|batch| &batch.spans) {
        *stored.entry(head.span_id).or_default() += 1;
    }
    let n_twice = stored.values().filter(|&&n| n > 1).count();
    assert_eq!(n_twice, 0, "of {}", stored.len());
}

/// Bytes of undecided requests in the log of the next test.
const LOG_BYTES: u64 = 64 << 20;
/// What the start may take until then, where it is measured on a machine of its own.
const RESTART_MAX: Duration = Duration::from_secs(2);

/// Writes a span log of undecided requests, as a process that was killed leaves it.
fn leave_log(dir: &Path) -> u64 {
    let packed: Vec<(Vec<u8>, Codec)> = bench_payload(32, 9)
        .iter()
        .map(|request| {
            let mut out = Vec::new();
            let codec = Compressor::new().pack(request, &mut out);
            (out, codec)
        })
        .collect();
    let config = spanwise_wal::Config {
        retention: Retention::Released,
        log_bytes_max: 1 << 30,
        ..spanwise_wal::Config::default()
    };
    let (mut log, _) = Log::open(StdDisk::new(&dir.join("data/spans")).unwrap(), config).unwrap();
    log.finish_replay();
    for (packed, codec) in packed.iter().cycle() {
        log.append_held(Kind::BATCH, *codec, packed, 1).unwrap();
        log.commit().unwrap();
        if log.stats().n_bytes >= LOG_BYTES {
            break;
        }
    }
    log.stats().n_bytes
}

/// Scenario: a start on 64 MiB of requests that were not decided.
/// Guarantees: the first acknowledgement does not wait for them to be judged. The time is printed; it
/// is a limit only where `SPANWISE_TIMED` says that nothing else runs.
#[test]
fn a_start_acknowledges_before_it_has_judged_what_the_log_holds() {
    let dir = tempfile::tempdir().unwrap();
    let n_bytes = leave_log(dir.path());
    let account = Account::default();
    let begin = Instant::now();
    let serving = serve(dir.path(), &dir.path().join("kept"), "fsync");
    let stop = AtomicBool::new(false);
    let first_ack = std::thread::scope(|scope| {
        scope.spawn(|| account.send(serving.grpc.unwrap(), Protocol::Grpc, &stop));
        until_true("the first acknowledgement", || account.first_ack.lock().is_some());
        stop.store(true, Ordering::Relaxed);
        account.first_ack.lock().unwrap() - begin
    });
    println!(
        "F-04 wal_mb={} start_to_ack_ms={} limit_ms={}",
        n_bytes >> 20,
        first_ack.as_millis(),
        RESTART_MAX.as_millis()
    );
    assert!(n_bytes >= LOG_BYTES);
    if std::env::var_os("SPANWISE_TIMED").is_some() {
        assert!(first_ack <= RESTART_MAX, "{first_ack:?}");
    }
    let held = || metric(serving.api, "spanwise_log_held_requests");
    until_true("the log's requests to show", || held() > 0);
    serving.kill();
}

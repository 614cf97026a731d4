//! kill -9 under load, again and again: nothing that was acknowledged is lost.
//!
//! The client keeps its own account of what was sent and acknowledged; what is stored is read from
//! the complete files of a destination.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::receiver::Protocol as By;
use spanwise_otlp::{Limits, bench_payload, decode};
use spanwise_wal::{Codec, Compressor, Kind, Log, Retention, StdDisk};

use crate::support::clients::{Account, N_PER_REQUEST, counts, percent};
use crate::support::http::{get, get_json, metric};
use crate::support::process::Serving;
use crate::support::requests::mix;
use crate::support::sink::Sink;
use crate::support::until_true;
use crate::traces::files;

/// Kills, as many as a test that runs every time can afford, unless this variable names another number.
const N_KILLS: u64 = 10;
const N_KILLS_KEY: &str = "SPANWISE_KILLS";

fn serve(dir: &Path, kept: &Path, ack_on: &str) -> Serving {
    serve_to(dir, kept, &format!("ack_on: {ack_on}\n"), "")
}

/// The same with other settings and further destinations.
fn serve_to(dir: &Path, kept: &Path, settings: &str, more: &str) -> Serving {
    let yaml = format!(
        "data_dir: {}
{settings}sampler: {{traces: {{budget: 100%}}}}
forward: [{{file: {}, rotate: {{every: 300ms}}}}{more}]
",
        dir.join("data").display(),
        kept.display()
    );
    let free = "127.0.0.1:0";
    Serving::start(dir, &yaml, &["--otlp-grpc", free, "--otlp-http", free, "--http", free])
}

/// Loads a server over both protocols for a while, then kills it: in every second round not before
/// `arrived` grows. How long the start to the first acknowledgement took.
fn round(
    account: &Arc<Account>,
    start: impl FnOnce() -> Serving,
    arrived: impl Fn() -> u64,
    number: u64,
) -> Duration {
    *account.first_ack.lock() = None;
    let begin = Instant::now();
    let n_arrived = arrived();
    let serving = start();
    let stop = Arc::new(AtomicBool::new(false));
    let senders =
        [(serving.grpc.unwrap(), Protocol::Grpc), (serving.http.unwrap(), Protocol::HttpProtobuf)];
    let threads = senders.map(|(to, protocol)| {
        let (account, stop) = (Arc::clone(account), Arc::clone(&stop));
        std::thread::spawn(move || account.send(to, protocol, &stop))
    });
    until_true("the first acknowledgement", || account.first_ack.lock().is_some());
    let first_ack = account.first_ack.lock().unwrap() - begin;
    if !number.is_multiple_of(2) {
        until_true("spans that leave", || arrived() > n_arrived);
    }
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

/// Scenario: ten times (or as many as are asked for) load over gRPC and HTTP, kill -9, and a start on
/// the same directory; then a start and an orderly end. Files are one destination, a receiver that goes
/// on all the while is another.
/// Guarantees: every acknowledged span is in a complete file and at the receiver, nothing is there that
/// was not sent, and every start succeeds. What came twice is printed.
#[test]
fn nothing_acknowledged_is_lost_over_kills() {
    check_kills(N_KILLS, &[1]);
}

/// The same with four shards, then with another number after each kill.
#[test]
fn nothing_acknowledged_is_lost_over_kills_whatever_the_number_of_shards() {
    check_kills(N_KILLS / 3, &[4]);
    check_kills(N_KILLS / 3, &[1, 4, 3]);
}

fn check_kills(n_kills: u64, shards: &[u32]) {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let sink = Sink::start(&runtime);
    let more = format!(", {{endpoint: 'http://{}', send: traces}}", sink.grpc);
    let start = |number: u64| {
        let n = shards[number as usize % shards.len()];
        serve_to(dir.path(), &kept, &format!("shards: {n}\nack_on: fsync\n"), &more)
    };
    let account = Arc::<Account>::default();
    let mut restarts = Vec::new();
    let n_kills =
        std::env::var(N_KILLS_KEY).map_or(n_kills, |text| text.parse().expect("a number"));
    for number in 0..n_kills {
        restarts.push(round(&account, || start(number), || sink.n_spans(), number));
    }
    let mut last = start(n_kills);
    until_true("all to arrive", || {
        let received = counts(&sink.batches(By::Grpc));
        account.acknowledged.lock().iter().all(|id| received.contains_key(id))
    });
    // Files may lag by what an end would leave to the next start. A picture is made every second.
    let backlog =
        format!("spanwise_forward_backlog_spans{{destination=\"file:{}\"}}", kept.display());
    let mut n_zeros = 0;
    until_true("the files", || {
        n_zeros = if metric(last.api, &backlog) == 0 { n_zeros + 1 } else { 0 };
        n_zeros > 100
    });
    let status = last.terminate();
    assert_eq!(status.code(), Some(0), "{}", last.stderr());
    assert!(!last.stderr().contains("sent after the next start"), "{}", last.stderr());

    let stored = counts(&files(&kept));
    let received = counts(&sink.batches(By::Grpc));
    let (n_lost, n_ghosts, n_twice) = account.check(&stored);
    let (n_missed, n_false, n_repeated) = account.check(&received);
    restarts.sort_unstable();
    println!(
        "F-01 F-17 shards={shards:?} kills={n_kills} sent={} acked={} stored={} lost={n_lost} ghost={n_ghosts} twice={n_twice} ({:.2} %); received={} lost={n_missed} ghost={n_false} twice={n_repeated} ({:.2} %); retryable={} start_to_ack_ms median={} max={}",
        account.sent.lock().len(),
        account.acknowledged.lock().len(),
        stored.len(),
        percent(n_twice, stored.len()),
        received.len(),
        percent(n_repeated, received.len()),
        account.n_retryable.load(Ordering::Relaxed),
        restarts[restarts.len() / 2].as_millis(),
        restarts[restarts.len() - 1].as_millis(),
    );
    let n_acknowledged = account.acknowledged.lock().len() as u64;
    assert!(n_acknowledged > n_kills * N_PER_REQUEST, "hardly anything was sent");
    assert_eq!((n_lost, n_ghosts), (0, 0), "in files");
    assert_eq!((n_missed, n_false), (0, 0), "at the receiver");
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
    let stored = counts(&files(&kept));
    let n_twice = stored.values().filter(|&&n| n > 1).count();
    assert_eq!(n_twice, 0, "of {}", stored.len());
}

/// Bytes of undecided requests in the log of the next test.
const LOG_BYTES: u64 = 64 << 20;
/// What the start may take until then, where it is measured on a machine of its own.
const RESTART_MAX: Duration = Duration::from_secs(2);

/// Writes a span log of undecided requests, as a process that was killed leaves it.
fn leave_log(dir: &Path, n_bytes: u64) -> spanwise_wal::Stats {
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
        if log.stats().n_bytes >= n_bytes {
            break;
        }
    }
    log.stats()
}

/// Scenario: a start on 64 MiB of requests that were not decided.
/// Guarantees: the first acknowledgement does not wait for them to be judged. The time is printed; it
/// is a limit only where `SPANWISE_TIMED` says that nothing else runs.
#[test]
fn a_start_acknowledges_before_it_has_judged_what_the_log_holds() {
    let dir = tempfile::tempdir().unwrap();
    let n_bytes = leave_log(dir.path(), LOG_BYTES).n_bytes;
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

/// Scenario: a start on requests that were not decided, further requests, and SIGTERM while the log is
/// still looked at; then a start that ends in order.
/// Guarantees: the end does not wait for the log, is no failure and decides nothing that is open: what
/// the log held and what was acknowledged meanwhile is kept by the next process.
#[test]
fn an_end_does_not_wait_for_what_the_log_holds() {
    for shards in [1, 4] {
        check_end(shards);
    }
}

fn check_end(shards: u32) {
    let settings = format!("shards: {shards}\nack_on: fsync\n");
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    leave_log(dir.path(), LOG_BYTES / 8);
    let account = Account::default();
    let mut first = serve_to(dir.path(), &kept, &settings, "");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| account.send(first.grpc.unwrap(), Protocol::Grpc, &stop));
        until_true("the first acknowledgement", || account.first_ack.lock().is_some());
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(first.terminate().code(), Some(0), "{}", first.stderr());
    assert!(first.stderr().contains("judged after the next start"), "{}", first.stderr());

    let mut second = serve_to(dir.path(), &kept, &settings, "");
    until_true("readiness", || get(second.api, "/readyz").status == 200);
    assert_eq!(second.terminate().code(), Some(0), "{}", second.stderr());
    let stored = counts(&files(&kept));
    let n_logged = bench_payload(32, 9)
        .into_iter()
        .flat_map(|request| decode(request, &Limits::default()).unwrap().batch.spans)
        .filter(|head| !stored.contains_key(&head.span_id))
        .count();
    assert_eq!(n_logged, 0, "spans of the log are nowhere");
    let (n_lost, ..) = account.check(&stored);
    assert_eq!(n_lost, 0, "of {}", account.acknowledged.lock().len());
}

/// Scenario: a start on requests that were not decided.
/// Guarantees: the process is not ready before it has looked at all of them.
#[test]
fn a_process_is_ready_when_it_has_taken_in_what_the_log_holds() {
    for shards in [1, 4] {
        check_readiness(shards);
    }
}

fn check_readiness(shards: u32) {
    let dir = tempfile::tempdir().unwrap();
    let n_requests = leave_log(dir.path(), LOG_BYTES / 16).n_commits;
    let settings = format!("shards: {shards}\n");
    let serving = serve_to(dir.path(), &dir.path().join("kept"), &settings, "");
    until_true("readiness", || get(serving.api, "/readyz").status == 200);
    let status = get_json(serving.api, "/api/v1/status").unwrap();
    // Requests of 512 spans.
    assert_eq!(status["spans"]["accepted"].as_u64(), Some(n_requests * 512));
    serving.kill();
}

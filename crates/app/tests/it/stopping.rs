//! The end: nobody outside can stretch it, and what is not delivered is told, not lost in silence.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::Compression;

use crate::support::clients::{Account, counts};
use crate::support::http::{get_json, metric};
use crate::support::process::Serving;
use crate::support::requests::{recent, request};
use crate::support::server::export;
use crate::support::until_true;
use crate::traces::files;

const DONE: Option<i32> = Some(0);
const DRAIN_TIMEOUT: Option<i32> = Some(124);

/// An address at which nobody answers.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(dir: &Path, yaml: &str) -> Serving {
    let free = "127.0.0.1:0";
    Serving::start(dir, yaml, &["--otlp-grpc", free, "--otlp-http", free, "--http", free])
}

fn send(serving: &Serving) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let purchases = request(recent(1, 200, 1));
    let to = serving.grpc.unwrap();
    runtime.block_on(export(to, Protocol::Grpc, Compression::Identity, purchases)).unwrap();
}

/// The check of the only destination.
fn destination(serving: &Serving) -> Option<Value> {
    let status = get_json(serving.api, "/api/v1/status")?;
    let mut checks = status["checks"].as_array()?.iter();
    let is_it = |check: &&Value| check["name"].as_str().unwrap().starts_with("destination ");
    checks.find(is_it).cloned()
}

/// Waits until the destination is known to fail; the process stays ready.
fn fails(serving: &Serving) {
    until_true("the failing destination", || {
        destination(serving).is_some_and(|check| check["ok"] == false)
    });
    let check = destination(serving).unwrap();
    assert_eq!(check["required"], false, "{check}");
    assert!(check["detail"].as_str().unwrap().contains("fails"), "{check}");
    assert!(get_json(serving.api, "/readyz").is_some(), "a destination keeps nobody from sending");
    until_true("the warning", || serving.stderr().contains("destination fails"));
}

/// Scenario: the destination of whole traces is down, and there is a log.
/// Guarantees: told once; SIGTERM is not delayed by it, nothing is abandoned, and the exit code is 0.
#[test]
fn a_destination_that_is_down_does_not_delay_the_end_where_a_log_keeps_its_traces() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "data_dir: {}\nsampler: {{traces: {{budget: 100%}}}}\nforward: [{{endpoint: 'http://{}', send: traces}}]\n",
        dir.path().join("data").display(),
        nobody()
    );
    let mut serving = serve(dir.path(), &yaml);
    send(&serving);
    fails(&serving);
    assert_eq!(serving.terminate().code(), DONE, "{}", serving.stderr());
    let said = serving.stderr();
    assert!(said.contains("sent after the next start"), "{said}");
    assert!(!said.contains("abandoned:"), "{said}");
    assert_eq!(said.matches("destination fails").count(), 1, "{said}");
}

/// Scenario: the destination of spans is down and nothing keeps them; a second signal comes.
/// Guarantees: the first says what is waited for, the second ends the process at once.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let yaml =
        format!("sampler: {{budget: 100%}}\nforward: [{{endpoint: 'http://{}'}}]\n", nobody());
    let mut serving = serve(dir.path(), &yaml);
    send(&serving);
    fails(&serving);
    serving.signal();
    until_true("what is waited for", || serving.stderr().contains("waiting for a destination"));
    assert_eq!(serving.terminate().code(), DRAIN_TIMEOUT, "{}", serving.stderr());
    assert!(!serving.stderr().contains("drain deadline passed"), "{}", serving.stderr());
}

/// Scenario: one client has connected and says nothing, another has sent half a request.
/// Guarantees: both are cut off, and that is no failure: they were not answered.
#[test]
fn clients_that_do_not_finish_are_cut_off_and_that_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path(), "");
    let to = serving.http.unwrap();
    let _silent = TcpStream::connect(to).unwrap();
    let mut half = TcpStream::connect(to).unwrap();
    half.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        .unwrap();
    until_true("the request under way", || {
        let text = crate::support::http::get(serving.api, "/metrics").text();
        !text.contains("spanwise_receiver_in_flight_bytes 0\n")
    });
    assert_eq!(serving.terminate().code(), DONE, "{}", serving.stderr());
}

/// Stops clients when dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Scenario: two clients over gRPC and two over HTTP send as fast as they are answered, and send again
/// what is refused; SIGTERM in the middle of it; another process takes over, and ends the same way.
/// Guarantees: both ends are orderly, everything that was sent is acknowledged in the end, and all of it
/// is in a complete file.
#[test]
fn sigterm_under_full_load_loses_nothing_and_what_was_refused_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let yaml = format!(
        "data_dir: {}\nsampler: {{traces: {{budget: 100%}}}}\nforward: [{{file: {}}}]\n",
        dir.path().join("data").display(),
        kept.display()
    );
    let account = Account::default();
    let stop = AtomicBool::new(false);
    let mut serving = serve(dir.path(), &yaml);
    let to = |serving: &Serving| (serving.grpc.unwrap(), serving.http.unwrap());
    let addresses = Mutex::new(to(&serving));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| account.insist(|| addresses.lock().0, Protocol::Grpc, &stop));
            scope.spawn(|| account.insist(|| addresses.lock().1, Protocol::HttpProtobuf, &stop));
        }
        // A failure here must not leave them running.
        let _ends = Ends(&stop);
        let n_acknowledged = || account.acknowledged.lock().len();
        until_true("a load", || metric(serving.api, "spanwise_traces_kept_spans_total") > 0);
        assert_eq!(serving.terminate().code(), DONE, "{}", serving.stderr());
        serving = serve(dir.path(), &yaml);
        *addresses.lock() = to(&serving);
        let n_before = n_acknowledged();
        until_true("the load again", || n_acknowledged() > n_before + 3_000);
    });
    assert_eq!(serving.terminate().code(), DONE, "{}", serving.stderr());

    let stored = counts(&files(&kept));
    let (n_lost, n_ghosts, n_twice) = account.check(&stored);
    let n_sent = account.sent.lock().len();
    println!(
        "F-05 clients=4 sent={n_sent} acked={} refused={} stored={} lost={n_lost} ghost={n_ghosts} twice={n_twice}",
        account.acknowledged.lock().len(),
        account.n_retryable.load(Ordering::Relaxed),
        stored.len()
    );
    assert_eq!((n_lost, n_ghosts, stored.len()), (0, 0, n_sent));
    assert!(account.n_retryable.load(Ordering::Relaxed) > 0, "nobody was refused");
    assert_eq!(*account.permanent.lock(), Vec::<String>::new());
}

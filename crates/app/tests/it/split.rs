//! Split mode when one side goes: the other recovers, and the account of sampled spans closes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use spanwise::serve::Role;

use crate::support::http::{get, get_json, metric};
use crate::support::process::Serving;
use crate::support::proxy::Proxy;
use crate::support::requests::{Purchase, recent, request};
use crate::support::rules::{RULES, n_decisions};
use crate::support::server::{Running, export};
use crate::support::{until, until_true};

/// Purchases of one request.
const N: u64 = 2_000;
/// How many milliseconds after an incident begins a side is killed.
const MOMENTS_MS: [u64; 8] = [0, 1, 3, 10, 30, 100, 300, 900];

fn sampler(dir: &Path, grpc: SocketAddr) -> Serving {
    let grpc = grpc.to_string();
    let args = ["--otlp-grpc", &grpc, "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    Serving::start(dir, "sampler: {budget: 50%}", &[&args[..], &["--role", "sampler"]].concat())
}

fn processor(dir: &Path, sampler: SocketAddr) -> Serving {
    let url = format!("http://{sampler}");
    let data_dir = dir.join("data");
    let data_dir = data_dir.to_str().unwrap();
    let args = ["--role", "processor", "--sampler", &url, "--data-dir", data_dir];
    Serving::start(dir, RULES, &[&args[..], &["--http", "127.0.0.1:0"]].concat())
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn status(api: SocketAddr) -> Option<Value> {
    get_json(api, "/api/v1/status")
}

fn is_ready(api: SocketAddr) -> bool {
    get(api, "/readyz").status == 200
}

/// Sends an incident to a sampler; `first` numbers its traces.
fn send_incident(to: SocketAddr, first: u64) {
    try_incident(to, first).unwrap();
}

/// The same to a sampler that may die of it.
fn try_incident(to: SocketAddr, first: u64) -> Result<(), String> {
    use spanwise_otlp::exporter::Protocol::Grpc;
    let incident = request(recent(first, N, 2).map(Purchase::slow));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let compression = spanwise_otlp::transport::Compression::Identity;
    let sent = runtime.block_on(export(to, Grpc, compression, incident));
    sent.map(drop).map_err(|error| error.to_string())
}

/// Waits until a sampler has closed `n` traces, so that what it kept does not change any more.
fn n_kept(sampler: SocketAddr, n: u64) -> u64 {
    until("the traces to close", || {
        let status = status(sampler)?;
        let closed = status["traces"]["closed"].as_u64().unwrap();
        (closed >= n).then(|| status["spans"]["kept"].as_u64().unwrap())
    })
}

/// Waits until a processor's account is `received` and `missed`.
fn check_account(processor: &Running, received: u64, missed: u64) {
    until_true("the account to close", || {
        let account = processor.server().account().unwrap();
        assert_eq!(account.n_received + account.n_missed, account.n_range);
        assert!(account.n_range <= received + missed, "{account:?}, not {received} + {missed}");
        account.n_range == received + missed
    });
    let account = processor.server().account().unwrap();
    assert_eq!((account.n_received, account.n_missed), (received, missed));
}

fn subscribed(processor: &Running) {
    until_true("the subscription", || processor.server().account().unwrap().connected);
}

/// Scenario: the sampler dies without a warning, twice: idle, and with traces in its window.
/// Guarantees: the processor subscribes to its successor, notices each restart, the account of the
/// new epoch closes, and the rule fires again.
#[test]
fn a_processor_outlives_its_sampler() {
    let dir = tempfile::tempdir().unwrap();
    let first = sampler(dir.path(), any_port());
    let grpc = first.grpc.unwrap();
    let processor = Running::start(RULES, Role::Processor { sampler: format!("http://{grpc}") });
    let records = processor.server().state().records.clone();
    subscribed(&processor);
    send_incident(grpc, 1);
    let kept = n_kept(first.api, N);
    assert!(kept > 0);
    check_account(&processor, kept, 0);
    until("a decision", || records.decisions().first().cloned());
    first.kill();
    until_true("the loss to be noticed", || !processor.server().account().unwrap().connected);

    let second = sampler(dir.path(), grpc);
    subscribed(&processor);
    assert_eq!(processor.server().account().unwrap().n_restarts, 1);
    send_incident(grpc, 1 + N);
    second.kill();
    until_true("the loss to be noticed", || !processor.server().account().unwrap().connected);

    let third = sampler(dir.path(), grpc);
    subscribed(&processor);
    assert_eq!(processor.server().account().unwrap().n_restarts, 2);
    let fired = "spanwise_rule_evaluations_total{rule=\"cart-slow\",result=\"fired\"}";
    let n_before = metric(processor.api(), fired);
    send_incident(grpc, 1 + 2 * N);
    let kept = n_kept(third.api, N);
    check_account(&processor, kept, 0);
    // Breaches that ended before the last firing are spent, so it may take more than one.
    let mut incidents = 3..;
    until_true("the rule to fire", || {
        send_incident(grpc, 1 + incidents.next().unwrap() * N);
        metric(processor.api(), fired) > n_before
    });
    assert!(processor.stop());
}

/// Scenario: the processor dies without a warning and comes back on its data directory.
/// Guarantees: the sampler goes on, the new processor is told what it needs to decide again, and
/// the decisions of both are in one list.
#[test]
fn a_sampler_outlives_its_processor() {
    let dir = tempfile::tempdir().unwrap();
    let sampler = Running::start("sampler: {budget: 50%}\n", Role::Sampler);
    let first = processor(dir.path(), sampler.grpc());
    until_true("the subscription", || is_ready(first.api));
    sampler.send(request(recent(1, N, 20).map(Purchase::slow)));
    until_true("a decision", || n_decisions(first.api) > 0);
    first.kill();

    // Nobody listens to this one.
    sampler.send(request(recent(1 + N, N, 20).map(Purchase::slow)));
    let n_before = n_kept(sampler.api(), 2 * N);

    let second = processor(dir.path(), sampler.grpc());
    until_true("the subscription", || is_ready(second.api));
    let n_restored = n_decisions(second.api);
    assert!(n_restored > 0, "decisions of the one before");
    sampler.send(request(recent(1 + 2 * N, N, 20).map(Purchase::slow)));
    let kept = n_kept(sampler.api(), 3 * N) - n_before;
    until_true("a decision", || n_decisions(second.api) > n_restored);
    // Its account begins where it subscribed.
    until_true("the account to close", || {
        let spans = status(second.api).unwrap()["spans"].clone();
        (spans["accepted"].as_u64(), spans["missed"].as_u64()) == (Some(kept), Some(0))
    });
    assert!(sampler.stop());
}

/// Scenario: the sampler is killed again and again, each time a little later after the first byte of
/// an incident: while it reads, decodes, samples, and streams.
/// Guarantees: the processor notices every restart, its account never claims more than there was,
/// and that of the last sampler, which lives, closes.
#[test]
#[expect(clippy::disallowed_methods, reason = "the moment of the kill is what is tested")]
fn a_processor_outlives_a_sampler_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut dying = sampler(dir.path(), any_port());
    let grpc = dying.grpc.unwrap();
    let processor = Running::start(RULES, Role::Processor { sampler: format!("http://{grpc}") });
    for (round, delay) in (0_u64..).zip(MOMENTS_MS.map(Duration::from_millis)) {
        subscribed(&processor);
        assert_eq!(processor.server().account().unwrap().n_restarts, round);
        let incident = std::thread::spawn(move || try_incident(grpc, 1 + round * N));
        std::thread::sleep(delay);
        dying.kill();
        // Whether the incident was acknowledged depends on the moment.
        let _acknowledged = incident.join().unwrap();
        until_true("the loss to be noticed", || !processor.server().account().unwrap().connected);
        let account = processor.server().account().unwrap();
        assert_eq!(account.n_received + account.n_missed, account.n_range, "{delay:?}");
        dying = sampler(dir.path(), grpc);
    }
    subscribed(&processor);
    send_incident(grpc, 1 + 100 * N);
    let kept = n_kept(dying.api, N);
    check_account(&processor, kept, 0);
    assert!(processor.stop());
}

/// Scenario: the processor is killed again and again, each time a little later after the first byte
/// of an incident, while what it decides goes into its log.
/// Guarantees: each successor starts on the log, with every decision its predecessors had shown, and
/// the account of the last one closes.
#[test]
#[expect(clippy::disallowed_methods, reason = "the moment of the kill is what is tested")]
fn a_sampler_outlives_a_processor_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let sampler = Running::start("sampler: {budget: 50%}\n", Role::Sampler);
    let mut n_shown = 0;
    for (round, delay) in (0_u64..).zip(MOMENTS_MS.map(Duration::from_millis)) {
        let dying = processor(dir.path(), sampler.grpc());
        until_true("the subscription", || is_ready(dying.api));
        let n_restored = n_decisions(dying.api);
        assert!(n_restored >= n_shown, "{n_restored} of {n_shown} decisions after {delay:?}");
        sampler.send(request(recent(1 + round * N, N, 20).map(Purchase::slow)));
        std::thread::sleep(delay);
        n_shown = n_decisions(dying.api);
        dying.kill();
    }
    let n_before = n_kept(sampler.api(), N * MOMENTS_MS.len() as u64);
    let last = processor(dir.path(), sampler.grpc());
    until_true("the subscription", || is_ready(last.api));
    assert!(n_decisions(last.api) >= n_shown);
    sampler.send(request(recent(1 + 100 * N, N, 20).map(Purchase::slow)));
    let kept = n_kept(sampler.api(), N * (1 + MOMENTS_MS.len() as u64)) - n_before;
    until_true("the account to close", || {
        let spans = status(last.api).unwrap()["spans"].clone();
        (spans["accepted"].as_u64(), spans["missed"].as_u64()) == (Some(kept), Some(0))
    });
    assert!(sampler.stop());
}

/// Scenario: the wire between them is cut while spans are sampled, then mended.
/// Guarantees: in the same epoch, received and missed make up everything that was sampled, and the
/// rule's findings say that data is missing.
#[test]
fn what_was_sampled_while_the_wire_was_cut_is_counted_as_missed() {
    let sampler = Running::start("sampler: {budget: 50%}\n", Role::Sampler);
    let proxy = Proxy::start(sampler.grpc());
    let url = format!("http://{}", proxy.address);
    let processor = Running::start(RULES, Role::Processor { sampler: url });
    subscribed(&processor);
    sampler.send(request(recent(1, N, 20)));
    let received = n_kept(sampler.api(), N);
    check_account(&processor, received, 0);

    proxy.cut();
    until_true("the loss to be noticed", || !processor.server().account().unwrap().connected);
    sampler.send(request(recent(1 + N, N, 20)));
    let missed = n_kept(sampler.api(), 2 * N) - received;
    assert!(missed > 0);

    proxy.mend();
    subscribed(&processor);
    check_account(&processor, received, missed);
    sampler.send(request(recent(1 + 2 * N, N, 20).map(Purchase::slow)));
    let all = n_kept(sampler.api(), 3 * N);
    check_account(&processor, all - missed, missed);
    assert_eq!(processor.server().account().unwrap().n_restarts, 0);
    let records = &processor.server().state().records;
    let decision = until("a decision", || records.decisions().first().cloned());
    let says_so = decision.bounds.iter().any(|bound| bound.detail.contains("counts are missing"));
    assert!(says_so, "{decision:?}");
    assert!(processor.stop());
    assert!(sampler.stop());
}

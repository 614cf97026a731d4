//! Several threads share the spans: seen from outside they are one.

use std::collections::BTreeMap;

use serde_json::Value;
use spanwise::serve::Role;

use crate::support::http::get_json;
use crate::support::requests::{Purchase, recent, request};
use crate::support::rules::{RULES, n_decisions};
use crate::support::server::Running;
use crate::support::until_true;

const N: u64 = 2_000;

/// Spans of the last minute by service and operation, as the API shows them.
fn shown(at: &Running) -> BTreeMap<(String, String), u64> {
    let services = get_json(at.api(), "/api/v1/services?limit=200").unwrap();
    let mut shown = BTreeMap::new();
    for service in services["items"].as_array().unwrap() {
        for operation in service["operations"].as_array().unwrap() {
            let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
            let names = (text(service, "service"), text(operation, "operation"));
            let count = operation["count"].as_f64().unwrap().round() as u64;
            *shown.entry(names).or_default() += count;
        }
    }
    shown
}

/// Scenario: an incident of which every shard sees a quarter, so that none alone has enough breaches
/// for the rule.
/// Guarantees: the rule fires; traces, spans and statistics are counted once, whoever saw them.
#[test]
fn shards_count_together() {
    let running = Running::start(&format!("shards: 4\n{RULES}"), Role::All);
    running.send(request(recent(1, N, 2).map(Purchase::slow)));
    until_true("the rule to fire", || n_decisions(running.api()) > 0);
    let closed = || {
        let status = get_json(running.api(), "/api/v1/status").unwrap();
        (status["traces"]["closed"].as_u64(), status["spans"]["accepted"].as_u64())
    };
    until_true("all shards to show", || closed() == (Some(N), Some(3 * N)));
    let shown = shown(&running);
    assert!(shown.len() == 3 && shown.values().all(|&n| n == N), "{shown:?}");
    assert!(running.stop());
}

/// Guarantees: subscribers get what every shard counted and sampled, each sampled span once.
#[test]
fn a_processor_hears_every_shard() {
    let sampler = Running::start("shards: 4\nsampler: {budget: 50%}\n", Role::Sampler);
    let url = format!("http://{}", sampler.grpc());
    let processor = Running::start(RULES, Role::Processor { sampler: url });
    until_true("the subscription", || processor.server().account().unwrap().connected);
    sampler.send(request(recent(1, N, 2).map(Purchase::slow)));
    until_true("the rule to fire", || n_decisions(processor.api()) > 0);
    let kept = || {
        let status = get_json(sampler.api(), "/api/v1/status").unwrap();
        let is_closed = status["traces"]["closed"].as_u64() == Some(N);
        is_closed.then(|| status["spans"]["kept"].as_u64().unwrap())
    };
    until_true("the account to close", || {
        let account = processor.server().account().unwrap();
        kept().is_some_and(|kept| kept == account.n_received + account.n_missed)
    });
    assert!(processor.stop() && sampler.stop());
}

/// Guarantees: models of all shards are saved as one, and one of another number of shards reads them.
#[test]
fn models_outlive_another_number_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = |n: u32| format!("shards: {n}\ndata_dir: {}\n", dir.path().display());
    let n_ready = |at: &Running| {
        get_json(at.api(), "/api/v1/status").unwrap()["call_sites"]["ready"].as_u64().unwrap_or(0)
    };
    let first = Running::start(&yaml(4), Role::All);
    first.send(request(recent(1, 400, 1)));
    until_true("every site to be known", || n_ready(&first) == 3);
    assert!(first.stop());
    let second = Running::start(&yaml(2), Role::All);
    until_true("the models to be shown", || n_ready(&second) == 3);
    assert!(second.stop());
}

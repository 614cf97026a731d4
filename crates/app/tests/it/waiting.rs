//! A trace that waits for budget while its process dies.

use std::path::Path;

use spanwise_model::{SpanId, Timestamp};
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::Compression;

use crate::support::http::metric;
use crate::support::process::Serving;
use crate::support::requests::{Purchase, now_ns, request};
use crate::support::server::export;
use crate::support::until_true;
use crate::traces::files;

/// Ordinary purchases that the first process learns from; they bring in budget for no whole trace.
const N_LEARNT: u64 = 400;
/// Ordinary purchases that bring in the budget for a few.
const N_OTHERS: u64 = 2_000;
/// The number of the slow purchase.
const SLOW: u64 = 1_000_000;

fn serve(dir: &Path) -> Serving {
    let yaml = format!(
        "data_dir: {}
sampler: {{traces: {{sampler: slowest, budget: 0.2%}}}}
forward: [{{file: {}, rotate: {{every: 300ms}}}}]
",
        dir.join("data").display(),
        dir.join("kept").display()
    );
    let free = "127.0.0.1:0";
    Serving::start(dir, &yaml, &["--otlp-grpc", free, "--otlp-http", free, "--http", free])
}

fn send(serving: &Serving, purchases: impl Iterator<Item = Purchase>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let to = serving.grpc.unwrap();
    let sent = export(to, Protocol::Grpc, Compression::Identity, request(purchases));
    runtime.block_on(sent).unwrap();
}

fn ordinary(first: u64, n: u64) -> impl Iterator<Item = Purchase> {
    let now = Timestamp(now_ns());
    (first..first + n).map(move |number| Purchase::new(number, now))
}

/// How often each span of the slow purchase is in a complete file.
fn stored(dir: &Path) -> Vec<usize> {
    let batches = files(&dir.join("kept"));
    let heads: Vec<SpanId> =
        batches.iter().flat_map(|batch| &batch.spans).map(|head| head.span_id).collect();
    let spans = Purchase::new(SLOW, Timestamp(now_ns())).spans();
    spans.iter().map(|span| heads.iter().filter(|id| **id == span.span_id).count()).collect()
}

/// Scenario: a slow trace is judged and waits, for there is no budget yet; kill -9, twice; then traces
/// come that bring the budget in.
/// Guarantees: each process has it waiting again, and the one with budget keeps it, whole and once.
#[test]
fn a_trace_that_waits_for_budget_outlives_kill_9_and_is_kept_when_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let held = |serving: &Serving| metric(serving.api, "spanwise_traces_held");
    let verdicts = |serving: &Serving, outcome: &str| {
        metric(serving.api, &format!("spanwise_traces_verdicts_total{{outcome=\"{outcome}\"}}"))
    };
    let mut learning = serve(dir.path());
    send(&learning, ordinary(1, N_LEARNT));
    assert_eq!(learning.terminate().code(), Some(0), "{}", learning.stderr());

    let first = serve(dir.path());
    send(&first, ordinary(SLOW, 1).map(Purchase::slow));
    until_true("the trace to wait", || held(&first) == 1);
    assert_eq!((verdicts(&first, "kept"), verdicts(&first, "dropped")), (0, 0));
    first.kill();

    let second = serve(dir.path());
    until_true("the trace to wait again", || held(&second) == 1);
    second.kill();

    let mut third = serve(dir.path());
    until_true("the trace to wait once more", || held(&third) == 1);
    assert_eq!(stored(dir.path()), [0, 0, 0]);
    send(&third, ordinary(1 + N_LEARNT, N_OTHERS));
    until_true("the file", || stored(dir.path()) == [1, 1, 1]);
    until_true("the verdict to show", || verdicts(&third, "promoted_from_waiting") >= 1);
    assert_eq!(third.terminate().code(), Some(0), "{}", third.stderr());
    assert_eq!(stored(dir.path()), [1, 1, 1]);
}

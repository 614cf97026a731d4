//! The order in which the spans of a trace come, and how often: what is kept is whole.

use std::collections::BTreeSet;

use spanwise::pipeline::core::{self, Core};
use spanwise::pipeline::traces;
use spanwise_model::{SpanId, SpanRecord, Timestamp, TraceId};
use spanwise_otlp::{Limits, RequestBuilder, decode};

use crate::support::requests::{MS, Purchase, mix};
use crate::support::server::config;

/// Traces, of three spans each.
const N_TRACES: u64 = 4_000;
const N_PER_S: u64 = 200;
const START_S: u64 = 1_700_000_000;

/// Kept traces with their spans, when requests hold what `spans` makes of each purchase.
fn kept(spans: impl Fn(&Purchase) -> Vec<SpanRecord>) -> BTreeSet<(TraceId, SpanId)> {
    let config = config("sampler: {traces: {budget: 5%}}\n");
    let alone = |traces| traces::Config::alone(traces, 4 << 20, false).unwrap();
    let traces = config.traces.map(alone);
    let (sampler, assembler, rules) = (config.sampler, config.assembler, config.rules);
    let mut core = Core::new(core::Config { sampler, assembler, rules, traces }).unwrap();
    let mut found = Vec::new();
    for second in 0..N_TRACES / N_PER_S {
        let now = Timestamp((START_S + second) * 1_000 * MS);
        let mut builder = RequestBuilder::new();
        for n in second * N_PER_S..(second + 1) * N_PER_S {
            let purchase = Purchase::new(1 + n, now);
            let is_slow = mix(n).is_multiple_of(61);
            for span in spans(&if is_slow { purchase.slow() } else { purchase }) {
                builder.push(&span);
            }
        }
        let batch = decode(builder.finish(), &Limits::default()).unwrap().batch;
        core.batch(batch, now, &mut Vec::new());
        core.tick(now, &mut Vec::new());
        core.take_kept(&mut found);
    }
    core.drain(Timestamp((START_S + 3600) * 1_000 * MS), &mut Vec::new());
    core.take_kept(&mut found);
    let ids = |trace: &traces::KeptTrace| {
        trace.refs().map(|span| (span.head().trace_id, span.head().span_id)).collect::<Vec<_>>()
    };
    found.iter().flat_map(ids).collect()
}

/// A purchase's spans in any order; those of the first one make the call sites known, so they stay.
fn shuffled(purchase: &Purchase) -> Vec<SpanRecord> {
    let mut spans = purchase.spans().to_vec();
    if purchase.n == 1 {
        return spans;
    }
    let lot = mix(purchase.n * 7);
    spans.rotate_left((lot % 3) as usize);
    if lot & 64 != 0 {
        spans.swap(0, 1);
    }
    spans
}

/// Kept traces in order and otherwise: whole in both cases; how many are others.
fn check_whole(case: &str, otherwise: impl Fn(&Purchase) -> Vec<SpanRecord>) {
    let in_order = kept(|purchase| purchase.spans().to_vec());
    let otherwise = kept(otherwise);
    let n_kept = in_order.len() / 3;
    assert!(n_kept as u64 > N_TRACES / 50, "{n_kept} kept");
    assert_eq!((in_order.len() % 3, otherwise.len() % 3), (0, 0), "kept traces are whole");
    let n_others = in_order.symmetric_difference(&otherwise).count() / 6;
    println!("F-20 {case}: {n_others} of {n_kept} kept traces are others");
    assert!(n_others * 3 < n_kept, "{n_others} of {n_kept} are others");
}

/// Scenario: the same traces with their spans in order, and in any order.
/// Guarantees: kept traces are whole. Which of those near a threshold are kept depends on what was
/// learnt before them, so a few change; how many is printed.
#[test]
fn shuffled_spans_leave_whole() {
    check_whole("shuffled", shuffled);
}

/// Scenario: a fifth of the traces has a span twice.
/// Guarantees: kept traces are whole, each span once.
#[test]
fn repeated_spans_leave_once() {
    check_whole("repeated", |purchase| {
        let mut spans = shuffled(purchase);
        let lot = mix(purchase.n * 13);
        if lot.is_multiple_of(5) {
            spans.push(spans[(lot >> 8) as usize % 3].clone());
        }
        spans
    });
}

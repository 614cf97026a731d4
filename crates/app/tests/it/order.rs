//! The order in which the spans of traces come, and how often: what is kept is whole, and the same.

use std::collections::BTreeMap;

use spanwise::pipeline::core::{self, Core};
use spanwise::pipeline::traces;
use spanwise_model::{SpanRecord, Timestamp, TraceId};
use spanwise_otlp::{Limits, RequestBuilder, decode};

use crate::support::requests::{MS, Purchase, mix};
use crate::support::server::config;

/// Traces, of three spans each.
const N_TRACES: u64 = 4_000;
const N_PER_S: u64 = 200;
const START_S: u64 = 1_700_000_000;
/// Longest lateness, in seconds.
const LATE_MAX_S: u64 = 30;

/// A span and the second in which it comes.
type Sent = (u64, SpanRecord);

/// A shop's requests, one a second, its spans in order and each once.
fn in_order() -> Vec<Sent> {
    let purchase = |n: u64| {
        let second = n / N_PER_S;
        let purchase = Purchase::new(1 + n, Timestamp((START_S + second) * 1_000 * MS));
        let purchase = if mix(n).is_multiple_of(61) { purchase.slow() } else { purchase };
        purchase.spans().map(|span| (second, span))
    };
    (0..N_TRACES).flat_map(purchase).collect()
}

/// Spans of kept traces by trace, when they are sent like this.
fn kept(sent: &[Sent]) -> BTreeMap<TraceId, usize> {
    kept_with(sent, "")
}

/// The same with further settings.
fn kept_with(sent: &[Sent], more: &str) -> BTreeMap<TraceId, usize> {
    let config = config(&format!("sampler: {{traces: {{budget: 5%{more}}}}}\n"));
    let alone = |traces| traces::Config::alone(traces, 4 << 20, false).unwrap();
    let traces = config.traces.map(alone);
    let (sampler, assembler, rules) = (config.sampler, config.assembler, config.rules);
    let mut core = Core::new(core::Config { sampler, assembler, rules, traces }).unwrap();
    let mut found = Vec::new();
    for second in 0..=N_TRACES / N_PER_S + 2 * LATE_MAX_S {
        let now = Timestamp((START_S + second) * 1_000 * MS);
        let mut builder = RequestBuilder::new();
        for (_, span) in sent.iter().filter(|(at, _)| *at == second) {
            builder.push(span);
        }
        let batch = decode(builder.finish(), &Limits::default()).unwrap().batch;
        core.batch(batch, now, &mut Vec::new());
        core.tick(now, &mut Vec::new());
        core.take_kept(&mut found);
    }
    core.drain(Timestamp((START_S + 3600) * 1_000 * MS), &mut Vec::new());
    core.take_kept(&mut found);
    let mut kept = BTreeMap::new();
    for span in found.iter().flat_map(traces::KeptTrace::refs) {
        *kept.entry(span.head().trace_id).or_default() += 1;
    }
    kept
}

/// What is kept of spans in order and otherwise.
struct Both {
    /// Kept traces that have not all their spans, or some twice.
    n_broken: usize,
    /// Of those kept in order, the ones not kept otherwise.
    n_others: usize,
}

fn both(case: &str, otherwise: &[Sent]) -> Both {
    compare(case, &kept(&in_order()), &kept(otherwise))
}

fn compare(
    case: &str,
    in_order: &BTreeMap<TraceId, usize>,
    otherwise: &BTreeMap<TraceId, usize>,
) -> Both {
    let n_kept = in_order.len();
    assert!(n_kept as u64 > N_TRACES / 50, "{n_kept} kept");
    assert!(in_order.values().all(|&n_spans| n_spans == 3));
    let n_broken = otherwise.values().filter(|&&n_spans| n_spans != 3).count();
    let n_others = in_order.keys().filter(|id| !otherwise.contains_key(id)).count();
    println!("F-20 {case}: {n_kept} kept, {n_others} of them not otherwise, {n_broken} not whole");
    Both { n_broken, n_others }
}

/// Puts spans into any order, second by second.
fn shuffle(sent: &mut [Sent], key: impl Fn(&Sent) -> u64) {
    sent.sort_by_key(|one| (one.0, mix(key(one))));
}

fn span_key(span: &SpanRecord) -> u64 {
    mix(u64::from_be_bytes(span.span_id.0))
}

/// Scenario: the same traces with their spans in order, and in any order.
/// Guarantees: the same traces are kept, whole.
#[test]
fn the_order_of_a_traces_spans_decides_nothing() {
    let mut sent = in_order();
    for trace in sent.chunks_mut(3) {
        trace.sort_by_key(|(_, span)| span_key(span));
    }
    let both = both("shuffled within traces", &sent);
    assert_eq!((both.n_others, both.n_broken), (0, 0));
}

/// Scenario: all spans of each request in any order, so that no trace is in one piece.
/// Guarantees: the same traces are kept, whole.
#[test]
fn the_order_of_a_requests_spans_decides_nothing() {
    let mut sent = in_order();
    shuffle(&mut sent, |(_, span)| span_key(span));
    let both = both("shuffled within requests", &sent);
    assert_eq!((both.n_others, both.n_broken), (0, 0));
}

/// Scenario: a fifth of the traces has a span twice, and all are in any order.
/// Guarantees: the same traces are kept, whole, each span once.
#[test]
fn repeated_spans_leave_once() {
    let mut sent = in_order();
    let n_sent = sent.len();
    for at in (0..n_sent).filter(|at| mix(*at as u64 * 13).is_multiple_of(15)) {
        sent.push(sent[at].clone());
    }
    shuffle(&mut sent, |(_, span)| span_key(span));
    let both = both("repeated", &sent);
    assert_eq!((both.n_others, both.n_broken), (0, 0));
}

/// One span in twenty comes up to 30 s late, in any order.
fn late() -> Vec<Sent> {
    let mut sent = in_order();
    let is_late = |span: &SpanRecord| span_key(span).is_multiple_of(20);
    for (second, span) in sent.iter_mut().filter(|(_, span)| is_late(span)) {
        *second += 1 + span_key(span) / 20 % LATE_MAX_S;
    }
    shuffle(&mut sent, |(_, span)| span_key(span));
    sent
}

/// Scenario: one span in twenty comes up to 30 s late, in any order.
/// Guarantees: what is kept is whole. Which traces are kept is not promised: a verdict is out a second
/// after the root has ended, and a trace without one of its spans has an unusual structure, so that with
/// a small budget most of what is kept are the traces with late spans.
#[test]
fn late_spans_leave_with_their_traces() {
    assert_eq!(both("late", &late()).n_broken, 0);
}

/// Scenario: the same, and traces are waited for that long after their roots.
/// Guarantees: what is kept is whole, and only few traces are others: those whose root was late are
/// judged that much later than their neighbours.
#[test]
fn late_spans_that_are_waited_for_decide_nothing() {
    let wait = ", decision_wait_after_root_received: 31s";
    let in_order = kept_with(&in_order(), wait);
    let both = compare("late, waited for", &in_order, &kept_with(&late(), wait));
    assert_eq!(both.n_broken, 0);
    assert!(both.n_others * 5 <= in_order.len(), "{} of {}", both.n_others, in_order.len());
}

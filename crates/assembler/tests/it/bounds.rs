//! Memory: what is charged, what happens at the limit, and that nothing is allocated in between.

use std::sync::Arc;

use proptest::prelude::*;
use spanwise_assembler::{Assembler, Config};
use spanwise_model::{Batch, CloseReason, SpanHead, SpanKind, Timestamp};

use crate::span::{push_all, roomy, span, trace_id};

const MS: u64 = 1_000_000;

/// A batch of spans of the given traces, with ids from `first_id` on and 300 raw bytes a span.
fn batch_of(traces: &[u64], first_id: u64) -> Arc<Batch> {
    let spans: Vec<SpanHead> = traces
        .iter()
        .zip(first_id..)
        .map(|(&trace, id)| SpanHead {
            trace_id: trace_id(trace),
            ..span(id, 0xffff_ffff, SpanKind::Server, 0, 5)
        })
        .collect();
    Arc::new(Batch { bytes: vec![0; 300 * spans.len()].into(), spans, ..Batch::default() })
}

#[test]
fn memory_stays_within_the_limit_and_every_span_comes_out() {
    let config = Config { memory_bytes: 4 << 20, ..Config::default() };
    let mut assembler = Assembler::new(config).unwrap();
    let mut out = Vec::new();
    let (mut n_out, mut oldest) = (0, 0);
    for i in 0..2_000_u64 {
        let traces: Vec<u64> = (0..50).map(|k| i * 10 + k % 10).collect();
        push_all(&mut assembler, &batch_of(&traces, 1), Timestamp(i), &mut out);
        assert!(assembler.stats().bytes <= config.memory_bytes);
        for trace in out.drain(..) {
            assert_eq!(trace.reason, CloseReason::Evicted);
            assert!(trace.trace_id.low64() > oldest, "the oldest goes first");
            oldest = trace.trace_id.low64();
            n_out += trace.spans.len();
            assembler.recycle(trace);
        }
    }
    assert!(assembler.stats().n_closed_evicted > 10_000);
    assembler.drain(Timestamp(2_000), &mut out);
    n_out += out.iter().map(|t| t.spans.len()).sum::<usize>();
    assert_eq!(n_out, 100_000);
}

#[test]
fn a_batch_larger_than_the_window_passes_through() {
    let config = Config { memory_bytes: 1 << 20, ..Config::default() };
    let mut assembler = Assembler::new(config).unwrap();
    let mut out = Vec::new();
    push_all(&mut assembler, &batch_of(&vec![1; 8_000], 1), Timestamp(1), &mut out);
    assert_eq!(out.iter().map(|t| t.spans.len()).sum::<usize>(), 8_000);
    assert!(assembler.stats().bytes <= config.memory_bytes);
}

#[test]
fn memory_of_a_burst_is_given_back() {
    let mut assembler = Assembler::new(Config { memory_bytes: 1 << 30, ..roomy() }).unwrap();
    let mut out = Vec::new();
    for i in 0..200 {
        let traces: Vec<u64> = (i * 1_000..(i + 1) * 1_000).collect();
        push_all(&mut assembler, &batch_of(&traces, 1), Timestamp(1), &mut out);
    }
    let peak = assembler.stats().bytes;
    assembler.drain(Timestamp(2), &mut out);
    assembler.tick(Timestamp(3), &mut out);
    let left = assembler.stats().bytes;
    assert!(left < peak / 8, "{left} of {peak} left");
}

/// Scenario: the same load for a while, closed traces given back.
/// Guarantees: no allocation per span, per trace or per batch once warm.
#[test]
fn a_steady_load_allocates_nothing() {
    let batches: Vec<Arc<Batch>> = (0..400_u64)
        .map(|i| batch_of(&[i, i + 1, i + 1, i + 2, i + 3, i, i], i * 10 + 1))
        .collect();
    let mut assembler = Assembler::new(Config::default()).unwrap();
    let mut out = Vec::with_capacity(1_000);
    let mut now = 0;
    let mut round = || {
        for batch in &batches {
            now += 50 * MS;
            push_all(&mut assembler, batch, Timestamp(now), &mut out);
            for trace in out.drain(..) {
                assembler.recycle(trace);
            }
        }
        now += 60_000 * MS;
    };
    for _ in 0..5 {
        round();
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..20 {
            round();
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(assembler.stats().n_spans, 25 * 400 * 7);
}

proptest! {
    #[test]
    fn batches_are_charged_while_a_span_of_theirs_is_open(
        layout in prop::collection::vec(prop::collection::vec(0..6_u64, 1..6), 1..40),
        grace in 0..6_u64,
    ) {
        let config = Config { idle_ns: 4 + grace, ..Config::default() };
        let mut assembler = Assembler::new(config).unwrap();
        let mut out = Vec::new();
        let batches: Vec<Arc<Batch>> = layout
            .iter()
            .enumerate()
            .map(|(i, traces)| batch_of(traces, i as u64 * 10 + 1))
            .collect();
        for (i, batch) in batches.iter().enumerate() {
            out.clear();
            push_all(&mut assembler, batch, Timestamp(i as u64), &mut out);
            out.clear();
            // A batch with an open span is held by the window, once, and by this test.
            let held: u64 = batches
                .iter()
                .filter(|batch| Arc::strong_count(batch) == 2)
                .map(|batch| batch.heap_bytes())
                .sum();
            let n_held = batches.iter().filter(|batch| Arc::strong_count(batch) == 2).count();
            let overhead = n_held as u64 * (size_of::<Batch>() + 16) as u64;
            prop_assert_eq!(assembler.stats().batch_bytes, held + overhead);
        }
        assembler.drain(Timestamp(100), &mut out);
        prop_assert_eq!(assembler.stats().batch_bytes, 0);
        prop_assert_eq!(assembler.stats().n_open_traces, 0);
    }
}

//! Cost of a span in the window: push, close with all figures, recycle. `cargo bench -p
//! spanwise-assembler` prints nanoseconds of CPU a span for windows of several sizes. Batches are made
//! beforehand, so heads are read colder than in a pipeline, where they were just decoded.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use spanwise_assembler::{Assembler, Config};
use spanwise_model::{Batch, ServiceId, SpanHead, SpanId, SpanKind, Timestamp, TraceId};

const N_SPANS_PER_TRACE: u64 = 50;
const N_SPANS_PER_BATCH: usize = 512;

fn main() {
    for n_open in [1_u64, 100, 2_000, 20_000] {
        let batches = batches(2_000 + n_open * 2, n_open);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            best = best.min(ns_per_span(&batches));
        }
        println!("{n_open:6} open traces: {best:.1} ns/span");
    }
}

/// Traces of 50 spans, `n_open` of them open at any time, each span 1 us after the one before.
fn batches(n_traces: u64, n_open: u64) -> Vec<Arc<Batch>> {
    let mut heads = Vec::new();
    for step in 0..(n_traces + n_open) * N_SPANS_PER_TRACE {
        // Trace t sends its k-th span in round t + k * n_open / 50; the root comes last.
        let round = step / N_SPANS_PER_TRACE;
        let k = step % N_SPANS_PER_TRACE;
        if let Some(trace) = round.checked_sub(k * n_open / N_SPANS_PER_TRACE) {
            heads.push(head(trace, k, step));
        }
    }
    heads.chunks(N_SPANS_PER_BATCH).map(|spans| Arc::new(batch(spans.to_vec()))).collect()
}

fn batch(spans: Vec<SpanHead>) -> Batch {
    Batch { spans, ..Batch::default() }
}

/// The k-th span to end: a tree of fan-out 3 counted from its leaves, so that children end first.
fn head(trace: u64, k: u64, step: u64) -> SpanHead {
    let node = N_SPANS_PER_TRACE - 1 - k;
    let id =
        |node: u64| SpanId(((trace + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ node).to_be_bytes());
    let id_bits = u128::from(trace).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1;
    SpanHead {
        trace_id: TraceId(id_bits.to_be_bytes()),
        span_id: id(node),
        parent_id: if node == 0 { SpanId::default() } else { id((node - 1) / 3) },
        kind: [SpanKind::Server, SpanKind::Internal, SpanKind::Client][(node % 3) as usize],
        service: ServiceId((node / 6) as u32),
        start: Timestamp(1_000_000 + step * 1_000 - (k + 1) * 900),
        end: Timestamp(1_000_000 + step * 1_000),
        ..SpanHead::default()
    }
}

fn ns_per_span(batches: &[Arc<Batch>]) -> f64 {
    let config = Config { memory_bytes: 8 << 30, grace_ns: 1_000, ..Config::default() };
    let Ok(mut assembler) = Assembler::new(config) else { return f64::NAN };
    let mut out = Vec::new();
    let mut n_spans = 0;
    let begin = cpu_ns();
    for batch in batches {
        let now = batch.spans.last().map_or(Timestamp(0), |head| head.end);
        for span_idx in 0..batch.spans.len() as u32 {
            assembler.push(batch, span_idx, false, now, &mut out);
        }
        for trace in out.drain(..) {
            n_spans += trace.spans.len();
            assembler.recycle(trace);
        }
    }
    (cpu_ns() - begin) / n_spans as f64
}

/// Time this process has run, from the scheduler; where there is none to ask, time that has passed.
fn cpu_ns() -> f64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let passed = BEGIN.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e9;
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(passed)
}

//! What holds for any graph of spans, however wild: parents that are missing, late, themselves or in a
//! ring, duplicates, times that lie. The same check for the corpus and for the fuzz target.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanwise_assembler::{Assembler, Config};
use spanwise_model::{
    Batch, CallSiteId, ClosedTrace, ServiceId, SpanHead, SpanId, SpanKind, StatusCode, Timestamp,
    TraceId,
};
use spanwise_sampler::trace::{
    self, Algorithm, Bound, Budget, Ledger, Settled, Subject, Ticket, TraceSampler, Verdict,
    Waiting,
};
use spanwise_sampler::{Config as SpanConfig, SpanSampler};

/// Share of the traces that may be kept.
const SHARE: f64 = 0.25;
const SECOND_NS: u64 = 1_000_000_000;
/// Bytes of one span, and spans of one request.
const SPAN_BYTES: usize = 8;
const N_PER_REQUEST: usize = 16;

/// The stages that see graphs, and what has come out of them.
struct Stages {
    window: Assembler,
    spans: SpanSampler,
    traces: TraceSampler,
    /// Traces seen and kept, and tickets that wait.
    n_seen: u64,
    n_kept: u64,
    held: BTreeSet<Ticket>,
    n_out: u64,
}

/// Plays spans read from bytes: 8 for each.
pub(crate) fn check_graph(input: &[u8]) {
    let Some((&settings, input)) = input.split_first() else { return };
    let algorithm = Algorithm::ALL[usize::from(settings) % Algorithm::ALL.len()];
    let mut stages = Stages::new(algorithm, settings);
    let mut now = Timestamp::from_secs(1_000_000);
    let mut closed = Vec::new();
    let mut n_in = 0;
    for request in input.chunks(SPAN_BYTES * N_PER_REQUEST) {
        let spans: Vec<SpanHead> =
            request.chunks_exact(SPAN_BYTES).map(|bytes| span(bytes, now)).collect();
        n_in += spans.len() as u64;
        let batch = Arc::new(Batch { spans, ..Batch::default() });
        for (idx, head) in (0..).zip(&batch.spans) {
            let is_early = stages.spans.arrive(head, now).is_some();
            stages.window.push(&batch, idx, is_early, now, &mut closed);
            stages.close(&mut closed, now);
        }
        // The last byte of a request says how long the next one takes.
        let gap_ms = request.last().map_or(0, |&byte| u64::from(byte % 64) * 50);
        now = now.plus_ns(gap_ms * 1_000_000);
        stages.window.tick(now, &mut closed);
        stages.close(&mut closed, now);
        stages.tick(now);
    }
    stages.window.drain(now, &mut closed);
    stages.close(&mut closed, now);
    stages.end(algorithm, n_in, now);
}

/// One of 4 traces, of 32 spans each, of 16 call sites; parents may be any of them or none.
fn span(bytes: &[u8], now: Timestamp) -> SpanHead {
    let &[trace, id, parent, site, kind, start, length, status] = bytes else {
        return SpanHead::default();
    };
    let span_id = |n: u8| SpanId((u64::from(n % 32) + 1).to_be_bytes());
    let is_root = parent >= 128;
    let begin = now.minus_ns(u64::from(start) * 4_000_000);
    SpanHead {
        trace_id: TraceId((u128::from(trace % 4) + 1).to_be_bytes()),
        span_id: span_id(id),
        parent_id: if is_root { SpanId::default() } else { span_id(parent) },
        start: if start == 255 { Timestamp::default() } else { begin },
        // Some end before they start.
        end: if length == 255 { begin.minus_ns(1) } else { begin.plus_ns(1 << (length % 34)) },
        kind: SpanKind::from_otlp((kind % 7).into()),
        status: if status % 8 == 0 { StatusCode::Error } else { StatusCode::Unset },
        site: CallSiteId(u32::from(site % 16)),
        service: ServiceId(u32::from(site % 3)),
        ..SpanHead::default()
    }
}

impl Stages {
    fn new(algorithm: Algorithm, settings: u8) -> Self {
        let config = Config {
            n_spans_per_trace: if settings & 128 == 0 { 10_000 } else { 12 },
            ..Config::default()
        };
        let ledger = Ledger::new(Bound::whole(Budget::share(SHARE))).unwrap();
        Self {
            window: Assembler::new(config).unwrap(),
            spans: SpanSampler::new(SpanConfig::default()).unwrap(),
            traces: TraceSampler::new(trace_config(algorithm), ledger).unwrap(),
            n_seen: 0,
            n_kept: 0,
            held: BTreeSet::new(),
            n_out: 0,
        }
    }

    fn close(&mut self, closed: &mut Vec<ClosedTrace>, now: Timestamp) {
        for trace in closed.drain(..) {
            check_family(&trace);
            self.n_out += trace.spans.len() as u64;
            self.spans.close_trace(&trace.spans, now, &mut Vec::new());
            let scores = self.spans.closed_scores();
            assert_eq!(scores.len(), trace.spans.len());
            let subject =
                Subject { trace: &trace, scores, randomness: None, tenant: 0, sites: None };
            let mut settled = Vec::new();
            self.n_seen += 1;
            let verdict = self.traces.judge(&subject, now, &mut settled);
            self.settle(&settled);
            match verdict {
                Verdict::Keep(keep) => {
                    assert!(keep.tail > 0.0 && keep.tail <= 1.0, "{keep:?}");
                    self.n_kept += 1;
                }
                Verdict::Drop => {}
                Verdict::Hold(ticket) => assert!(self.held.insert(ticket), "a ticket twice"),
            }
            assert!(self.n_kept as f64 <= SHARE * self.n_seen as f64, "the bound is broken");
            self.window.recycle(trace);
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let mut settled = Vec::new();
        self.traces.tick(now, &mut settled);
        self.settle(&settled);
    }

    fn settle(&mut self, settled: &[Settled]) {
        for one in settled {
            assert!(self.held.remove(&one.ticket), "settled twice, or never held");
            self.n_kept += u64::from(one.keep.is_some());
        }
    }

    fn end(mut self, algorithm: Algorithm, n_in: u64, now: Timestamp) {
        let mut settled = Vec::new();
        self.traces.drain(now, &mut settled);
        self.settle(&settled);
        assert!(self.held.is_empty(), "somebody waits for ever");
        assert!(self.n_kept as f64 <= SHARE * self.n_seen as f64, "the bound is broken at the end");
        let stats = self.window.stats();
        assert_eq!((stats.n_open_traces, stats.n_open_spans), (0, 0));
        assert_eq!(self.n_out + stats.n_duplicates, n_in, "every span comes out once");
        let mut bytes = Vec::new();
        self.traces.snapshot(&mut bytes);
        let ledger = Ledger::new(Bound::whole(Budget::share(SHARE))).unwrap();
        let mut again = TraceSampler::new(trace_config(algorithm), ledger).unwrap();
        again.restore(&bytes, now.plus_ns(SECOND_NS)).unwrap();
        let mut same = Vec::new();
        again.snapshot(&mut same);
        assert_eq!(same, bytes, "what was learned survives");
    }
}

fn trace_config(algorithm: Algorithm) -> trace::Config {
    let waiting = Waiting { n_traces: 5, ..Waiting::default() };
    trace::Config { algorithm, waiting, seed: 1 }
}

/// Parents are spans of the same trace, nobody is his own ancestor, and nobody works longer than he
/// lasts.
fn check_family(trace: &ClosedTrace) {
    let n = trace.spans.len();
    let mut ids = BTreeSet::new();
    for span in &trace.spans {
        let head = span.head();
        assert_eq!(head.trace_id, trace.trace_id);
        assert!(ids.insert(head.span_id), "a span twice");
        assert!(span.parent < i32::try_from(n).unwrap(), "a parent beyond the trace");
        if let Some(duration_ns) = head.duration_ns() {
            assert!(span.self_ns <= duration_ns, "{} of {duration_ns}", span.self_ns);
        }
        let mut here = span.parent;
        for _ in 0..n {
            let Ok(idx) = usize::try_from(here) else { break };
            here = trace.spans[idx].parent;
        }
        assert!(here < 0, "a ring");
    }
}

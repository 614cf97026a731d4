//! The order of a trace's spans decides nothing: neither its verdict nor what is learned of it.

use std::sync::Arc;

use spanwise_model::{
    Batch, CallSiteId, CloseReason, ClosedSpan, ClosedTrace, SpanHead, SpanId, StatusCode,
    Timestamp, TraceId,
};
use spanwise_sampler::SpanSampler;
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Ledger, Settled, Subject, TraceSampler, Verdict, Waiting,
};

use super::Draw;

const N_TRACES: u64 = 2_500;
const MS: u64 = 1_000_000;

/// A span of a trace that is yet to be put into an order.
#[derive(Clone, Debug)]
struct Member {
    head: SpanHead,
    self_ns: u64,
    /// Position in the trace as it was made.
    parent: Option<usize>,
}

/// A random tree: some spans are slow or fail, sites repeat, some trees have two roots.
fn members(draw: &mut Draw, now: Timestamp) -> Vec<Member> {
    let trace_id = TraceId((u128::from(draw.bits()) << 64 | u128::from(draw.bits())).to_be_bytes());
    let n = 2 + draw.below(14) as usize;
    let mut members: Vec<Member> = Vec::new();
    for i in 0..n {
        let is_root = i == 0 || (i == 1 && draw.below(50) == 0);
        let parent = (!is_root).then(|| draw.below(i as u64) as usize);
        let above = parent.map_or(0, |parent| members[parent].head.site.0);
        let site = CallSiteId(1 + (3 * above + draw.below(3) as u32) % 20);
        let slower = if draw.below(300) == 0 { 20 } else { 1 };
        let self_ns = slower * (MS / 2 + draw.below(MS) * u64::from(1 + site.0 % 5));
        let parent_id = parent.map_or(SpanId::default(), |parent| members[parent].head.span_id);
        let failed = draw.below(400) == 0;
        let head = SpanHead {
            trace_id,
            span_id: SpanId((draw.bits() | 1).to_be_bytes()),
            parent_id,
            start: now.minus_ns(self_ns * (1 + (n - i) as u64)),
            end: now,
            site,
            status: if failed { StatusCode::Error } else { StatusCode::Unset },
            ..SpanHead::default()
        };
        members.push(Member { head, self_ns, parent });
    }
    members
}

/// The trace with its spans in the order of a key.
fn trace(members: &[Member], now: Timestamp, key: impl Fn(usize) -> u64) -> ClosedTrace {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&i| key(i));
    let place =
        |i: usize| i32::try_from(order.iter().position(|&other| other == i).unwrap()).unwrap();
    let spans = order.iter().map(|&i| members[i].head).collect();
    let batch = Arc::new(Batch { spans, ..Batch::default() });
    let span = |(span_idx, &i): (u32, &usize)| ClosedSpan {
        batch: Arc::clone(&batch),
        span_idx,
        parent: members[i].parent.map_or(-1, place),
        self_ns: members[i].self_ns,
        own_ns: members[i].self_ns,
        gap_ns: None,
        kept_early: false,
    };
    ClosedTrace {
        trace_id: members[0].head.trace_id,
        reason: CloseReason::RootEnded,
        closed_at: now,
        overflowed: false,
        has_root: true,
        spans: (0..).zip(&order).map(span).collect(),
    }
}

/// All verdicts, and what was settled meanwhile.
fn verdicts(algorithm: Algorithm, salt: Option<u64>) -> (Vec<Verdict>, Vec<Settled>) {
    let ledger = Ledger::new(Bound::whole(Budget::share(0.05))).unwrap();
    let config = Config { algorithm, waiting: Waiting::default(), seed: 1 };
    let mut traces = TraceSampler::new(config, ledger).unwrap();
    let mut spans = SpanSampler::new(spanwise_sampler::Config::default()).unwrap();
    let (mut verdicts, mut settled) = (Vec::new(), Vec::new());
    let mut draw = Draw(5);
    let mut now = Timestamp::from_secs(1_000_000);
    for _ in 0..N_TRACES {
        now = now.plus_ns(100 * MS);
        let members = members(&mut draw, now);
        let key = |i: usize| salt.map_or(i as u64, |salt| Draw(salt ^ (i as u64) << 20).bits());
        let trace = trace(&members, now, key);
        for span in &trace.spans {
            spans.arrive(span.head(), now);
        }
        spans.close_trace(&trace.spans, now, &mut Vec::new());
        let scores = spans.closed_scores();
        let subject = Subject { trace: &trace, scores, randomness: None, tenant: 0, sites: None };
        verdicts.push(traces.judge(&subject, now, &mut settled));
    }
    traces.drain(now, &mut settled);
    (verdicts, settled)
}

/// Scenario: the same traces, their spans as they were made and in two other orders.
/// Guarantees: every verdict is the same in all that it says, of every algorithm.
#[test]
fn the_order_of_spans_decides_nothing() {
    for algorithm in Algorithm::ALL {
        let expected = verdicts(algorithm, None);
        let n_at_once = expected.0.iter().filter(|one| matches!(one, Verdict::Keep(_))).count();
        let n_kept = n_at_once + expected.1.iter().filter(|one| one.keep.is_some()).count();
        assert!(n_kept > 100, "{}: {n_kept}", algorithm.as_str());
        for salt in [77, 78] {
            assert_eq!(verdicts(algorithm, Some(salt)), expected, "{}", algorithm.as_str());
        }
    }
}

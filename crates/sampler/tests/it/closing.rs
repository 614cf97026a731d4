//! Whole traces: shares, blame, early keeps and spans that cannot be judged.

use std::sync::Arc;

use spanwise_model::{Batch, CallSiteId, ClosedSpan, SpanHead, Timestamp};
use spanwise_sampler::{Config, SpanSampler};

use crate::stream::{CART, PAY, SECOND_NS, START, Stream};

/// Root `Pay` waits for `GetCart`, which is the slow one.
fn trace(stream: &mut Stream, cart_ns: u64, now: Timestamp) -> Vec<ClosedSpan> {
    let mut root = stream.span(PAY, 150_000_000 + cart_ns, now);
    root.self_ns = 150_000_000;
    let mut child = stream.span(CART, cart_ns, now);
    child.parent = 1;
    vec![child, root]
}

fn warm() -> (Stream, Timestamp) {
    let mut stream = Stream::new(Config::default(), 1);
    for i in 0..20_000 {
        let cart_ns = stream.latency_ns(CART);
        let now = START.plus_ns(i * SECOND_NS / 20);
        let trace = trace(&mut stream, cart_ns, now);
        stream.sampler.close_trace(&trace, now, &mut Vec::new());
    }
    (stream, START.plus_ns(1000 * SECOND_NS))
}

#[test]
fn the_cause_is_the_slow_child_and_the_impact_reaches_the_root() {
    let (mut stream, now) = warm();
    let mut kept = Vec::new();
    let slow = trace(&mut stream, 900_000_000, now);
    stream.sampler.close_trace(&slow, now, &mut kept);
    let [child, root] = stream.sampler.closed_scores() else { panic!("two spans") };
    assert!(child.cause > 0.0 && root.cause < -4.0, "{child:?} {root:?}");
    assert!((root.impact - (child.impact - 1.0)).abs() < 1e-6);
    assert!((child.share - (900.1_f32 / 1050.1).log2()).abs() < 1e-3);
    assert_eq!(kept.len(), 1);
    let (position, reason) = kept[0];
    assert_eq!((position, reason.site), (0, slow[0].head().site));
    assert!(reason.tail < 0.01 && !reason.cold);
    assert!((18_000_000..22_000_000).contains(&reason.median_ns), "{}", reason.median_ns);
    assert!((35_000_000..50_000_000).contains(&reason.p99_ns), "{}", reason.p99_ns);
}

#[test]
fn a_span_kept_early_is_not_kept_twice() {
    let (mut stream, now) = warm();
    let mut kept = Vec::new();
    let mut slow = trace(&mut stream, 900_000_000, now);
    slow[0].kept_early = true;
    stream.sampler.close_trace(&slow, now, &mut kept);
    assert_eq!(kept, []);
}

#[test]
fn spans_that_cannot_be_judged_teach_nothing_and_are_not_kept() {
    let mut sampler = SpanSampler::new(Config::default()).unwrap();
    let good = SpanHead { start: START, end: START.plus_ns(5), ..SpanHead::default() };
    let heads = [
        SpanHead { end: START, start: START.plus_ns(1), site: CallSiteId(0), ..good },
        SpanHead { start: Timestamp(0), site: CallSiteId(0), ..good },
        good,
    ];
    for head in heads {
        assert_eq!(sampler.arrive(&head, START), None);
        let batch = Arc::new(Batch { spans: vec![head], ..Batch::default() });
        let (span_idx, parent, self_ns, own_ns, gap_ns, kept_early) = (0, 9, 0, 0, None, false);
        let span = ClosedSpan { batch, span_idx, parent, self_ns, own_ns, gap_ns, kept_early };
        assert_eq!(sampler.close(&span, START), None);
    }
    assert_eq!(sampler.site(CallSiteId(0)), None);
    assert_eq!(sampler.stats().n_models, 0);
}

#[test]
fn models_are_bounded_and_the_oldest_make_room() {
    let config = Config { n_models_max: 100, ..Config::default() };
    let mut sampler = SpanSampler::new(config).unwrap();
    for i in 0..1000 {
        let now = START.plus_ns(u64::from(i) * SECOND_NS);
        let head = SpanHead {
            start: now.minus_ns(1_000_000),
            end: now,
            site: CallSiteId(i),
            ..SpanHead::default()
        };
        sampler.arrive(&head, now);
    }
    let stats = sampler.stats();
    assert_eq!((stats.n_models, stats.n_evicted), (100, 900));
    assert!(sampler.site(CallSiteId(999)).is_some());
    assert!(stats.heap_bytes < 100 * 12_000, "{}", stats.heap_bytes);
}

#[test]
fn the_same_seed_and_stream_give_the_same_bits() {
    let run = || {
        let (mut stream, now) = warm();
        let (_, scores) = stream.send(CART, 123_456_789, now);
        (scores.cause.to_bits(), stream.sampler.stats())
    };
    assert_eq!(run(), run());
}

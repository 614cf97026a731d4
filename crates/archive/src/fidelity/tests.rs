use std::sync::Arc;

use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value};
use spanwise_otlp::RequestBuilder;

use super::*;
use crate::traces::Builder;

/// Scores are rounded to 24 bits.
const TOLERANCE: f64 = 1e-7;
const MINUTE_NS: u64 = 60_000_000_000;
const BEGIN_NS: u64 = 1_763_800_200_000_000_000;

/// A trace of two spans: a shop and a cart below it.
#[derive(Clone, Copy)]
struct Order {
    at_ns: u64,
    cart_us: u64,
    shop_us: u64,
    failed: bool,
    region: &'static str,
}

const ORDER: Order =
    Order { at_ns: BEGIN_NS, cart_us: 400, shop_us: 1_000, failed: false, region: "eu" };

fn window(orders: &[Order]) -> Traces {
    let mut requests = RequestBuilder::new();
    let mut builder = Builder::new();
    for (n, order) in orders.iter().enumerate() {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
        let status = if order.failed { StatusCode::Error } else { StatusCode::Unset };
        let span = |service: &str, own: u8, parent: SpanId, from_us: u64, us: u64| SpanRecord {
            trace_id: TraceId(id),
            span_id: SpanId([own; 8]),
            parent_id: parent,
            service: Arc::from(service),
            instance: Arc::from(""),
            operation: Arc::from("order"),
            kind: SpanKind::Server,
            start: Timestamp(order.at_ns + from_us * 1_000),
            end: Timestamp(order.at_ns + (from_us + us) * 1_000),
            status,
            trace_state: Arc::from(""),
            attributes: vec![
                (Arc::from("region"), Value::Str(Arc::from(order.region))),
                (Arc::from("tier"), Value::Str(Arc::from(&order.region[..1]))),
                (Arc::from("vip"), Value::Bool(order.region == "us")),
            ],
            events: Vec::new(),
        };
        requests.push(&span("shop", 1, SpanId::default(), 0, order.shop_us));
        requests.push(&span("cart", 2, SpanId([1; 8]), 100, order.cart_us));
        if requests.n_spans() > 400 {
            builder.push(requests.finish()).unwrap();
        }
    }
    builder.push(requests.finish()).unwrap();
    builder.finish(|_| false).unwrap().traces
}

/// `n` orders of varying duration, of which every `every`th failed.
fn orders(n: u64, every: u64) -> Vec<Order> {
    let order = |i: u64| Order {
        at_ns: BEGIN_NS + i * 100_000_000,
        cart_us: 200 + i % 17 * 20,
        shop_us: 1_000 + i % 29 * 100,
        failed: i.is_multiple_of(every),
        region: ["eu", "us", "ap"][(i % 3) as usize],
    };
    (0..n).map(order).collect()
}

fn check(fidelity: &Fidelity, metric: Metric, expected: f64) {
    let found = fidelity.get(metric).unwrap();
    assert!((found - expected).abs() < TOLERANCE, "{}: {found}, not {expected}", metric.name());
}

#[test]
fn a_window_answers_its_own_queries_perfectly() {
    let real = window(&orders(1_200, 20));
    let score = Scorer::new(&real).score(&real, 1.0);
    for (metric, value) in score.iter() {
        let best = match metric {
            // No call site or edge here has 2,000 spans.
            Metric::P99RelCommon | Metric::CorrMaeCommon => None,
            metric => Some(f64::from(metric.is_greater_better())),
        };
        assert_eq!(value, best, "{}", metric.name());
    }
}

#[test]
fn nothing_generated_is_the_worst_answer_and_no_panic() {
    let real = window(&orders(1_200, 20));
    let score = Scorer::new(&real).score(&Traces::default(), 1.0);
    for metric in [Metric::Q1, Metric::Q3, Metric::Q4Err, Metric::TopologyRecall] {
        check(&score, metric, 0.0);
    }
    for metric in [Metric::Q2, Metric::W1, Metric::P50Rel, Metric::AttrTv, Metric::P95MinuteRel] {
        check(&score, metric, 1.0);
    }
    assert_eq!(Scorer::new(&Traces::default()).score(&real, 1.0).get(Metric::W1), None);
}

#[test]
fn a_false_alarm_in_a_group_without_real_errors_counts() {
    let mut calm = orders(600, 1_000_000);
    calm[0].failed = false;
    let mut real = calm.clone();
    for order in &mut real[..20] {
        order.failed = true;
    }
    let mut other = real.clone();
    // An hour later, where the real window has no error at all.
    other.extend((0..20).map(|i| Order {
        at_ns: BEGIN_NS + 60 * MINUTE_NS + i,
        failed: true,
        ..ORDER
    }));
    let score = Scorer::new(&window(&real)).score(&window(&other), 1.0);
    // Per service: two groups are right, two are false alarms.
    check(&score, Metric::Q3, 2.0 * 2.0 / (2.0 * 2.0 + 2.0));
    check(&score, Metric::Q3RealGroups, 1.0);
}

#[test]
fn counts_of_a_sample_are_scaled() {
    let real = orders(1_200, 7);
    let fifth: Vec<Order> =
        real.iter().copied().filter(|order| order.at_ns % 500_000_000 == 0).collect();
    assert_eq!(fifth.len(), 240);
    let mut scorer = Scorer::new(&window(&real));
    let scaled = scorer.score(&window(&fifth), 5.0);
    let unscaled = scorer.score(&window(&fifth), 1.0);
    assert!(scaled.get(Metric::Q4Ok).unwrap() > 0.95);
    assert!(unscaled.get(Metric::Q4Ok).unwrap() < 0.4);
}

#[test]
fn slower_spans_show_in_every_figure_of_timing() {
    let real = orders(1_200, 20);
    let mut slow = real.clone();
    for order in &mut slow {
        order.cart_us *= 2;
    }
    let score = Scorer::new(&window(&real)).score(&window(&slow), 1.0);
    // One of two call sites is off by 100 %.
    check(&score, Metric::P50Rel, 0.5);
    check(&score, Metric::P99Rel, 0.5);
    check(&score, Metric::TraceW1, 0.0);
    check(&score, Metric::P95MinuteRel, 0.0);
    assert!(score.get(Metric::W1).unwrap() > 1.0);
    assert!(score.get(Metric::Q2).unwrap() > 0.1);
    check(&score, Metric::TopologyRecall, 1.0);
}

#[test]
fn attributes_drawn_independently_show_in_pairs_only() {
    let real = orders(1_200, 20);
    let mut mixed = real.clone();
    let n = mixed.len();
    // Rotating regions keeps their shares; pairs stay joined to each other.
    for (i, order) in mixed.iter_mut().enumerate() {
        order.region = real[(i + 1) % n].region;
    }
    let mut scorer = Scorer::new(&window(&real));
    let score = scorer.score(&window(&mixed), 1.0);
    check(&score, Metric::AttrTv, 0.0);
    check(&score, Metric::Q4Ok, 1.0);
    for order in &mut mixed {
        order.region = "eu";
    }
    let score = scorer.score(&window(&mixed), 1.0);
    // `tier` says what `region` says and is not counted again; one pair is left, and two thirds of
    // it are elsewhere.
    check(&score, Metric::AttrTv, 2.0 / 3.0);
}

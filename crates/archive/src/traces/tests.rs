//! Windows built from requests.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value};
use spanwise_otlp::RequestBuilder;

use super::{Builder, NO_PARENT, Place, Window};

fn span(trace: u8, id: u8, parent: u8, times: (u64, u64)) -> SpanRecord {
    SpanRecord {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_id: SpanId([parent; 8]),
        service: Arc::from("shop"),
        instance: Arc::from(format!("shop-{}", id % 2).as_str()),
        operation: Arc::from(format!("op {id}").as_str()),
        kind: SpanKind::Server,
        start: Timestamp(times.0),
        end: Timestamp(times.1),
        status: if id == 3 { StatusCode::Error } else { StatusCode::Unset },
        trace_state: Arc::from(""),
        attributes: vec![(Arc::from("n"), Value::Int(i64::from(id)))],
        events: Vec::new(),
    }
}

fn request(spans: &[SpanRecord]) -> Bytes {
    let mut builder = RequestBuilder::new();
    for span in spans {
        builder.push(span);
    }
    builder.finish()
}

fn window(spans: &[SpanRecord]) -> Window {
    let mut builder = Builder::new();
    builder.push(request(spans)).unwrap();
    builder.finish(|id| id.0[0] == 99).unwrap()
}

#[test]
fn spans_stand_in_preorder_with_children_by_start() {
    let spans = [
        span(1, 4, 2, (30, 40)),
        span(1, 3, 1, (60, 70)),
        span(1, 2, 1, (20, 50)),
        span(1, 1, 0, (10, 90)),
        span(2, 1, 0, (5, 6)),
    ];
    let traces = window(&spans).traces;
    assert_eq!(traces.offsets, [0, 1, 5]);
    assert_eq!(traces.start, [5, 10, 20, 30, 60]);
    assert_eq!(traces.parent, [NO_PARENT, NO_PARENT, 1, 2, 1]);
    assert_eq!(traces.depth, [0, 0, 1, 2, 1]);
    assert!(traces.is_error(4) && !traces.is_error(3));
    assert_eq!((traces.nodes.len(), traces.pods.len()), (4, 2));
    let column = traces.column(Place::Span, "n").unwrap();
    assert_eq!(column.spans, [0, 1, 2, 3, 4]);
    assert_eq!(column.of(4).map(|v| traces.values.get(v)), Some(spanwise_model::ValueRef::Int(3)));
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let mut spans = [span(1, 1, 0, (10, 90)), span(1, 2, 1, (20, 50)), span(1, 3, 2, (20, 30))];
    let one = window(&spans).traces;
    spans.reverse();
    let two = window(&spans).traces;
    assert_eq!((one.start, one.end, one.parent), (two.start, two.end, two.parent));
}

#[test]
fn what_is_not_one_rooted_tree_is_set_apart() {
    let check = |spans: &[SpanRecord]| {
        let window = window(spans);
        assert_eq!(window.traces.n_spans(), 0);
        assert_eq!(window.apart, [TraceId([1; 16])]);
    };
    check(&[span(1, 1, 0, (1, 2)), span(1, 2, 0, (1, 2))]);
    check(&[span(1, 1, 0, (1, 2)), span(1, 1, 1, (1, 2))]);
    check(&[span(1, 1, 2, (1, 2)), span(1, 2, 1, (1, 2))]);
    check(&[span(1, 1, 0, (1, 2)), span(1, 2, 3, (1, 2)), span(1, 3, 2, (1, 2))]);
    check(&[span(1, 1, 0, (5, 2))]);
    check(&[span(1, 1, 0, (0, 2))]);
}

#[test]
fn a_trace_whose_root_is_elsewhere_is_a_tree() {
    let window = window(&[span(1, 1, 9, (1, 2)), span(1, 2, 1, (1, 2))]);
    assert_eq!(window.traces.parent, [NO_PARENT, 0]);
}

#[test]
fn kept_traces_are_left_out_and_named() {
    let window = window(&[span(99, 1, 0, (1, 2)), span(2, 1, 0, (1, 2))]);
    assert_eq!(window.kept, [TraceId([99; 16])]);
    assert_eq!(window.traces.n_traces(), 1);
}

#[test]
fn no_spans_make_an_empty_window() {
    let window = window(&[]);
    assert_eq!((window.traces.n_traces(), window.traces.offsets), (0, vec![0]));
}

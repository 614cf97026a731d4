//! Records to requests, and kept spans to requests.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use prost::Message as _;
use spanwise_model::{
    AttributeSource as _, EventRecord, SpanId, SpanKind, SpanRecord, StatusCode, Timestamp,
    TraceId, Value, ValueRef,
};
use spanwise_otlp::{
    Decoded, KeptSpan, Limits, RequestBuilder, WireAttributes, decode, reframe, span_attributes,
};

fn record(service: &str, nth: u8) -> SpanRecord {
    SpanRecord {
        trace_id: TraceId([nth; 16]),
        span_id: SpanId([nth; 8]),
        parent_id: SpanId::default(),
        service: service.into(),
        instance: format!("{service}-1").into(),
        operation: "GetCart".into(),
        kind: SpanKind::Server,
        start: Timestamp(1_000),
        end: Timestamp(5_000),
        status: StatusCode::Error,
        trace_state: "ot=th:8".into(),
        attributes: vec![
            ("s".into(), Value::Str("text".into())),
            ("b".into(), Value::Bool(true)),
            ("i".into(), Value::Int(-7)),
            ("d".into(), Value::Double(f64::INFINITY)),
        ],
        events: vec![EventRecord {
            at: Timestamp(2_000),
            name: "exception".into(),
            attributes: vec![("exception.type".into(), Value::Str("E".into()))],
        }],
    }
}

#[test]
fn a_record_comes_back_as_it_was() {
    let mut builder = RequestBuilder::new();
    builder.push(&record("cart", 1));
    assert_eq!(builder.n_spans(), 1);
    let bytes = builder.finish();
    assert!(crate::oracle::check_protobuf(&bytes));
    let Decoded { batch, .. } = decode(bytes.clone(), &Limits::default()).unwrap();
    let head = &batch.spans[0];
    assert_eq!((head.start, head.end), (Timestamp(1_000), Timestamp(5_000)));
    assert_eq!((head.kind, head.status), (SpanKind::Server, StatusCode::Error));
    assert_eq!((batch.service(head), batch.instance(head)), ("cart", &b"cart-1"[..]));
    assert_eq!((batch.name(head), head.threshold), ("GetCart", 1 << 55));
    let get = |key| WireAttributes.attribute(&batch, 0, key);
    assert_eq!(get("s"), Some(ValueRef::Str("text")));
    assert_eq!(get("b"), Some(ValueRef::Bool(true)));
    assert_eq!(get("i"), Some(ValueRef::Int(-7)));
    assert_eq!(get("d"), Some(ValueRef::Double(f64::INFINITY)));
    let request = Request::decode(bytes).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.events[0].name, "exception");
    assert_eq!((span.events[0].time_unix_nano, span.events[0].attributes.len()), (2_000, 1));
}

#[test]
fn records_are_grouped_by_service_and_the_builder_starts_over() {
    let mut builder = RequestBuilder::new();
    for (nth, service) in ["cart", "pay", "cart", ""].into_iter().enumerate() {
        builder.push(&record(service, nth as u8 + 1));
    }
    let request = Request::decode(builder.finish()).unwrap();
    let n_spans: Vec<usize> =
        request.resource_spans.iter().map(|rs| rs.scope_spans[0].spans.len()).collect();
    assert_eq!(n_spans, [2, 1, 1]);
    assert_eq!((builder.n_spans(), builder.n_bytes()), (0, 0));
    assert!(builder.finish().is_empty());
}

/// Scenario: spans of two batches are kept out of order, one resource in both batches.
/// Guarantees: the resource stands once, `order` says where each span went, a stamp stands behind
/// the original bytes.
#[test]
fn kept_spans_are_grouped_across_batches() {
    let batch_of = |records: &[SpanRecord]| {
        let mut builder = RequestBuilder::new();
        for record in records {
            builder.push(record);
        }
        decode(builder.finish(), &Limits::default()).unwrap().batch
    };
    let first = batch_of(&[record("cart", 1), record("pay", 2), record("cart", 3)]);
    let second = batch_of(&[record("cart", 4)]);
    let stamp = span_attributes(&[("spanwise.score".into(), Value::Double(0.5))]);
    let kept = [
        KeptSpan { batch: &first, span_idx: 1, stamp: &[] },
        KeptSpan { batch: &first, span_idx: 0, stamp: &stamp },
        KeptSpan { batch: &first, span_idx: 99, stamp: &[] },
        KeptSpan { batch: &first, span_idx: 2, stamp: &[] },
        KeptSpan { batch: &second, span_idx: 0, stamp: &[] },
    ];
    let reframed = reframe(&kept);
    let Decoded { batch, .. } = decode(reframed.bytes, &Limits::default()).unwrap();
    assert_eq!(batch.resources.len(), 2);
    assert_eq!(batch.spans.len(), reframed.order.len());
    for (head, position) in batch.spans.iter().zip(&reframed.order) {
        let KeptSpan { batch: from, span_idx, stamp } = kept[*position as usize];
        let original = &from.spans[span_idx as usize];
        let expected = [original.raw.of(&from.bytes), stamp].concat();
        assert_eq!(head.raw.of(&batch.bytes), expected);
        assert_eq!(batch.service(head), from.service(original));
    }
    let mut order = reframed.order.clone();
    order.sort_unstable();
    assert_eq!(order, [0, 1, 3, 4]);
    let stamped = reframed.order.iter().position(|at| *at == 1).unwrap() as u32;
    let score = WireAttributes.attribute(&batch, stamped, "spanwise.score");
    assert_eq!(score, Some(ValueRef::Double(0.5)));
}

#[test]
fn nothing_kept_is_an_empty_request() {
    let reframed = reframe(&[]);
    assert!(reframed.bytes.is_empty() && reframed.order.is_empty());
    let columns = Arc::new(spanwise_model::Batch {
        spans: vec![spanwise_model::SpanHead::default()],
        ..spanwise_model::Batch::default()
    });
    let kept = [KeptSpan { batch: &columns, span_idx: 0, stamp: &[] }];
    assert!(reframe(&kept).bytes.is_empty(), "a span without bytes has nothing to send");
}

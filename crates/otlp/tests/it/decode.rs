//! What the walk makes of requests built by prost.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;
use spanwise_model::{
    AttributeSource as _, SpanFields as _, SpanFlags, SpanKind, StatusCode, ValueRef,
};
use spanwise_otlp::{Decoded, Limits, WireAttributes, decode};

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn valid_span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GetCart".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 3_500,
        attributes: vec![text("http.route", "/cart")],
        ..Span::default()
    }
}

fn request_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![
            text("host.name", "h1"),
            text("service.name", "cart"),
            text("k8s.pod.name", "cart-1"),
        ],
        ..Resource::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn decode_spans(spans: Vec<Span>) -> Decoded {
    decode(request_of(spans).encode_to_vec().into(), &Limits::default()).unwrap()
}

#[test]
fn a_span_keeps_its_fixed_fields_and_finds_its_attributes() {
    let status = Some(Status { code: 2, ..Status::default() });
    let span = Span { status, trace_state: "ot=th:8".to_owned(), ..valid_span() };
    let Decoded { batch, report } = decode_spans(vec![span.clone()]);
    let head = &batch.spans[0];
    assert_eq!((head.kind, head.status), (SpanKind::Server, StatusCode::Error));
    assert_eq!((head.duration_ns(), head.threshold), (Some(2_500), 1 << 55));
    assert_eq!((batch.service(head), batch.name(head)), ("cart", "GetCart"));
    assert_eq!(batch.instance(head), b"cart-1");
    assert_eq!(head.raw.of(&batch.bytes), span.encode_to_vec());
    assert_eq!((report.n_spans, report.n_rejected(), report.message()), (1, 0, None));
    let get = |key| WireAttributes.attribute(&batch, 0, key);
    assert_eq!(get("http.route"), Some(ValueRef::Str("/cart")));
    assert_eq!(get("host.name"), Some(ValueRef::Str("h1")));
    assert_eq!(get("nothing"), None);
}

#[test]
fn span_and_resource_are_told_apart_and_fields_beyond_the_head_are_found() {
    let span = Span { trace_state: "a=b,ot=th:8".to_owned(), flags: 0x301, ..valid_span() };
    let batch = decode_spans(vec![span]).batch;
    let of_span = |key| WireAttributes.span_attribute(&batch, 0, key);
    let of_resource = |key| WireAttributes.resource_attribute(&batch, 0, key);
    assert_eq!(of_span("http.route"), Some(ValueRef::Str("/cart")));
    assert_eq!((of_span("host.name"), of_resource("http.route")), (None, None));
    assert_eq!(of_resource("host.name"), Some(ValueRef::Str("h1")));
    assert_eq!(WireAttributes.trace_state(&batch, 0), "a=b,ot=th:8");
    assert_eq!(WireAttributes.flags(&batch, 0), 0x301);
    assert_eq!((WireAttributes.trace_state(&batch, 9), WireAttributes.flags(&batch, 9)), ("", 0));
    assert_eq!(WireAttributes.resource_attribute(&batch, 9, "host.name"), None);
}

#[test]
fn a_bad_id_rejects_its_span_alone() {
    let spans = vec![
        valid_span(),
        Span { trace_id: vec![0; 16], ..valid_span() },
        Span { trace_id: vec![1; 15], ..valid_span() },
        Span { span_id: vec![], ..valid_span() },
        Span { parent_span_id: vec![1; 7], ..valid_span() },
        Span { parent_span_id: vec![0; 8], ..valid_span() },
        Span::default(),
    ];
    let Decoded { batch, report } = decode_spans(spans);
    assert_eq!((batch.spans.len(), report.n_rejected()), (2, 5));
    assert_eq!((report.n_bad_trace_id, report.n_bad_span_id, report.n_bad_parent_id), (3, 1, 1));
    assert!(batch.spans[1].is_root());
}

#[test]
fn absurd_times_are_kept_and_flagged() {
    let spans = vec![
        Span { start_time_unix_nano: 0, ..valid_span() },
        Span { end_time_unix_nano: 999, ..valid_span() },
        Span { end_time_unix_nano: u64::MAX, ..valid_span() },
        valid_span(),
    ];
    let Decoded { batch, report } = decode_spans(spans);
    let flagged: Vec<bool> =
        batch.spans.iter().map(|head| head.flags.contains(SpanFlags::INVALID_TIME)).collect();
    assert_eq!(flagged, [true, true, true, false]);
    assert_eq!((report.n_invalid_time, report.n_rejected()), (3, 0));
}

#[test]
fn bad_links_are_counted_and_stay() {
    let good = span::Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..span::Link::default() };
    let span = Span { links: vec![good, span::Link::default()], ..valid_span() };
    let Decoded { batch, report } = decode_spans(vec![span]);
    assert_eq!((report.n_bad_links, report.n_rejected()), (1, 0));
    assert!(batch.spans[0].flags.contains(SpanFlags::HAS_LINKS));
    assert_eq!(report.message().unwrap(), "links with invalid ids ignored: 1");
}

#[test]
fn stated_randomness_is_noted() {
    let noted = |trace_state: &str| {
        let span = Span { trace_state: trace_state.to_owned(), ..valid_span() };
        let Decoded { batch, .. } = decode_spans(vec![span]);
        batch.spans[0].flags.contains(SpanFlags::STATED_RANDOMNESS)
    };
    assert!(noted("ot=th:8;rv:0123456789abcd"));
    assert!(!noted("ot=th:8;rv:0123"), "not a randomness");
    assert!(!noted("other=rv:0123456789abcd"));
    assert!(!noted(""));
}

#[test]
fn a_call_with_many_messages_is_a_stream() {
    let message = span::Event { name: "message".to_owned(), ..span::Event::default() };
    let unary = Span { events: vec![message.clone(); 2], ..valid_span() };
    let stream = Span { events: vec![message; 3], ..valid_span() };
    let upgrade = Span { attributes: vec![text("url.scheme", "wss")], ..valid_span() };
    let Decoded { batch, .. } = decode_spans(vec![unary, stream, upgrade]);
    let streaming: Vec<bool> =
        batch.spans.iter().map(|head| head.flags.contains(SpanFlags::STREAMING)).collect();
    assert_eq!(streaming, [false, true, true]);
}

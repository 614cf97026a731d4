//! Recorded requests made to look new.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use prost::Message as _;
use spanwise_model::TraceId;
use spanwise_otlp::{DecodeError, Limits, Shift, shift, shift_each};

fn request_of(span: Span) -> Request {
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Request { resource_spans }
}

fn shifted(span: Span, by: Shift) -> Span {
    let bytes = request_of(span).encode_to_vec();
    let moved = shift(&bytes, by, &Limits::default()).unwrap();
    assert_eq!(moved.len(), bytes.len());
    let mut request = Request::decode(moved).unwrap();
    request.resource_spans[0].scope_spans[0].spans.swap_remove(0)
}

fn recorded() -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        parent_span_id: vec![9; 8],
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 1_250,
        events: vec![span::Event { time_unix_nano: 1_100, ..span::Event::default() }],
        links: vec![span::Link { trace_id: vec![7; 16], ..span::Link::default() }],
        ..Span::default()
    }
}

#[test]
fn times_move_together_and_nothing_else_changes() {
    let moved = shifted(recorded(), Shift { delta_ns: 500, id_key: 0 });
    let mut expected = recorded();
    expected.start_time_unix_nano = 1_500;
    expected.end_time_unix_nano = 1_750;
    expected.events[0].time_unix_nano = 1_600;
    assert_eq!(moved, expected);
}

#[test]
fn trace_ids_are_rekeyed_in_their_first_half_and_in_links_too() {
    let moved = shifted(recorded(), Shift { delta_ns: 0, id_key: 0xff });
    let expected = [[7; 7].as_slice(), &[0xf8], &[7; 8]].concat();
    assert_eq!((&moved.trace_id, &moved.links[0].trace_id), (&expected, &expected));
    assert_eq!((moved.span_id, moved.parent_span_id), (vec![8; 8], vec![9; 8]));
}

#[test]
fn an_id_stays_valid_or_invalid() {
    let key = Shift { delta_ns: 0, id_key: u64::from_be_bytes([7; 8]) };
    let half = [[7; 8], [0; 8]].concat();
    for id in [vec![0; 16], half, vec![7; 15], vec![]] {
        let moved = shifted(Span { trace_id: id.clone(), ..recorded() }, key);
        assert_eq!(moved.trace_id, id);
    }
}

#[test]
fn unset_times_stay_unset_and_others_saturate() {
    let times = |start, end, delta_ns| {
        let span = Span { start_time_unix_nano: start, end_time_unix_nano: end, ..recorded() };
        let moved = shifted(span, Shift { delta_ns, id_key: 0 });
        (moved.start_time_unix_nano, moved.end_time_unix_nano)
    };
    assert_eq!(times(0, 1_250, 500), (0, 1_750));
    assert_eq!(times(1_000, 1_250, -2_000), (1, 1));
    assert_eq!(times(1_000, u64::MAX - 1, 500), (1_500, u64::MAX));
}

/// Scenario: two traces in one request, each with an amount of its own.
/// Guarantees: every span is asked for with its recorded id and moves by its own trace's amount.
#[test]
fn each_trace_may_move_by_its_own_amount() {
    let other = Span { trace_id: vec![5; 16], ..recorded() };
    let mut request = request_of(recorded());
    request.resource_spans[0].scope_spans[0].spans.push(other);
    let mut asked = Vec::new();
    let mut delta = |trace: TraceId| {
        asked.push(trace.0[0]);
        if trace.0[0] == 7 { 100 } else { 2_000 }
    };
    let bytes = request.encode_to_vec();
    let moved = shift_each(&bytes, 1, &Limits::default(), &mut delta).unwrap();
    let moved = Request::decode(moved).unwrap();
    let spans = &moved.resource_spans[0].scope_spans[0].spans;
    let starts: Vec<u64> = spans.iter().map(|span| span.start_time_unix_nano).collect();
    assert_eq!((starts, asked), (vec![1_100, 3_000], vec![7, 5]));
    assert_eq!(spans[1].events[0].time_unix_nano, 3_100);
}

#[test]
fn what_cannot_be_walked_is_refused() {
    let bytes = request_of(recorded()).encode_to_vec();
    let error = shift(&bytes[..20], Shift::default(), &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { .. }));
    let limits = Limits { request_bytes: 10, ..Limits::default() };
    assert!(shift(&bytes, Shift::default(), &limits).unwrap_err().is_oversize());
}

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId};
use spanwise_otlp::{Limits, RequestBuilder, decode};

use super::{Baseline, Codec, Recording, periods};

const BEGIN_NS: u64 = 1_763_800_000_000_000_000;

/// Traces of a proxy and a shop behind it, one a second; every 20th failed, the slower the later.
/// Every 10th asks for `/rare`.
fn requests(n_traces: u64) -> Vec<Bytes> {
    let mut builder = RequestBuilder::new();
    let mut requests = Vec::new();
    for n in 0..n_traces {
        let mut trace_id = [7; 16];
        trace_id[8..].copy_from_slice(&n.to_be_bytes());
        let span = |service: &str, operation: &str, own: u8, parent: u8| SpanRecord {
            trace_id: TraceId(trace_id),
            span_id: SpanId([own; 8]),
            parent_id: SpanId([parent; 8]),
            service: Arc::from(service),
            instance: Arc::from(""),
            operation: Arc::from(operation),
            kind: SpanKind::Server,
            start: Timestamp(BEGIN_NS + n * 1_000_000_000),
            end: Timestamp(BEGIN_NS + n * 1_000_000_000 + 1_000 * (n + 1)),
            status: if n % 20 == 0 { StatusCode::Error } else { StatusCode::Unset },
            trace_state: Arc::from(""),
            attributes: Vec::new(),
            events: Vec::new(),
        };
        builder.push(&span("proxy", "ingress", 1, 0));
        builder.push(&span("shop", if n % 10 == 5 { "/rare" } else { "/cart" }, 2, 1));
        if builder.n_spans() >= 300 {
            requests.push(builder.finish());
        }
    }
    requests.push(builder.finish());
    requests
}

fn recording(n_traces: u64) -> Recording {
    Recording::read(requests(n_traces)).unwrap()
}

#[test]
fn samples_are_whole_traces_in_requests_of_512_spans_by_end() {
    let recording = recording(1_000);
    assert_eq!((recording.n_traces(), recording.n_spans()), (1_000, 2_000));
    let kept = Baseline::Head(2).keep(&recording, 1);
    assert_eq!(kept.len(), 500);
    let encoded = recording.encode(&kept);
    let mut ends = Vec::new();
    let mut n_spans = Vec::new();
    for request in &encoded {
        let batch = decode(request.clone(), &Limits::default()).unwrap().batch;
        n_spans.push(batch.spans.len());
        ends.push(batch.spans.iter().map(|span| span.end.as_ns()).min().unwrap());
    }
    assert_eq!(n_spans, [512, 488]);
    assert!(ends.is_sorted());
    let again = Recording::read(encoded).unwrap();
    assert_eq!((again.n_traces(), again.n_spans()), (500, 1_000));
}

#[test]
fn tail_samplers_keep_what_failed_and_what_was_slow() {
    let recording = recording(1_000);
    let failed = Baseline::TailError.keep(&recording, 0);
    assert_eq!(failed, (0..1_000).step_by(20).collect::<Vec<u32>>());
    let slow = Baseline::TailLatency.keep(&recording, 0);
    assert_eq!(slow, (951..1_000).collect::<Vec<u32>>());
}

#[test]
fn an_entry_is_what_stands_behind_the_proxy() {
    let recording = recording(20);
    assert_eq!(recording.entry(0), Some((&b"shop"[..], &b"/cart"[..])));
    assert_eq!(recording.entry(5), Some((&b"shop"[..], &b"/rare"[..])));
    assert_eq!(recording.first(5).unwrap().n_traces(), 5);
}

#[test]
fn periods_share_no_trace_and_hold_back_an_operation_for_the_last() {
    let recording = recording(6_000);
    let periods = periods(&recording, 3);
    let mut all: Vec<u32> = periods.iter().flat_map(|period| period.traces.clone()).collect();
    let n = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), n);
    let count = |at: usize, of: &dyn Fn(u32) -> bool| {
        periods[at].traces.iter().filter(|trace| of(**trace)).count()
    };
    let is_rare = |trace: u32| recording.entry(trace).unwrap().1 == b"/rare";
    let failed: Vec<usize> = (0..5).map(|at| count(at, &|t| recording.has_error(t))).collect();
    let traces: Vec<usize> = (0..5).map(|at| periods[at].traces.len()).collect();
    assert_eq!((0..4).map(|at| count(at, &is_rare)).sum::<usize>(), 0);
    assert_eq!(count(4, &is_rare), 600);
    assert_eq!((failed[1], failed[2]), (2 * failed[0], 2 * failed[0]));
    assert_eq!(failed[3], failed[0] / 2);
    assert!(failed[0] > 0 && traces[2] >= 2 * traces[0] - 1, "{failed:?} {traces:?}");
}

#[test]
fn a_recording_without_spans_is_refused() {
    assert!(Recording::read([Bytes::new()]).unwrap_err().to_string().contains("fix:"));
    let error = Recording::read([Bytes::from_static(b"\x0a\xff")]).unwrap_err();
    assert!(error.to_string().starts_with("request 0:"), "{error}");
}

#[test]
fn lines_of_json_compress_to_less_than_the_requests() {
    let recording = recording(2_000);
    let all: Vec<u32> = (0..2_000).collect();
    let requests = recording.encode(&all);
    let sizes = Codec::ALL.map(|codec| codec.n_bytes(&requests).unwrap());
    let [none, gzip, zstd, clp_like] = sizes;
    assert!(zstd < gzip && gzip < none && clp_like < none, "{sizes:?}");
}

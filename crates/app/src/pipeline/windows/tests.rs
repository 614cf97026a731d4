use spanwise_model::{CloseReason, ClosedSpan, SpanId, SpanKind, SpanRecord};
use spanwise_otlp::{Limits, RequestBuilder, decode};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn config() -> Config {
    Config { every_ns: 60 * SECOND, n_traces: 4, n_bytes: 1 << 20, verbatim_share: 1.0 }
}

fn trace(n: u8, status: StatusCode, n_spans: u8) -> ClosedTrace {
    let mut builder = RequestBuilder::new();
    for span in 0..n_spans {
        builder.push(&SpanRecord {
            trace_id: TraceId([n; 16]),
            span_id: SpanId([span + 1; 8]),
            parent_id: SpanId::default(),
            service: Arc::from("cart"),
            instance: Arc::from(""),
            operation: Arc::from("GetCart"),
            kind: SpanKind::Server,
            start: Timestamp::from_secs(1_000),
            end: Timestamp::from_secs(1_001),
            status,
            trace_state: Arc::from(""),
            attributes: Vec::new(),
            events: Vec::new(),
        });
    }
    let batch = Arc::new(decode(builder.finish(), &Limits::default()).unwrap().batch);
    let spans = (0..u32::from(n_spans)).map(|span_idx| ClosedSpan {
        batch: Arc::clone(&batch),
        span_idx,
        parent: -1,
        self_ns: 0,
        own_ns: 0,
        gap_ns: None,
        kept_early: false,
    });
    ClosedTrace {
        trace_id: TraceId([n; 16]),
        reason: CloseReason::RootEnded,
        closed_at: Timestamp::from_secs(1_002),
        overflowed: false,
        has_root: true,
        spans: spans.collect(),
    }
}

/// Closes these traces at these seconds; what was handed out.
fn pieces(config: Config, traces: &[(u8, StatusCode, u64)]) -> Vec<Piece> {
    let mut collector = Collector::new(config);
    let mut released = Vec::new();
    for (n, status, second) in traces {
        let now = Timestamp::from_secs(1_000 + second);
        collector.closed(&trace(*n, *status, 2), None, now);
        collector.flush(now, &mut released);
    }
    assert_eq!(released.len(), 2 * traces.len());
    let mut pieces = Vec::new();
    collector.take(&mut pieces);
    pieces
}

fn ends(pieces: &[Piece]) -> Vec<&Closed> {
    let mut ends = Vec::new();
    for piece in pieces {
        if let Piece::Close(closed) = piece {
            ends.push(closed);
        }
    }
    ends
}

#[test]
fn a_window_closes_at_its_age_its_traces_or_its_bytes() {
    let ok = StatusCode::Ok;
    let check = |config, traces: &[(u8, StatusCode, u64)], reason, n_traces| {
        let pieces = pieces(config, traces);
        let end = ends(&pieces)[0];
        assert_eq!((end.reason, end.n_traces, end.n_spans), (reason, n_traces, 2 * n_traces));
    };
    check(config(), &[(1, ok, 0), (2, ok, 59), (3, ok, 60)], Reason::Time, 3);
    let five = [(1, ok, 0), (2, ok, 0), (3, ok, 0), (4, ok, 0), (5, ok, 0)];
    check(config(), &five, Reason::Traces, 4);
    check(Config { n_bytes: 100, ..config() }, &five, Reason::Bytes, 1);
    let pieces = pieces(config(), &[(1, ok, 0), (2, ok, 59)]);
    assert_eq!(ends(&pieces).len(), 0);
}

#[test]
fn every_span_is_handed_out_once_before_the_end_of_its_window() {
    let mut collector = Collector::new(config());
    let mut released = Vec::new();
    let now = Timestamp::from_secs(1);
    for n in 1..=6 {
        collector.closed(&trace(n, StatusCode::Ok, 3), None, now);
    }
    collector.flush(now, &mut released);
    collector.drain(now);
    assert_eq!(released.len(), 18);
    let mut pieces = Vec::new();
    collector.take(&mut pieces);
    let mut n_spans = Vec::new();
    let mut open = 0;
    for piece in &pieces {
        match piece {
            Piece::Spans { request, n_spans } => {
                let spans = decode(request.clone(), &Limits::default()).unwrap().batch.spans;
                assert_eq!(spans.len() as u64, *n_spans);
                open += n_spans;
            }
            Piece::Close(closed) => {
                n_spans.push((open, closed.n_spans, closed.reason));
                open = 0;
            }
        }
    }
    assert_eq!(n_spans, [(12, 12, Reason::Traces), (6, 6, Reason::Stop)]);
}

#[test]
fn failed_traces_are_marked_behind_unusual_ones() {
    let now = Timestamp::from_secs(1);
    let mut collector = Collector::new(Config { verbatim_share: 0.4, ..config() });
    collector.closed(&trace(1, StatusCode::Error, 2), None, now);
    collector.closed(&trace(2, StatusCode::Ok, 2), Some(0.01), now);
    collector.closed(&trace(3, StatusCode::Ok, 2), None, now);
    collector.flush(now, &mut Vec::new());
    collector.drain(now);
    let mut pieces = Vec::new();
    collector.take(&mut pieces);
    let ends = ends(&pieces);
    assert_eq!((ends[0].n_marked, &ends[0].verbatim), (2, &vec![TraceId([2; 16])]));
}

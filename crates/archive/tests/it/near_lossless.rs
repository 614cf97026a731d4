//! L1: every trace; what must stay, and how far times may move.

use std::collections::BTreeMap;

use bytes::Bytes;
use spanwise_archive::{KeepVerbatim, Level, Limits, NearLossless, Options, compress};
use spanwise_model::{
    AttributeSource as _, SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, ValueRef,
};
use spanwise_otlp::{RequestBuilder, WireAttributes, decode};

use crate::oracle::{generated, messages};
use crate::stored::window;

/// A span by what L1 keeps, with its times beside.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
struct Kept {
    name: String,
    is_error: bool,
    region: Option<String>,
    /// Positions of the children.
    children: Vec<usize>,
    start: u64,
    end: u64,
}

fn options() -> Options {
    Options { level: Level::NearLossless, ..Options::default() }
}

fn compressed() -> (Vec<Bytes>, NearLossless) {
    let compressed = compress(window(), &options()).unwrap();
    let near = compressed.summary.near_lossless.unwrap();
    (generated(&compressed.bytes, &Limits::default()).unwrap(), near)
}

/// Spans of each trace by start, traces by their first start.
fn traces(requests: &[Bytes]) -> Vec<Vec<Kept>> {
    let mut by_trace: BTreeMap<TraceId, Vec<(u64, u64, Kept)>> = BTreeMap::new();
    for request in requests {
        let decoded = decode(request.clone(), &spanwise_otlp::Limits::default()).unwrap();
        for (i, head) in decoded.batch.spans.iter().enumerate() {
            let region = match WireAttributes.attribute(&decoded.batch, i as u32, "app.region") {
                Some(ValueRef::Str(text)) => Some(text.to_owned()),
                _ => None,
            };
            let kept = Kept {
                name: String::from_utf8_lossy(head.name.of(&decoded.batch.bytes)).into_owned(),
                is_error: head.status == StatusCode::Error,
                region,
                children: Vec::new(),
                start: head.start.0,
                end: head.end.0,
            };
            let (id, parent) = (head.span_id, head.parent_id);
            let number = |id: SpanId| u64::from_be_bytes(id.0);
            by_trace.entry(head.trace_id).or_default().push((number(id), number(parent), kept));
        }
    }
    let mut traces: Vec<Vec<Kept>> = by_trace.values().map(|spans| preorder(spans)).collect();
    traces.sort_by_key(|trace| trace[0].start);
    traces
}

fn preorder(spans: &[(u64, u64, Kept)]) -> Vec<Kept> {
    let mut out: Vec<Kept> = Vec::new();
    let mut open = vec![(0, None)];
    while let Some((parent, above)) = open.pop() {
        if let Some((kept, place)) = above {
            let at: usize = out.len();
            out.push(Kept::clone(kept));
            if let Some(place) = place {
                let children: &mut Vec<usize> = &mut out[place as usize].children;
                children.push(at);
            }
        }
        let at = out.len().checked_sub(1).map(|at| at as u64);
        let mut children: Vec<_> = spans.iter().filter(|span| span.1 == parent).collect();
        children.sort_by_key(|span| (std::cmp::Reverse(span.2.start), &span.2.name));
        open.extend(children.iter().map(|span| (span.0, Some((&span.2, at)))));
    }
    out
}

#[test]
fn structure_errors_and_common_attributes_are_exact() {
    let summary = |requests: &[Bytes]| {
        let mut all: Vec<String> = Vec::new();
        for trace in traces(requests) {
            let mut spans: Vec<String> = trace
                .iter()
                .map(|span| {
                    let names = span.children.iter().map(|&at| &trace[at].name[..]);
                    let mut names: Vec<&str> = names.collect();
                    names.sort_unstable();
                    format!("{} {} {:?} {names:?}", span.name, span.is_error, span.region)
                })
                .collect();
            spans.sort();
            all.push(spans.join("\n"));
        }
        all.sort();
        all
    };
    let (back, _) = compressed();
    let (real, near) = (summary(&window()), summary(&back));
    assert_eq!(real.len(), 15);
    assert_eq!(near, real);
}

#[test]
fn times_stay_in_their_bins() {
    let (back, near) = compressed();
    let (real, made) = (traces(&window()), traces(&back));
    let mut n_compared = 0;
    for (real, made) in real.iter().zip(&made) {
        // Half a millisecond, and half a bin of the distance from the trace before.
        assert!(real[0].start.abs_diff(made[0].start) <= 500_000);
        let root = |trace: &[Kept]| (trace[0].end - trace[0].start) as f64;
        assert!((root(made) / root(real) - 1.0).abs() < 0.08, "{} {}", root(real), root(made));
        n_compared += 1;
    }
    assert_eq!(n_compared, 15);
    assert!(near.timing_error > 0.0 && near.timing_error < 0.03, "{}", near.timing_error);
}

/// A call of the first span of its trace, which is `id` 1.
fn record(trace: u64, id: u64, (start, end): (u64, u64)) -> SpanRecord {
    SpanRecord {
        trace_id: TraceId(u128::from(trace).to_be_bytes()),
        span_id: SpanId(id.to_be_bytes()),
        parent_id: SpanId((id - 1).min(1).to_be_bytes()),
        service: "shop".into(),
        operation: format!("call {id}").into(),
        start: Timestamp(start),
        end: Timestamp(end),
        instance: "".into(),
        kind: SpanKind::Server,
        status: StatusCode::Unset,
        trace_state: "".into(),
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

/// Traces whose spans are much shorter than what they wait for.
fn waiting() -> Vec<Bytes> {
    let mut request = RequestBuilder::new();
    let second = 1_000_000_000;
    for trace in 1..200_u64 {
        let start = trace * 60 * second;
        let wait = trace * trace % 31 * 70_000_000 + trace * 12_345;
        let times = [(0, 3 * second), (wait, wait + trace % 9 * 400), (wait + 200, wait + 300)];
        for (id, (from, to)) in (1_u64..).zip(times) {
            request.push(&record(trace, id, (start + from, start + to)));
        }
    }
    vec![request.finish()]
}

/// Scenario: a call that lasts a microsecond begins a second after its caller. Each time rounded on its
/// own leaves nothing of it but the rounding of the second.
#[test]
fn short_spans_behind_long_waits_keep_their_durations() {
    let file = compress(waiting(), &options()).unwrap().bytes;
    let back = generated(&file, &Limits::default()).unwrap();
    let (real, made) = (traces(&waiting()), traces(&back));
    assert_eq!(made.len(), real.len());
    for (real, made) in real.iter().flatten().zip(made.iter().flatten()) {
        // Siblings stand in the order of their starts, so they keep it.
        assert_eq!(made.name, real.name);
        let (real, made) = (real.end - real.start, made.end - made.start);
        // Half a bin.
        assert!(made.abs_diff(real) * 15 <= real, "{real} ns came back as {made}");
    }
}

#[test]
fn times_in_whole_milliseconds_stay_whole() {
    let mut request = RequestBuilder::new();
    for trace in 1..100_u64 {
        for id in 1..4_u64 {
            let start = (trace * 7000 + id * trace % 50) * 1_000_000;
            let long = if id == 3 { 4000 } else { 0 };
            let end = start + (long + trace * id % 40) * 1_000_000;
            request.push(&record(trace, id, (start, end)));
        }
    }
    let window = vec![request.finish()];
    let file = compress(window.clone(), &options()).unwrap().bytes;
    let made = traces(&generated(&file, &Limits::default()).unwrap());
    let leaves = |traces: &[Vec<Kept>]| {
        let mut of: Vec<u64> =
            traces.iter().flat_map(|trace| &trace[1..]).map(|span| span.end - span.start).collect();
        of.sort_unstable();
        of
    };
    let (real, made) = (leaves(&traces(&window)), leaves(&made));
    assert_eq!(made.len(), real.len());
    assert!(made.iter().all(|duration| duration.is_multiple_of(1_000_000)));
    // Short ones are exact, and timeouts of four seconds off by less than what a bin of 1 ns clocks is.
    for (real, made) in real.iter().zip(&made) {
        let room = if *real < 45_000_000 { 0 } else { real / 64 };
        assert!(made.abs_diff(*real) <= room, "{real} ns came back as {made}");
    }
}

#[test]
fn no_span_ends_before_it_starts() {
    let compressed = compress(waiting(), &options()).unwrap();
    let mut n_spans = 0;
    for request in generated(&compressed.bytes, &Limits::default()).unwrap() {
        for head in decode(request, &spanwise_otlp::Limits::default()).unwrap().batch.spans {
            assert!(head.end >= head.start, "{head:?}");
            n_spans += 1;
        }
    }
    assert_eq!(n_spans, 3 * 199);
}

#[test]
fn ids_are_new_and_spans_say_that_they_are_synthetic() {
    let (back, _) = compressed();
    let ids = |requests: &[Bytes]| -> Vec<Vec<u8>> {
        messages(requests).unwrap().0.iter().map(|(.., span)| span[..28].to_vec()).collect()
    };
    let real = ids(&window());
    let made = ids(&back);
    assert_eq!(made.len(), real.len());
    assert!(made.iter().all(|id| !real.contains(id)));
    for (resource, ..) in messages(&back).unwrap().0 {
        let text = String::from_utf8_lossy(&resource).into_owned();
        assert!(text.contains("trace.synthetic") && text.contains("l1"), "{text}");
    }
}

#[test]
fn what_is_written_is_close_to_the_ideal_length() {
    let (_, near) = compressed();
    let share = near.coded_bytes as f64 / near.ideal_bytes;
    assert!((1.0..1.05).contains(&share), "{share}");
}

#[test]
fn marked_traces_come_back_verbatim_and_once() {
    let mut options = options();
    options.keep_verbatim = KeepVerbatim::Errors;
    let compressed = compress(window(), &options).unwrap();
    assert_eq!(compressed.summary.n_traces_verbatim, 1);
    let back = generated(&compressed.bytes, &Limits::default()).unwrap();
    let (real, made) = (messages(&window()).unwrap().0, messages(&back).unwrap().0);
    assert_eq!(made.len(), real.len());
    let n_verbatim = made.iter().filter(|message| real.contains(message)).count();
    let errors = traces(&window()).into_iter().find(|trace| trace.iter().any(|s| s.is_error));
    assert_eq!(n_verbatim, errors.unwrap().len());
}

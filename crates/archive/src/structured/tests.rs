//! Windows that become models and come back.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{
    SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value, ValueRef,
};
use spanwise_otlp::RequestBuilder;

use crate::fidelity::{Metric, Scorer};
use crate::limits::Limits;
use crate::traces::{Builder, Place, Traces};

use super::{Detail, Error, Fitted, Mark, Options, version};

type Sections = Vec<([u8; 4], Vec<u8>)>;

const MINUTE: u64 = 60_000_000_000;
const MARK: Mark = Mark { archive_id: [9; 16], level: "l3", method: "structured" };

/// A shop of two services: `n` traces over three minutes, one in ten with a failed second call.
fn shop(n: u64) -> Vec<SpanRecord> {
    let mut spans = Vec::new();
    for trace in 0..n {
        let start = 1_700_000_000_000_000_000 + trace * 3 * MINUTE / n.max(1);
        let n_calls = 1 + trace % 3;
        let slow = 1 + trace % 7;
        let mut at = start + 1000;
        for call in 0..n_calls {
            let end = at + 50_000 * slow + call * 1000;
            spans.push(span(trace, call + 2, 1, (at, end)));
            at = end + 500;
        }
        spans.push(span(trace, 1, 0, (start, at + 2000)));
    }
    spans
}

fn span(trace: u64, id: u64, parent: u64, times: (u64, u64)) -> SpanRecord {
    let mut trace_id = [7; 16];
    trace_id[..8].copy_from_slice(&(trace + 1).to_be_bytes());
    let failed = id == 3 && trace.is_multiple_of(10);
    let text = |text: &str| Value::Str(Arc::from(text));
    SpanRecord {
        trace_id: TraceId(trace_id),
        span_id: SpanId(id.to_be_bytes()),
        parent_id: SpanId(parent.to_be_bytes()),
        service: Arc::from(if id == 1 { "front" } else { "stock" }),
        instance: Arc::from(if trace.is_multiple_of(2) { "a" } else { "b" }),
        operation: Arc::from(if id == 1 { "GET /" } else { "query" }),
        kind: SpanKind::Server,
        start: Timestamp(times.0),
        end: Timestamp(times.1),
        status: if failed { StatusCode::Error } else { StatusCode::Unset },
        trace_state: Arc::from(""),
        attributes: vec![
            (Arc::from("tier"), text(["gold", "free"][(trace % 2) as usize])),
            (Arc::from("rows"), Value::Int((trace * 37 % 1000).cast_signed())),
            (Arc::from("cart"), text(&format!("cart:{}", 10_000 + trace * 7919 % 80_000))),
        ],
        events: Vec::new(),
    }
}

fn window(spans: &[SpanRecord]) -> Traces {
    let mut builder = RequestBuilder::new();
    for span in spans {
        builder.push(span);
    }
    read(&[builder.finish()])
}

fn read(requests: &[Bytes]) -> Traces {
    let mut builder = Builder::new();
    for request in requests {
        builder.push(request.clone()).unwrap();
    }
    let window = builder.finish(|_| false).unwrap();
    assert!(window.apart.is_empty());
    window.traces
}

fn sections_of(traces: &Traces, detail: Detail) -> Sections {
    Fitted::fit(traces, &Options { detail, ..Options::default() }).unwrap().sections()
}

fn open(sections: &Sections) -> Result<Fitted, Error> {
    let find = |tag| {
        let (_, bytes) = sections.iter().find(|section| section.0 == tag)?;
        Some((version(tag), &bytes[..]))
    };
    Fitted::read(find, &Limits::default())
}

fn generate(fitted: &Fitted, seed: u64) -> Vec<Bytes> {
    let mut requests = Vec::new();
    let keep = &mut |request| -> Result<(), ()> {
        requests.push(request);
        Ok(())
    };
    fitted.generate(seed, &MARK, keep).unwrap();
    requests
}

/// Traces, spans, and the minute, depths and errors of each trace.
type Facts = (usize, usize, Vec<(u64, Vec<u16>, Vec<bool>)>);

/// Shapes, errors and minutes of a window.
fn facts(traces: &Traces) -> Facts {
    let mut all: Vec<_> = (0..traces.n_traces())
        .map(|trace| {
            let spans = traces.spans_of(trace);
            let minute = traces.start[spans.start] / MINUTE;
            let depths = traces.depth[spans.clone()].to_vec();
            // A shape that is drawn keeps its count, not its minute.
            let errors: Vec<bool> = spans.map(|span| traces.is_error(span)).collect();
            (if errors.contains(&true) { minute } else { 0 }, depths, errors)
        })
        .collect();
    all.sort();
    (traces.n_traces(), traces.n_spans(), all)
}

#[test]
fn topology_counts_and_errors_come_back_exactly() {
    let real = window(&shop(600));
    for detail in [Detail::Model, Detail::Pinned] {
        let fitted = open(&sections_of(&real, detail)).unwrap();
        for seed in 0..3 {
            assert_eq!(facts(&read(&generate(&fitted, seed))), facts(&real));
        }
    }
}

#[test]
fn windows_at_the_edge_come_back() {
    let check = |spans: &[SpanRecord]| {
        let real = window(spans);
        for detail in [Detail::Model, Detail::Pinned] {
            let fitted = open(&sections_of(&real, detail)).unwrap();
            assert_eq!(facts(&read(&generate(&fitted, 1))), facts(&real));
        }
    };
    check(&[]);
    check(&shop(1)[1..]);
    check(&shop(1));
    check(&shop(11));
    let mut failed = shop(40);
    for span in &mut failed {
        span.status = StatusCode::Error;
    }
    check(&failed);
    let mut same = shop(300);
    for span in &mut same {
        (span.start, span.end) = (Timestamp(MINUTE), Timestamp(MINUTE));
    }
    check(&same);
    let mut extreme = shop(3);
    extreme[0].end = Timestamp(u64::MAX);
    check(&extreme);
}

#[test]
fn what_is_read_writes_the_same_bytes() {
    let sections = sections_of(&window(&shop(400)), Detail::Pinned);
    assert_eq!(open(&sections).unwrap().sections(), sections);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let fitted = open(&sections_of(&window(&shop(400)), Detail::Model)).unwrap();
    assert_eq!(generate(&fitted, 5), generate(&fitted, 5));
    assert_ne!(generate(&fitted, 5), generate(&fitted, 6));
}

/// Guarantees: debug and release builds, and every machine, generate these bytes. A change of
/// generation changes it, and then old files no longer mean what they meant.
#[test]
fn generation_is_what_it_was() {
    let fitted = open(&sections_of(&window(&shop(400)), Detail::Pinned)).unwrap();
    let mut hasher = blake3::Hasher::new();
    for request in generate(&fitted, 5) {
        hasher.update(&request);
    }
    assert_eq!(&hasher.finalize().to_hex()[..16], GOLDEN);
}

const GOLDEN: &str = "05edc09ed712604e";

#[test]
fn children_start_in_order_and_not_before_their_parent() {
    let real = window(&shop(500));
    let made = read(&generate(&open(&sections_of(&real, Detail::Model)).unwrap(), 3));
    for span in 0..made.n_spans() {
        let parent = made.parent[span];
        assert!(made.end[span] > made.start[span]);
        assert!(
            parent == crate::traces::NO_PARENT || made.start[span] >= made.start[parent as usize]
        );
    }
}

/// Each trace as depth and call site of its spans.
fn shapes(traces: &Traces) -> std::collections::BTreeSet<Vec<(u16, Vec<u8>)>> {
    let call_site = |span: usize| {
        let name = traces.names.get(traces.nodes[traces.node[span] as usize].name);
        (traces.depth[span], name.to_vec())
    };
    let shape = |trace| traces.spans_of(trace).map(call_site).collect();
    (0..traces.n_traces()).map(shape).collect()
}

/// Scenario: four children side by side in any order, some at once, some with the parent, one after
/// its end; one of two alike that start together has a child.
#[test]
fn every_generated_trace_has_a_stored_shape() {
    let mut spans = Vec::new();
    for trace in 0..400_u64 {
        let start = 1_700_000_000_000_000_000 + trace * 3 * MINUTE / 400;
        let at = |child: u64| start + trace * (child * 7 + 3) % 11 / 2 * 1000;
        let mut child = |id: u64, parent: u64, name: &str, (from, to): (u64, u64)| {
            let mut span = span(trace, id, parent, (from, to));
            span.operation = Arc::from(name);
            spans.push(span);
        };
        child(2, 1, "price", (at(1), at(1) + 40_000));
        child(5, 1, "stock", (at(2), at(2) + 9000 * (1 + trace % 5)));
        child(9 - trace % 2 * 5, 1, "stock", (at(2), at(2) + 70_000));
        child(8, 9 - trace % 2 * 5, "disk", (at(2) + 10, at(2) + 2000));
        child(6, 1, "audit", (start + 90_000 * (trace % 3), start + 300_000));
        child(1, 0, "GET /", (start, start + 80_000));
    }
    let real = window(&spans);
    for detail in [Detail::Model, Detail::Pinned] {
        let fitted = open(&sections_of(&real, detail)).unwrap();
        for seed in 0..3 {
            let made = read(&generate(&fitted, seed));
            assert_eq!(shapes(&made), shapes(&real));
            let fidelity = Scorer::new(&real).score(&made, 1.0);
            assert_eq!(fidelity.get(Metric::Invalid), Some(0.0));
        }
    }
}

#[test]
fn values_come_back_in_their_kind() {
    let real = window(&shop(2000));
    let made = read(&generate(&open(&sections_of(&real, Detail::Model)).unwrap(), 3));
    let values = |key: &str| -> Vec<ValueRef<'_>> {
        let column = made.column(Place::Span, key).unwrap();
        column.values.iter().map(|&value| made.values.get(value)).collect()
    };
    assert!(values("tier").iter().all(|v| matches!(v, ValueRef::Str("gold" | "free"))));
    assert!(values("rows").iter().all(|v| matches!(v, ValueRef::Int(0..1001))));
    let carts = values("cart");
    let is_cart =
        |v: &ValueRef<'_>| matches!(v, ValueRef::Str(t) if t.starts_with("cart:") && t.len() == 10);
    assert!(carts.iter().all(is_cart));
    let distinct: std::collections::BTreeSet<String> =
        carts.iter().map(|v| format!("{v:?}")).collect();
    assert!(distinct.len() > 500, "{}", distinct.len());
    assert_eq!(made.pods.len(), 4);
    assert_eq!(made.pod_attribute(0, "trace.synthetic"), Some(ValueRef::Bool(true)));
    assert_eq!(made.pod_attribute(0, "trace.synthetic.level"), Some(ValueRef::Str("l3")));
}

/// Scenario: a text that occurs in fewer than five traces, wherever it can stand.
#[test]
fn canaries_do_not_enter_the_file() {
    let mut spans = shop(400);
    for (at, span) in spans.iter_mut().enumerate().filter(|(at, _)| at % 331 == 0) {
        let canary = |what: &str| Arc::from(format!("{what}-canary@example.com-{at}").as_str());
        span.attributes[0].1 = Value::Str(canary("value"));
        span.attributes[2].1 = Value::Str(canary("text"));
        span.attributes.push((canary("key"), Value::Bool(true)));
        span.instance = canary("pod");
        span.operation = canary("name");
    }
    let sections = sections_of(&window(&spans), Detail::Pinned);
    let made = generate(&open(&sections).unwrap(), 1);
    for bytes in sections.iter().map(|section| &section.1[..]).chain(made.iter().map(|r| &r[..])) {
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
    }
}

#[test]
fn damage_is_an_error_or_another_window_but_no_panic() {
    let sections = sections_of(&window(&shop(300)), Detail::Pinned);
    let mut n_refused = 0;
    for (at, section) in sections.iter().enumerate() {
        for place in (0..section.1.len()).step_by(section.1.len() / 12 + 1) {
            let mut damaged = sections.clone();
            damaged[at].1[place] ^= 0x55;
            let cut = (0..sections.len()).map(|i| match i {
                i if i == at => (sections[i].0, sections[i].1[..place].to_vec()),
                i => sections[i].clone(),
            });
            for sections in [damaged, cut.collect()] {
                match open(&sections) {
                    Err(_) => n_refused += 1,
                    Ok(fitted) => drop(generate(&fitted, 1)),
                }
            }
        }
    }
    assert!(n_refused > 20, "{n_refused}");
    assert_eq!(open(&Vec::new()).err(), Some(Error::Missing(*b"DICT")));
}

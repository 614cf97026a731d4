//! Requests: spans rich in everything OTLP has, and purchases in a shop that can be slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value as Any,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId};
use spanwise_otlp::RequestBuilder;

/// A millisecond in nanoseconds.
pub(crate) const MS: u64 = 1_000_000;

/// The wall clock, in nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A request whose spans and their surroundings use every field there is: two resources, two scopes
/// each, `n` spans in each scope. Ids start at `first_id`; every span is of a trace of its own.
pub(crate) fn rich(first_id: u64, n: u64) -> ExportTraceServiceRequest {
    let mut id = first_id;
    let mut scope_spans = |scope: &str| {
        let spans = (0..n).map(|_| {
            id += 1;
            rich_span(id - 1)
        });
        ScopeSpans {
            scope: Some(InstrumentationScope {
                name: scope.to_owned(),
                version: "1.2.3".to_owned(),
                attributes: vec![attribute("scope", Any::BoolValue(true))],
                dropped_attributes_count: 1,
            }),
            spans: spans.collect(),
            schema_url: format!("https://example.invalid/{scope}"),
        }
    };
    let mut resource_spans = |service: &str| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                attribute("service.name", text(service)),
                attribute("service.instance.id", text("pod-1")),
                attribute("nested", list()),
            ],
            dropped_attributes_count: 2,
            entity_refs: Vec::new(),
        }),
        scope_spans: vec![scope_spans("one"), scope_spans("two")],
        schema_url: "https://example.invalid/resource".to_owned(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans("cart"), resource_spans("pay")],
    }
}

fn rich_span(id: u64) -> Span {
    let end = now_ns();
    Span {
        trace_id: u128::from(id).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        trace_state: "vendor=1".to_owned(),
        parent_span_id: Vec::new(),
        flags: 0x101,
        name: format!("Get Größe {}", id % 3),
        kind: 2,
        start_time_unix_nano: end - (1 + id % 7) * MS,
        end_time_unix_nano: end,
        attributes: vec![
            attribute("text", text("ünïcode \u{1f980}")),
            attribute("empty", text("")),
            attribute("int", Any::IntValue(-(id.cast_signed()))),
            attribute("double", Any::DoubleValue(0.1)),
            attribute("bytes", Any::BytesValue(vec![0, 255, 1])),
            attribute("list", list()),
            KeyValue { key: "no value".to_owned(), ..KeyValue::default() },
        ],
        dropped_attributes_count: 1,
        events: vec![
            Event {
                time_unix_nano: end - 1,
                name: "exception".to_owned(),
                attributes: vec![attribute("exception.type", text("Timeout"))],
                dropped_attributes_count: 2,
            },
            Event { time_unix_nano: end, name: "retry".to_owned(), ..Event::default() },
        ],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: vec![7; 16],
            span_id: vec![9; 8],
            trace_state: "link=1".to_owned(),
            attributes: vec![attribute("n", Any::IntValue(1))],
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status { message: "late".to_owned(), code: 2 }),
    }
}

/// A list with a map in it.
fn list() -> Any {
    let map = KeyValueList { values: vec![attribute("inner", text("value"))] };
    let values = vec![value(Any::IntValue(1)), value(Any::KvlistValue(map))];
    Any::ArrayValue(ArrayValue { values })
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

fn value(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, of: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(of)), ..KeyValue::default() }
}

/// A purchase: the frontend serves it, calls the cart, and the cart works. 3 spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purchase {
    /// Makes its ids; above 0.
    pub(crate) n: u64,
    /// End of its last span.
    pub(crate) end: Timestamp,
    /// How long the cart works.
    pub(crate) work_ns: u64,
    /// `tracestate` of its spans.
    pub(crate) trace_state: &'static str,
}

impl Purchase {
    /// An ordinary one.
    pub(crate) fn new(n: u64, end: Timestamp) -> Self {
        Self { n, end, work_ns: work_ns(n), trace_state: "" }
    }

    /// Five times slower.
    #[must_use]
    pub(crate) fn slow(self) -> Self {
        Self { work_ns: 5 * self.work_ns, ..self }
    }

    /// Its spans, the root last, as they end.
    pub(crate) fn spans(&self) -> [SpanRecord; 3] {
        let end = self.end.as_ns();
        let span =
            |idx: u64, service: &str, operation: &str, kind, after_ns: u64, length_ns: u64| {
                let id = |idx: u64| SpanId((self.n * 4 + idx).to_be_bytes());
                SpanRecord {
                    trace_id: TraceId(
                        (u128::from(mix(self.n)) << 64 | u128::from(self.n)).to_be_bytes(),
                    ),
                    span_id: id(idx),
                    parent_id: if idx > 1 { id(idx - 1) } else { SpanId::default() },
                    service: Arc::from(service),
                    instance: Arc::from(format!("{service}-{}", self.n % 3)),
                    operation: Arc::from(operation),
                    kind,
                    start: Timestamp(end - after_ns - length_ns),
                    end: Timestamp(end - after_ns),
                    status: StatusCode::Unset,
                    trace_state: Arc::from(self.trace_state),
                    attributes: Vec::new(),
                    events: Vec::new(),
                }
            };
        let work = self.work_ns;
        [
            span(3, "cart", "GetCart", SpanKind::Server, 2 * MS, work),
            span(2, "frontend", "cart.GetCart", SpanKind::Client, MS, work + 2 * MS),
            span(1, "frontend", "GET /cart", SpanKind::Server, 0, work + 4 * MS),
        ]
    }
}

/// Between 10 and 30 ms, the same for the same number.
fn work_ns(n: u64) -> u64 {
    10 * MS + mix(n) % (20 * MS)
}

/// Spreads a number over 64 bits (`SplitMix64`).
pub(crate) fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One request of all these purchases.
pub(crate) fn request(purchases: impl IntoIterator<Item = Purchase>) -> Bytes {
    let mut builder = RequestBuilder::new();
    for span in purchases.into_iter().flat_map(|purchase| purchase.spans()) {
        builder.push(&span);
    }
    builder.finish()
}

/// `n` purchases that end evenly over the last `seconds`, numbered from `first`.
pub(crate) fn recent(first: u64, n: u64, seconds: u64) -> impl Iterator<Item = Purchase> {
    let now = Timestamp(now_ns());
    let begin = now.minus_ns(seconds * 1_000_000_000);
    let step = seconds * 1_000_000_000 / n;
    (0..n).map(move |idx| Purchase::new(first + idx, begin.plus_ns((idx + 1) * step)))
}

/// Each span with the resource and scope around it, decoded by prost, by its ids. Panics if a span
/// comes twice.
pub(crate) fn whole_spans(requests: &[ExportTraceServiceRequest]) -> BTreeMap<Vec<u8>, String> {
    let mut spans = BTreeMap::new();
    for around in requests.iter().flat_map(|request| &request.resource_spans) {
        for scope in &around.scope_spans {
            let surroundings =
                (&around.resource, &around.schema_url, &scope.scope, &scope.schema_url);
            for span in &scope.spans {
                let key = [&span.trace_id[..], &span.span_id].concat();
                let twice = spans.insert(key, format!("{span:?} {surroundings:?}"));
                assert_eq!(twice, None, "a span came twice");
            }
        }
    }
    spans
}

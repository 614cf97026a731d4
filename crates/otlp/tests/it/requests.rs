//! Requests in the words of a foreign implementation: `opentelemetry-proto` and prost.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// A request of `n` spans rich in attributes, events and links, all different.
pub(crate) fn rich(n: u64) -> ExportTraceServiceRequest {
    of((1..=n).map(span).collect())
}

/// A request of these spans, from one resource.
pub(crate) fn of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![text("service.name", "cartservice"), text("host.name", "node-1")],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "test".into(), ..InstrumentationScope::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, schema_url: "https://x/1".into() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: "https://x/2".into(),
        }],
    }
}

pub(crate) fn span(idx: u64) -> Span {
    let trace_id = u128::from(idx).to_be_bytes().to_vec();
    Span {
        trace_id: trace_id.clone(),
        span_id: idx.to_be_bytes().to_vec(),
        trace_state: "ot=th:8".into(),
        parent_span_id: if idx > 1 { (idx - 1).to_be_bytes().to_vec() } else { vec![] },
        flags: 0x101,
        name: format!("GetCart {idx}"),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000 + idx,
        end_time_unix_nano: 1_700_000_000_100_000_000 + idx,
        attributes: vec![text("http.route", "/cart/ü"), number("retries", -3)],
        dropped_attributes_count: 1,
        events: vec![Event {
            time_unix_nano: 5,
            name: "exception".into(),
            attributes: vec![text("exception.type", "Timeout")],
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![Link {
            trace_id,
            span_id: vec![9; 8],
            attributes: vec![number("n", 1)],
            ..Link::default()
        }],
        dropped_links_count: 4,
        status: Some(Status { message: "late".into(), code: 2 }),
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

pub(crate) fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

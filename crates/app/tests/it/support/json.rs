//! OTLP/JSON, written by the rules of its specification and not by the code under test.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value, json};

/// A request as JSON.
pub(crate) fn request(request: &ExportTraceServiceRequest) -> Vec<u8> {
    let resource_spans = list(&request.resource_spans, resource_spans);
    serde_json::to_vec(&json!({"resourceSpans": resource_spans})).unwrap()
}

fn list<T>(items: &[T], of: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(of).collect()
}

fn resource_spans(of: &ResourceSpans) -> Value {
    json!({
        "resource": of.resource.as_ref().map(resource),
        "scopeSpans": list(&of.scope_spans, scope_spans),
        "schemaUrl": of.schema_url,
    })
}

fn resource(of: &Resource) -> Value {
    json!({
        "attributes": list(&of.attributes, attribute),
        "droppedAttributesCount": of.dropped_attributes_count,
    })
}

fn scope_spans(of: &ScopeSpans) -> Value {
    json!({
        "scope": of.scope.as_ref().map(scope),
        "spans": list(&of.spans, span),
        "schemaUrl": of.schema_url,
    })
}

fn scope(of: &InstrumentationScope) -> Value {
    json!({
        "name": of.name,
        "version": of.version,
        "attributes": list(&of.attributes, attribute),
        "droppedAttributesCount": of.dropped_attributes_count,
    })
}

/// 64-bit numbers are strings, ids hexadecimal, enums numbers.
fn span(of: &Span) -> Value {
    json!({
        "traceId": hex(&of.trace_id),
        "spanId": hex(&of.span_id),
        "traceState": of.trace_state,
        "parentSpanId": hex(&of.parent_span_id),
        "flags": of.flags,
        "name": of.name,
        "kind": of.kind,
        "startTimeUnixNano": of.start_time_unix_nano.to_string(),
        "endTimeUnixNano": of.end_time_unix_nano.to_string(),
        "attributes": list(&of.attributes, attribute),
        "droppedAttributesCount": of.dropped_attributes_count,
        "events": list(&of.events, event),
        "droppedEventsCount": of.dropped_events_count,
        "links": list(&of.links, link),
        "droppedLinksCount": of.dropped_links_count,
        "status": of.status.as_ref().map(|of| json!({"message": of.message, "code": of.code})),
        "aFieldOfTheFuture": {"ignored": true},
    })
}

fn event(of: &Event) -> Value {
    json!({
        "timeUnixNano": of.time_unix_nano.to_string(),
        "name": of.name,
        "attributes": list(&of.attributes, attribute),
        "droppedAttributesCount": of.dropped_attributes_count,
    })
}

fn link(of: &Link) -> Value {
    json!({
        "traceId": hex(&of.trace_id),
        "spanId": hex(&of.span_id),
        "traceState": of.trace_state,
        "attributes": list(&of.attributes, attribute),
        "droppedAttributesCount": of.dropped_attributes_count,
        "flags": of.flags,
    })
}

fn attribute(of: &KeyValue) -> Value {
    match &of.value {
        Some(value) => json!({"key": of.key, "value": any(value)}),
        None => json!({"key": of.key}),
    }
}

fn any(of: &AnyValue) -> Value {
    match of.value.as_ref() {
        None => json!({}),
        Some(Any::StringValue(text)) => json!({"stringValue": text}),
        Some(Any::BoolValue(flag)) => json!({"boolValue": flag}),
        Some(Any::IntValue(number)) => json!({"intValue": number.to_string()}),
        Some(Any::DoubleValue(number)) => json!({"doubleValue": number}),
        Some(Any::BytesValue(bytes)) => json!({"bytesValue": base64(bytes)}),
        Some(Any::ArrayValue(array)) => json!({"arrayValue": {"values": list(&array.values, any)}}),
        Some(Any::KvlistValue(map)) => {
            json!({"kvlistValue": {"values": list(&map.values, attribute)}})
        }
        Some(other) => panic!("{other:?} has no JSON here"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for idx in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * idx)) as usize & 63];
            text.push(if idx <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

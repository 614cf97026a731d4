//! From [`SpanRecord`]s to the bytes of an `ExportTraceServiceRequest`: what generators, recorded
//! columns and tests send.
//!
//! Spans are encoded as they come, into one buffer per (service, instance), and framed at the end.
//! Fields that hold their default are left out, as every encoder does. What was received is never
//! encoded again: see [`reframe`](crate::reframe()).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{EventRecord, SpanRecord, Value};

use crate::schema::{any_value, event, key_value, resource, resource_spans, scope};
use crate::schema::{request, scope_spans, span, status};
use crate::writer::Writer;

/// Name of the instrumentation scope of every span built here.
const SCOPE_NAME: &str = "spanwise";

/// Builds requests from records, grouped by service and instance in order of first appearance.
///
/// It is as large as the spans in it: whoever fills it watches [`n_bytes`](Self::n_bytes).
#[derive(Clone, Debug, Default)]
pub struct RequestBuilder {
    groups: Vec<Group>,
    /// Position in `groups` of each (service, instance).
    by_name: BTreeMap<(Arc<str>, Arc<str>), usize>,
    n_spans: usize,
}

#[derive(Clone, Debug)]
struct Group {
    service: Arc<str>,
    instance: Arc<str>,
    /// `ScopeSpans.spans` fields.
    spans: Writer,
}

impl RequestBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a span.
    pub fn push(&mut self, record: &SpanRecord) {
        let name = (Arc::clone(&record.service), Arc::clone(&record.instance));
        let groups = &mut self.groups;
        let idx = *self.by_name.entry(name).or_insert_with_key(|(service, instance)| {
            let service = Arc::clone(service);
            groups.push(Group {
                service,
                instance: Arc::clone(instance),
                spans: Writer::default(),
            });
            groups.len() - 1
        });
        let writer = &mut self.groups[idx].spans;
        let mark = writer.open(scope_spans::SPAN);
        write_span(writer, record);
        writer.close(mark);
        self.n_spans += 1;
    }

    /// Spans added since the last request.
    pub fn n_spans(&self) -> usize {
        self.n_spans
    }

    /// Bytes of the spans added since the last request; the frames around them add about a hundred
    /// for each service instance.
    pub fn n_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.spans.len()).sum()
    }

    /// The request; the builder is empty afterwards. No span makes an empty request, which is valid.
    pub fn finish(&mut self) -> Bytes {
        let mut writer = Writer::with_capacity(self.n_bytes() + 128 * self.groups.len());
        for group in &self.groups {
            let mark = writer.open(request::RESOURCE_SPANS);
            write_resource(&mut writer, group);
            let scope_mark = writer.open(resource_spans::SCOPE_SPANS);
            let name_mark = writer.open(scope_spans::SCOPE);
            writer.bytes(scope::NAME, SCOPE_NAME.as_bytes());
            writer.close(name_mark);
            writer.raw(group.spans.as_slice());
            writer.close(scope_mark);
            writer.close(mark);
        }
        self.groups.clear();
        self.by_name.clear();
        self.n_spans = 0;
        writer.into_bytes().into()
    }
}

/// Attributes encoded as fields of a `Span`, to be appended behind the bytes of a span that is sent
/// on: a stamp. Appending a repeated field adds to what is there and changes none of it.
pub fn span_attributes(attributes: &[(Arc<str>, Value)]) -> Vec<u8> {
    let mut writer = Writer::default();
    write_attributes(&mut writer, span::ATTRIBUTE, attributes);
    writer.into_bytes()
}

fn write_resource(writer: &mut Writer, group: &Group) {
    let mark = writer.open(resource_spans::RESOURCE);
    for (key, text) in [("service.name", &group.service), ("service.instance.id", &group.instance)]
    {
        if !text.is_empty() {
            write_attribute(writer, resource::ATTRIBUTE, key, &Value::Str(Arc::clone(text)));
        }
    }
    writer.close(mark);
}

fn write_span(writer: &mut Writer, record: &SpanRecord) {
    writer.bytes(span::TRACE_ID, &record.trace_id.0);
    writer.bytes(span::SPAN_ID, &record.span_id.0);
    write_text(writer, span::TRACE_STATE, &record.trace_state);
    if !record.parent_id.is_zero() {
        writer.bytes(span::PARENT_ID, &record.parent_id.0);
    }
    write_text(writer, span::NAME, &record.operation);
    if record.kind as u64 != 0 {
        writer.varint(span::KIND, record.kind as u64);
    }
    if record.start.0 != 0 {
        writer.fixed64(span::START, record.start.0);
    }
    if record.end.0 != 0 {
        writer.fixed64(span::END, record.end.0);
    }
    write_attributes(writer, span::ATTRIBUTE, &record.attributes);
    for event in &record.events {
        write_event(writer, event);
    }
    if record.status as u64 != 0 {
        let mark = writer.open(span::STATUS);
        writer.varint(status::CODE, record.status as u64);
        writer.close(mark);
    }
}

fn write_event(writer: &mut Writer, record: &EventRecord) {
    let mark = writer.open(span::EVENT);
    if record.at.0 != 0 {
        writer.fixed64(event::TIME, record.at.0);
    }
    write_text(writer, event::NAME, &record.name);
    write_attributes(writer, event::ATTRIBUTE, &record.attributes);
    writer.close(mark);
}

fn write_text(writer: &mut Writer, key: u32, text: &str) {
    if !text.is_empty() {
        writer.bytes(key, text.as_bytes());
    }
}

fn write_attributes(writer: &mut Writer, field: u32, attributes: &[(Arc<str>, Value)]) {
    for (key, value) in attributes {
        write_attribute(writer, field, key, value);
    }
}

fn write_attribute(writer: &mut Writer, field: u32, key: &str, value: &Value) {
    let mark = writer.open(field);
    write_text(writer, key_value::KEY, key);
    let value_mark = writer.open(key_value::VALUE);
    match value {
        Value::Str(text) => writer.bytes(any_value::STRING, text.as_bytes()),
        Value::Bool(flag) => writer.varint(any_value::BOOL, u64::from(*flag)),
        Value::Int(number) => writer.varint(any_value::INT, number.cast_unsigned()),
        Value::Double(number) => writer.fixed64(any_value::DOUBLE, number.to_bits()),
    }
    writer.close(value_mark);
    writer.close(mark);
}

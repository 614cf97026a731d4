//! The messages of an OTLP trace request as OTLP/JSON names them: camelCase members, each with its
//! protobuf key and the form its value takes in JSON.

use crate::schema::{
    any_value, entity_ref, event, key_value, link, list, request, resource, resource_spans, scope,
    scope_spans, span, status,
};

/// A message: its members, and whether it counts as an item of the request.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
    /// Span, event or link.
    pub(super) is_item: bool,
}

/// A member of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) key: u32,
    pub(super) shape: Shape,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    Texts,
    /// Hexadecimal digits of so many bytes.
    Id(usize),
    Base64,
    Bool,
    Double,
    Enum,
    Integer(Width),
    One(&'static Message),
    Many(&'static Message),
}

/// How an integer is encoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    Fixed64,
    Fixed32,
    Uint32,
    Int64,
}

impl Shape {
    pub(super) const fn is_repeated(self) -> bool {
        matches!(self, Self::Many(_) | Self::Texts)
    }
}

const fn field(name: &'static str, key: u32, shape: Shape) -> Field {
    Field { name, key, shape }
}

const fn message(fields: &'static [Field]) -> Message {
    Message { fields, is_item: false }
}

const fn item(fields: &'static [Field]) -> Message {
    Message { fields, is_item: true }
}

const DROPPED: Shape = Shape::Integer(Width::Uint32);
const TIME: Shape = Shape::Integer(Width::Fixed64);
const FLAGS: Shape = Shape::Integer(Width::Fixed32);
const ATTRIBUTES: Shape = Shape::Many(&KEY_VALUE);

pub(super) static REQUEST: Message =
    message(&[field("resourceSpans", request::RESOURCE_SPANS, Shape::Many(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message = message(&[
    field("resource", resource_spans::RESOURCE, Shape::One(&RESOURCE)),
    field("scopeSpans", resource_spans::SCOPE_SPANS, Shape::Many(&SCOPE_SPANS)),
    field("schemaUrl", resource_spans::SCHEMA_URL, Shape::Text),
]);

static RESOURCE: Message = message(&[
    field("attributes", resource::ATTRIBUTE, ATTRIBUTES),
    field("droppedAttributesCount", resource::DROPPED_ATTRIBUTES, DROPPED),
    field("entityRefs", resource::ENTITY_REF, Shape::Many(&ENTITY_REF)),
]);

static ENTITY_REF: Message = message(&[
    field("schemaUrl", entity_ref::SCHEMA_URL, Shape::Text),
    field("type", entity_ref::TYPE, Shape::Text),
    field("idKeys", entity_ref::ID_KEY, Shape::Texts),
    field("descriptionKeys", entity_ref::DESCRIPTION_KEY, Shape::Texts),
]);

static SCOPE_SPANS: Message = message(&[
    field("scope", scope_spans::SCOPE, Shape::One(&SCOPE)),
    field("spans", scope_spans::SPAN, Shape::Many(&SPAN)),
    field("schemaUrl", scope_spans::SCHEMA_URL, Shape::Text),
]);

static SCOPE: Message = message(&[
    field("name", scope::NAME, Shape::Text),
    field("version", scope::VERSION, Shape::Text),
    field("attributes", scope::ATTRIBUTE, ATTRIBUTES),
    field("droppedAttributesCount", scope::DROPPED_ATTRIBUTES, DROPPED),
]);

static SPAN: Message = item(&[
    field("traceId", span::TRACE_ID, Shape::Id(16)),
    field("spanId", span::SPAN_ID, Shape::Id(8)),
    field("traceState", span::TRACE_STATE, Shape::Text),
    field("parentSpanId", span::PARENT_ID, Shape::Id(8)),
    field("flags", span::FLAGS, FLAGS),
    field("name", span::NAME, Shape::Text),
    field("kind", span::KIND, Shape::Enum),
    field("startTimeUnixNano", span::START, TIME),
    field("endTimeUnixNano", span::END, TIME),
    field("attributes", span::ATTRIBUTE, ATTRIBUTES),
    field("droppedAttributesCount", span::DROPPED_ATTRIBUTES, DROPPED),
    field("events", span::EVENT, Shape::Many(&EVENT)),
    field("droppedEventsCount", span::DROPPED_EVENTS, DROPPED),
    field("links", span::LINK, Shape::Many(&LINK)),
    field("droppedLinksCount", span::DROPPED_LINKS, DROPPED),
    field("status", span::STATUS, Shape::One(&STATUS)),
]);

static EVENT: Message = item(&[
    field("timeUnixNano", event::TIME, TIME),
    field("name", event::NAME, Shape::Text),
    field("attributes", event::ATTRIBUTE, ATTRIBUTES),
    field("droppedAttributesCount", event::DROPPED_ATTRIBUTES, DROPPED),
]);

static LINK: Message = item(&[
    field("traceId", link::TRACE_ID, Shape::Id(16)),
    field("spanId", link::SPAN_ID, Shape::Id(8)),
    field("traceState", link::TRACE_STATE, Shape::Text),
    field("attributes", link::ATTRIBUTE, ATTRIBUTES),
    field("droppedAttributesCount", link::DROPPED_ATTRIBUTES, DROPPED),
    field("flags", link::FLAGS, FLAGS),
]);

static STATUS: Message = message(&[
    field("message", status::MESSAGE, Shape::Text),
    field("code", status::CODE, Shape::Enum),
]);

static KEY_VALUE: Message = message(&[
    field("key", key_value::KEY, Shape::Text),
    field("value", key_value::VALUE, Shape::One(&ANY_VALUE)),
]);

pub(super) static ANY_VALUE: Message = message(&[
    field("stringValue", any_value::STRING, Shape::Text),
    field("boolValue", any_value::BOOL, Shape::Bool),
    field("intValue", any_value::INT, Shape::Integer(Width::Int64)),
    field("doubleValue", any_value::DOUBLE, Shape::Double),
    field("arrayValue", any_value::ARRAY, Shape::One(&ARRAY)),
    field("kvlistValue", any_value::KVLIST, Shape::One(&KVLIST)),
    field("bytesValue", any_value::BYTES, Shape::Base64),
]);

static ARRAY: Message = message(&[field("values", list::VALUE, Shape::Many(&ANY_VALUE))]);

static KVLIST: Message = message(&[field("values", list::VALUE, Shape::Many(&KEY_VALUE))]);

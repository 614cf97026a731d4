//! Field keys of the OTLP trace messages (opentelemetry-proto 1.11), and for each message the set of
//! its field numbers, so that a known field with a wrong wire type is told from an unknown field.
//!
//! The two profile-only fields `string_value_strindex` and `key_strindex` are known, so that their
//! wire type is checked as everywhere else, and otherwise ignored.

use crate::wire::{FIXED32, FIXED64, LEN, VARINT};

/// The key of a length-delimited field.
pub(crate) const fn len(number: u32) -> u32 {
    number << 3 | LEN
}

/// The key of a varint field.
pub(crate) const fn varint(number: u32) -> u32 {
    number << 3 | VARINT
}

/// The key of a fixed64 field.
pub(crate) const fn fixed64(number: u32) -> u32 {
    number << 3 | FIXED64
}

/// The key of a fixed32 field.
pub(crate) const fn fixed32(number: u32) -> u32 {
    number << 3 | FIXED32
}

/// The set of field numbers `1..=last`.
const fn up_to(last: u32) -> u32 {
    (1 << (last + 1)) - 2
}

pub(crate) mod request {
    pub(crate) const RESOURCE_SPANS: u32 = super::len(1);
    pub(crate) const KNOWN: u32 = super::up_to(1);
}

pub(crate) mod resource_spans {
    pub(crate) const RESOURCE: u32 = super::len(1);
    pub(crate) const SCOPE_SPANS: u32 = super::len(2);
    pub(crate) const SCHEMA_URL: u32 = super::len(3);
    pub(crate) const KNOWN: u32 = super::up_to(3);
}

pub(crate) mod resource {
    pub(crate) const ATTRIBUTE: u32 = super::len(1);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = super::varint(2);
    pub(crate) const ENTITY_REF: u32 = super::len(3);
    pub(crate) const KNOWN: u32 = super::up_to(3);
}

pub(crate) mod entity_ref {
    pub(crate) const SCHEMA_URL: u32 = super::len(1);
    pub(crate) const TYPE: u32 = super::len(2);
    pub(crate) const ID_KEY: u32 = super::len(3);
    pub(crate) const DESCRIPTION_KEY: u32 = super::len(4);
    pub(crate) const KNOWN: u32 = super::up_to(4);
}

pub(crate) mod scope_spans {
    pub(crate) const SCOPE: u32 = super::len(1);
    pub(crate) const SPAN: u32 = super::len(2);
    pub(crate) const SCHEMA_URL: u32 = super::len(3);
    pub(crate) const KNOWN: u32 = super::up_to(3);
}

pub(crate) mod scope {
    pub(crate) const NAME: u32 = super::len(1);
    pub(crate) const VERSION: u32 = super::len(2);
    pub(crate) const ATTRIBUTE: u32 = super::len(3);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = super::varint(4);
    pub(crate) const KNOWN: u32 = super::up_to(4);
}

pub(crate) mod span {
    pub(crate) const TRACE_ID: u32 = super::len(1);
    pub(crate) const SPAN_ID: u32 = super::len(2);
    pub(crate) const TRACE_STATE: u32 = super::len(3);
    pub(crate) const PARENT_ID: u32 = super::len(4);
    pub(crate) const NAME: u32 = super::len(5);
    pub(crate) const KIND: u32 = super::varint(6);
    pub(crate) const START: u32 = super::fixed64(7);
    pub(crate) const END: u32 = super::fixed64(8);
    pub(crate) const ATTRIBUTE: u32 = super::len(9);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = super::varint(10);
    pub(crate) const EVENT: u32 = super::len(11);
    pub(crate) const DROPPED_EVENTS: u32 = super::varint(12);
    pub(crate) const LINK: u32 = super::len(13);
    pub(crate) const DROPPED_LINKS: u32 = super::varint(14);
    pub(crate) const STATUS: u32 = super::len(15);
    pub(crate) const FLAGS: u32 = super::fixed32(16);
    pub(crate) const KNOWN: u32 = super::up_to(16);
}

pub(crate) mod event {
    pub(crate) const TIME: u32 = super::fixed64(1);
    pub(crate) const NAME: u32 = super::len(2);
    pub(crate) const ATTRIBUTE: u32 = super::len(3);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = super::varint(4);
    pub(crate) const KNOWN: u32 = super::up_to(4);
}

pub(crate) mod link {
    pub(crate) const TRACE_ID: u32 = super::len(1);
    pub(crate) const SPAN_ID: u32 = super::len(2);
    pub(crate) const TRACE_STATE: u32 = super::len(3);
    pub(crate) const ATTRIBUTE: u32 = super::len(4);
    pub(crate) const DROPPED_ATTRIBUTES: u32 = super::varint(5);
    pub(crate) const FLAGS: u32 = super::fixed32(6);
    pub(crate) const KNOWN: u32 = super::up_to(6);
}

/// `Status`; field 1 was removed from OTLP long ago and is unknown.
pub(crate) mod status {
    pub(crate) const MESSAGE: u32 = super::len(2);
    pub(crate) const CODE: u32 = super::varint(3);
    pub(crate) const KNOWN: u32 = 1 << 2 | 1 << 3;
}

pub(crate) mod key_value {
    pub(crate) const KEY: u32 = super::len(1);
    pub(crate) const VALUE: u32 = super::len(2);
    pub(crate) const KEY_STRINDEX: u32 = super::varint(3);
    pub(crate) const KNOWN: u32 = super::up_to(3);
}

pub(crate) mod any_value {
    pub(crate) const STRING: u32 = super::len(1);
    pub(crate) const BOOL: u32 = super::varint(2);
    pub(crate) const INT: u32 = super::varint(3);
    pub(crate) const DOUBLE: u32 = super::fixed64(4);
    pub(crate) const ARRAY: u32 = super::len(5);
    pub(crate) const KVLIST: u32 = super::len(6);
    pub(crate) const BYTES: u32 = super::len(7);
    pub(crate) const STRINDEX: u32 = super::varint(8);
    pub(crate) const KNOWN: u32 = super::up_to(8);
}

/// `ArrayValue` and `KeyValueList` share their only field number.
pub(crate) mod list {
    pub(crate) const VALUE: u32 = super::len(1);
    pub(crate) const KNOWN: u32 = super::up_to(1);
}

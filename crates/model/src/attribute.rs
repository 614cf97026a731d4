//! Attribute values, borrowed from wherever the span lies, and the ports through which a stage
//! reads them without knowing the wire format.

use crate::span::Batch;

/// One attribute value, borrowed. Arrays and key-value lists are reported as [`ValueRef::Other`]:
/// no stage looks inside them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// A string value.
    Str(&'a str),
    /// A boolean value.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float; may be NaN or infinite.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// An array, a key-value list, or no value.
    Other,
}

/// Reads attributes of a span of a [`Batch`]. The border crate that made the batch implements it.
pub trait AttributeSource {
    /// The value of `key` on span `span_idx`; span attributes win over resource attributes. `None`
    /// when neither has the key. With duplicate keys the first wins.
    ///
    /// Cost: a walk over the attributes of one span, no allocation. `span_idx` out of range is
    /// `None`.
    fn attribute<'b>(&self, batch: &'b Batch, span_idx: u32, key: &str) -> Option<ValueRef<'b>>;
}

/// Reads the fields of a span of a [`Batch`] that its head does not carry: policies over whole traces
/// ask for them. The border crate that made the batch implements it. Cost and out-of-range positions
/// as for [`AttributeSource`]: one walk, no allocation, nothing found.
pub trait SpanFields {
    /// The value of `key` among the attributes of span `span_idx` itself, never of its resource. With
    /// duplicate keys the first wins.
    fn span_attribute<'b>(
        &self,
        batch: &'b Batch,
        span_idx: u32,
        key: &str,
    ) -> Option<ValueRef<'b>>;

    /// The value of `key` among the attributes of resource `resource_idx`. With duplicate keys the
    /// first wins.
    fn resource_attribute<'b>(
        &self,
        batch: &'b Batch,
        resource_idx: u32,
        key: &str,
    ) -> Option<ValueRef<'b>>;

    /// The W3C tracestate of span `span_idx` as sent; empty if it has none or it is not UTF-8.
    fn trace_state<'b>(&self, batch: &'b Batch, span_idx: u32) -> &'b str;

    /// The flags of span `span_idx` as sent, 0 if it has none; the low 8 bits are the W3C trace flags.
    fn flags(&self, batch: &Batch, span_idx: u32) -> u32;
}

//! One attribute of a span, found in the bytes when somebody asks.
//!
//! Nothing is indexed: rules look at few spans and at one or two keys of those, and an index would
//! cost more than all look-ups together.

use spanwise_model::{AttributeSource, Batch, SpanFields, ValueRef};

use crate::limits::DEPTH_MAX;
use crate::schema::{resource, span};
use crate::value::read_attribute;
use crate::wire::{Reader, Stop};

/// Reads attributes from the raw bytes of batches made by [`decode`](crate::decode()). Batches
/// without bytes have no attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireAttributes;

impl AttributeSource for WireAttributes {
    fn attribute<'b>(&self, batch: &'b Batch, span_idx: u32, key: &str) -> Option<ValueRef<'b>> {
        let head = batch.spans.get(span_idx as usize)?;
        let of_span = self.span_attribute(batch, span_idx, key);
        of_span.or_else(|| self.resource_attribute(batch, head.resource_idx, key))
    }
}

impl SpanFields for WireAttributes {
    fn span_attribute<'b>(
        &self,
        batch: &'b Batch,
        span_idx: u32,
        key: &str,
    ) -> Option<ValueRef<'b>> {
        find(raw_span(batch, span_idx), span::ATTRIBUTE, key)
    }

    fn resource_attribute<'b>(
        &self,
        batch: &'b Batch,
        resource_idx: u32,
        key: &str,
    ) -> Option<ValueRef<'b>> {
        let resource = batch.resources.get(resource_idx as usize)?;
        find(resource.raw.of(&batch.bytes), resource::ATTRIBUTE, key)
    }

    fn trace_state<'b>(&self, batch: &'b Batch, span_idx: u32) -> &'b str {
        let last = last(raw_span(batch, span_idx), span::TRACE_STATE, Reader::payload);
        last.and_then(|text| std::str::from_utf8(text.rest()).ok()).unwrap_or_default()
    }

    fn flags(&self, batch: &Batch, span_idx: u32) -> u32 {
        last(raw_span(batch, span_idx), span::FLAGS, Reader::fixed32).unwrap_or(0)
    }
}

fn raw_span(batch: &Batch, span_idx: u32) -> &[u8] {
    batch.spans.get(span_idx as usize).map_or(&[], |head| head.raw.of(&batch.bytes))
}

/// The last occurrence of a single field: that one counts. What is not readable is not there.
fn last<'b, T>(
    message: &'b [u8],
    field: u32,
    read: impl Fn(&mut Reader<'b>) -> Result<T, Stop>,
) -> Option<T> {
    let mut reader = Reader::new(message);
    let mut found = None;
    while let Some(next) = reader.key().ok()? {
        if next == field {
            found = Some(read(&mut reader).ok()?);
        } else {
            reader.skip(next, 0, DEPTH_MAX).ok()?;
        }
    }
    found
}

/// The first attribute `key` among the fields `field` of a message. The walk over the request has
/// checked the bytes; should they not be readable after all, there is no such attribute.
fn find<'b>(message: &'b [u8], field: u32, key: &str) -> Option<ValueRef<'b>> {
    let mut reader = Reader::new(message);
    while let Some(next) = reader.key().ok()? {
        if next != field {
            reader.skip(next, 0, DEPTH_MAX).ok()?;
            continue;
        }
        let attribute = read_attribute::<false>(reader.payload().ok()?, DEPTH_MAX).ok()?;
        if attribute.key == key.as_bytes() {
            return Some(attribute.value.to_value_ref());
        }
    }
    None
}

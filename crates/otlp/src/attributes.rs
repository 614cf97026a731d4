//! One attribute of a span, found in the bytes when somebody asks.
//!
//! Nothing is indexed: rules look at few spans and at one or two keys of those, and an index would
//! cost more than all look-ups together.

use spanwise_model::{AttributeSource, Batch, ValueRef};

use crate::limits::DEPTH_MAX;
use crate::schema::{resource, span};
use crate::value::read_attribute;
use crate::wire::Reader;

/// Reads attributes from the raw bytes of batches made by [`decode`](crate::decode()). Batches
/// without bytes have no attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireAttributes;

impl AttributeSource for WireAttributes {
    fn attribute<'b>(&self, batch: &'b Batch, span_idx: u32, key: &str) -> Option<ValueRef<'b>> {
        let head = batch.spans.get(span_idx as usize)?;
        let of_span = find(head.raw.of(&batch.bytes), span::ATTRIBUTE, key);
        of_span.or_else(|| {
            let resource = batch.resources.get(head.resource_idx as usize)?;
            find(resource.raw.of(&batch.bytes), resource::ATTRIBUTE, key)
        })
    }
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

//! Kept spans to a new request, byte for byte: each Span, Resource and scope message is copied as it
//! was received, under new length headers. Unknown fields inside them survive; unknown fields of
//! the two envelope messages around them do not.

use std::collections::BTreeMap;

use bytes::Bytes;
use spanwise_model::{Batch, ByteRange};

use crate::schema::{request, resource_spans, scope_spans};
use crate::writer::{Writer, varint_len};

/// A span to be sent on.
#[derive(Clone, Copy, Debug)]
pub struct KeptSpan<'a> {
    /// The batch that holds it.
    pub batch: &'a Batch,
    /// Position in [`Batch::spans`].
    pub span_idx: u32,
    /// Encoded fields of `Span` to append behind its bytes: a stamp made by
    /// [`span_attributes`](crate::span_attributes), or nothing.
    pub stamp: &'a [u8],
}

/// A request made of kept spans.
#[derive(Clone, Debug, Default)]
pub struct Reframed {
    /// The `ExportTraceServiceRequest`.
    pub bytes: Bytes,
    /// For each span of the request, in request order, its position among the spans given: what runs
    /// parallel to the spans must be put in this order.
    pub order: Vec<u32>,
}

/// Frames `spans` as one request, grouped by resource and by scope in order of first appearance;
/// inside a group the given order stays. Groups are equal when their bytes are, across batches too.
///
/// Spans out of range, and spans of batches without bytes, are left out, of `order` too. The request
/// is as large as the spans in it: keep it below the receiver's limit by giving fewer.
pub fn reframe(spans: &[KeptSpan<'_>]) -> Reframed {
    let groups = group(spans);
    let mut order = Vec::with_capacity(spans.len());
    let mut writer = Writer::with_capacity(groups.iter().map(ResourceGroup::framed_len).sum());
    for group in &groups {
        group.write(&mut writer, &mut order);
    }
    debug_assert_eq!(writer.len(), groups.iter().map(ResourceGroup::framed_len).sum::<usize>());
    Reframed { bytes: writer.into_bytes().into(), order }
}

/// A message that may be absent, and the schema URL beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Context<'a> {
    /// `None` if the message is absent, which differs from an empty one.
    message: Option<&'a [u8]>,
    schema_url: &'a [u8],
}

struct ResourceGroup<'a> {
    resource: Context<'a>,
    scopes: Vec<ScopeGroup<'a>>,
    /// Bytes of all `scope_spans` fields.
    n_bytes: usize,
}

struct ScopeGroup<'a> {
    scope: Context<'a>,
    spans: Vec<Placed<'a>>,
    /// Bytes of all `spans` fields.
    n_bytes: usize,
}

struct Placed<'a> {
    raw: &'a [u8],
    stamp: &'a [u8],
    position: u32,
}

fn group<'a>(spans: &[KeptSpan<'a>]) -> Vec<ResourceGroup<'a>> {
    let mut groups: Vec<ResourceGroup<'a>> = Vec::new();
    let mut resources = BTreeMap::new();
    let mut scopes = BTreeMap::new();
    for (position, kept) in spans.iter().enumerate() {
        let Some((resource, scope, raw)) = locate(kept) else { continue };
        let resource_idx = *resources.entry(resource).or_insert_with(|| {
            groups.push(ResourceGroup { resource, scopes: Vec::new(), n_bytes: 0 });
            groups.len() - 1
        });
        let group = &mut groups[resource_idx];
        let scope_idx = *scopes.entry((resource_idx, scope)).or_insert_with(|| {
            group.scopes.push(ScopeGroup { scope, spans: Vec::new(), n_bytes: 0 });
            group.scopes.len() - 1
        });
        let scope_group = &mut group.scopes[scope_idx];
        scope_group.n_bytes += field_len(raw.len() + kept.stamp.len());
        scope_group.spans.push(Placed { raw, stamp: kept.stamp, position: position as u32 });
    }
    for group in &mut groups {
        group.n_bytes = group.scopes.iter().map(|scope| field_len(scope.payload_len())).sum();
    }
    groups
}

/// Resource, scope and bytes of a span; `None` if the batch does not have them.
fn locate<'a>(kept: &KeptSpan<'a>) -> Option<(Context<'a>, Context<'a>, &'a [u8])> {
    let batch = kept.batch;
    let head = batch.spans.get(kept.span_idx as usize)?;
    let raw = head.raw.of(&batch.bytes);
    if raw.is_empty() {
        return None;
    }
    let resource = batch.resources.get(head.resource_idx as usize).copied().unwrap_or_default();
    let scope = batch.scopes.get(head.scope_idx as usize).copied().unwrap_or_default();
    let context = |message, schema_url: ByteRange| Context {
        message: present(message).map(|range| range.of(&batch.bytes)),
        schema_url: schema_url.of(&batch.bytes),
    };
    let resource = context(resource.raw, resource.schema_url);
    Some((resource, context(scope.raw, scope.schema_url), raw))
}

/// A message that was sent lies behind its key, so its range never starts at 0.
fn present(range: ByteRange) -> Option<ByteRange> {
    (range.start > 0).then_some(range)
}

/// Bytes of a length-delimited field with a one-byte key.
fn field_len(payload: usize) -> usize {
    1 + varint_len(payload as u64) + payload
}

impl Context<'_> {
    /// Bytes of both fields.
    fn framed_len(&self) -> usize {
        let url = if self.schema_url.is_empty() { 0 } else { field_len(self.schema_url.len()) };
        self.message.map_or(0, |message| field_len(message.len())) + url
    }
}

impl ResourceGroup<'_> {
    fn payload_len(&self) -> usize {
        self.resource.framed_len() + self.n_bytes
    }

    fn framed_len(&self) -> usize {
        field_len(self.payload_len())
    }

    fn write(&self, writer: &mut Writer, order: &mut Vec<u32>) {
        writer.header(request::RESOURCE_SPANS, self.payload_len());
        if let Some(message) = self.resource.message {
            writer.bytes(resource_spans::RESOURCE, message);
        }
        for scope in &self.scopes {
            scope.write(writer, order);
        }
        if !self.resource.schema_url.is_empty() {
            writer.bytes(resource_spans::SCHEMA_URL, self.resource.schema_url);
        }
    }
}

impl ScopeGroup<'_> {
    fn payload_len(&self) -> usize {
        self.scope.framed_len() + self.n_bytes
    }

    fn write(&self, writer: &mut Writer, order: &mut Vec<u32>) {
        writer.header(resource_spans::SCOPE_SPANS, self.payload_len());
        if let Some(message) = self.scope.message {
            writer.bytes(scope_spans::SCOPE, message);
        }
        for span in &self.spans {
            writer.header(scope_spans::SPAN, span.raw.len() + span.stamp.len());
            writer.raw(span.raw);
            writer.raw(span.stamp);
            order.push(span.position);
        }
        if !self.scope.schema_url.is_empty() {
            writer.bytes(scope_spans::SCHEMA_URL, self.scope.schema_url);
        }
    }
}

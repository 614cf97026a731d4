//! Batches without the bytes of their spans: what is left of a request in memory while its bytes stand
//! on disk. Heads stay, and so do resources and scopes, which are few and asked for by rules; the
//! ranges of spans still say where their bytes stood in the request.

use crate::span::{Batch, ByteRange, ResourceHead, ScopeHead};

/// The bytes of resources and scopes, copied behind one another: a request without its spans.
#[derive(Clone, Debug)]
pub struct Contexts {
    /// What has been copied so far. Never empty: a message that is there does not start at 0.
    pub bytes: Vec<u8>,
}

impl Default for Contexts {
    fn default() -> Self {
        Self { bytes: vec![0] }
    }
}

impl Contexts {
    /// Copies a resource of the request `from`; where it stands in the copy.
    pub fn resource(&mut self, from: &[u8], head: ResourceHead) -> ResourceHead {
        let raw = self.copy(from, head.raw);
        let mut within = |range: ByteRange| {
            let offset = range.start.checked_sub(head.raw.start);
            match offset.filter(|offset| offset + range.len <= head.raw.len) {
                Some(offset) if !range.is_empty() => {
                    ByteRange { start: raw.start + offset, len: range.len }
                }
                _ => self.copy(from, range),
            }
        };
        ResourceHead {
            raw,
            service: within(head.service),
            instance: within(head.instance),
            schema_url: within(head.schema_url),
            version: within(head.version),
            is_synthetic: head.is_synthetic,
        }
    }

    /// Copies a scope.
    pub fn scope(&mut self, from: &[u8], head: ScopeHead) -> ScopeHead {
        let raw = self.copy(from, head.raw);
        ScopeHead { raw, schema_url: self.copy(from, head.schema_url) }
    }

    /// Appends bytes; where they stand.
    pub fn push(&mut self, bytes: &[u8]) -> ByteRange {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        ByteRange { start, len: bytes.len() as u32 }
    }

    /// What is absent stays so; what is there and empty too.
    fn copy(&mut self, from: &[u8], range: ByteRange) -> ByteRange {
        if range.start == 0 { ByteRange::default() } else { self.push(range.of(from)) }
    }
}

impl Batch {
    /// Lets the bytes of spans go and keeps those of resources and scopes; tables give back what
    /// they do not need. Whoever holds the lease finds the bytes at [`ByteRange::home`]. Nothing
    /// happens unless the batch [is stored](Batch::is_stored), or if they are away already.
    pub fn lighten(&mut self) {
        let is_away = self.spans.first().is_none_or(|head| head.raw.is_away());
        if !self.is_stored || is_away {
            return;
        }
        let mut contexts = Contexts::default();
        for resource in &mut self.resources {
            *resource = contexts.resource(&self.bytes, *resource);
        }
        for scope in &mut self.scopes {
            *scope = contexts.scope(&self.bytes, *scope);
        }
        let homes = std::mem::take(&mut self.homes);
        debug_assert!(homes.is_empty() || homes.len() == self.spans.len(), "a home for each span");
        for (idx, head) in self.spans.iter_mut().enumerate() {
            let here = head.raw.start;
            head.raw.start = homes.get(idx).copied().unwrap_or(here);
            let offset = head.name.start.checked_sub(here).filter(|_| !head.name.is_empty());
            let moved = |offset| ByteRange { start: head.raw.start + offset, len: head.name.len };
            head.name = offset.map(moved).unwrap_or_default().away();
            head.raw = head.raw.away();
        }
        self.bytes = contexts.bytes.into();
        self.spans.shrink_to_fit();
        self.resources.shrink_to_fit();
        self.scopes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::span::SpanHead;

    #[test]
    fn a_lightened_part_says_where_its_spans_stand_in_the_whole() {
        let range = |start, len| ByteRange { start, len };
        let whole = Bytes::from_static(b"....first....second");
        let span = |raw, name| SpanHead { raw, name, ..SpanHead::default() };
        let mut part = Batch {
            bytes: Bytes::from_static(b"secondfirst"),
            spans: vec![span(range(0, 6), range(1, 3)), span(range(6, 5), range(0, 0))],
            is_stored: true,
            homes: vec![13, 4],
            ..Batch::default()
        };
        part.lighten();
        let of = |range: ByteRange| range.home().of(&whole).to_vec();
        assert!(part.spans.iter().all(|head| head.raw.is_away() && head.name.is_away()));
        assert_eq!(
            (of(part.spans[0].raw), of(part.spans[0].name)),
            (b"second".to_vec(), b"eco".to_vec())
        );
        assert_eq!((of(part.spans[1].raw), part.spans[1].name.len), (b"first".to_vec(), 0));
        assert_eq!(part.homes.capacity(), 0);
    }

    #[test]
    fn a_lightened_batch_keeps_what_surrounds_its_spans() {
        let range = |start, len| ByteRange { start, len };
        let resource = ResourceHead {
            raw: range(1, 7),
            service: range(2, 4),
            instance: range(6, 2),
            schema_url: range(14, 2),
            ..ResourceHead::default()
        };
        let mut batch = Batch {
            bytes: Bytes::from_static(b"?rcartp1!spans.uu"),
            spans: vec![SpanHead { raw: range(9, 5), name: range(10, 2), ..SpanHead::default() }],
            resources: vec![resource],
            scopes: vec![ScopeHead::default()],
            ..Batch::default()
        };
        let whole = batch.clone();
        batch.lighten();
        assert_eq!(batch.bytes, whole.bytes, "it stands nowhere else");
        batch.is_stored = true;
        batch.lighten();
        let head = batch.spans[0];
        assert!(head.raw.is_away() && head.raw.of(&batch.bytes).is_empty());
        assert!(head.name.of(&batch.bytes).is_empty());
        assert_eq!(head.raw.home().of(&whole.bytes), b"spans");
        assert_eq!(batch.service_bytes(&head), whole.service_bytes(&whole.spans[0]));
        assert_eq!(batch.instance(&head), b"p1");
        let light = batch.resources[0];
        assert_eq!(light.raw.of(&batch.bytes), resource.raw.of(&whole.bytes));
        assert_eq!(light.schema_url.of(&batch.bytes), b".u");
        assert_eq!((light.version, batch.scopes[0]), Default::default());
        let again = batch.clone();
        batch.lighten();
        assert_eq!((batch.spans, batch.bytes), (again.spans, again.bytes));
    }
}

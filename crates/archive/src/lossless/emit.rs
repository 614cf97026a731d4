//! Spans back to requests.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::dictionary::Dictionary;
use super::wire::loose_field;
use crate::error::Error;
use crate::varint;

/// Spans and bytes after which a request is sent: the default batch of OpenTelemetry SDKs.
const N_SPANS_MAX: usize = 512;
const N_BYTES_MAX: usize = 1 << 20;

/// Collects spans by (resource, scope) until they make a request.
pub(super) struct Emitter<'a> {
    sink: &'a mut dyn FnMut(Bytes) -> io::Result<()>,
    /// `ScopeSpans.spans` fields.
    groups: BTreeMap<(u32, u32), Vec<u8>>,
    n_spans: usize,
    n_bytes: usize,
    /// Bytes that may still be sent.
    n_bytes_left: u64,
}

/// Appends a length-delimited field.
pub(crate) fn put_field(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    varint::put(out, u64::from(number << 3 | 2));
    varint::put(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

impl<'a> Emitter<'a> {
    /// Sends at most `n_bytes_max` bytes to `sink`.
    pub(super) fn new(sink: &'a mut dyn FnMut(Bytes) -> io::Result<()>, n_bytes_max: u64) -> Self {
        let groups = BTreeMap::new();
        Self { sink, groups, n_spans: 0, n_bytes: 0, n_bytes_left: n_bytes_max }
    }

    /// Appends attributes to the resource of every envelope; one without a resource gets one.
    pub(super) fn mark(dictionary: &mut Dictionary, attributes: &[u8]) {
        for envelope in &mut dictionary.resources {
            let mut marked = Vec::with_capacity(envelope.len() + attributes.len() + 8);
            let mut rest = &envelope[..];
            let mut is_marked = false;
            // A writer stores only envelopes that can be read; what follows a fault is lost.
            while let Ok((number, payload, bytes)) = loose_field(&mut rest) {
                match payload {
                    Some(payload) if number == 1 && !is_marked => {
                        put_field(&mut marked, 1, &[payload, attributes].concat());
                        is_marked = true;
                    }
                    _ => marked.extend_from_slice(bytes),
                }
            }
            if !is_marked {
                put_field(&mut marked, 1, attributes);
            }
            *envelope = marked;
        }
    }

    pub(super) fn span(
        &mut self,
        dictionary: &Dictionary,
        place: (u32, u32),
        span: &[u8],
    ) -> Result<(), Error> {
        put_field(self.groups.entry(place).or_default(), 2, span);
        self.n_spans += 1;
        self.n_bytes += span.len();
        if self.n_spans >= N_SPANS_MAX || self.n_bytes >= N_BYTES_MAX {
            self.flush(dictionary)?;
        }
        Ok(())
    }

    /// Sends what is left, and the envelopes in which no span stood.
    pub(super) fn finish(mut self, dictionary: &Dictionary) -> Result<(), Error> {
        self.flush(dictionary)?;
        let mut request = Vec::new();
        for (resource, scope) in &dictionary.empty {
            let mut message = dictionary.resources[*resource as usize].clone();
            if let Some(scope) = scope {
                put_field(&mut message, 2, &dictionary.scopes[*scope as usize]);
            }
            put_field(&mut request, 1, &message);
            if request.len() >= N_BYTES_MAX {
                self.send(std::mem::take(&mut request))?;
            }
        }
        if request.is_empty() { Ok(()) } else { self.send(request) }
    }

    fn flush(&mut self, dictionary: &Dictionary) -> Result<(), Error> {
        let mut request = Vec::with_capacity(self.n_bytes + 256 * self.groups.len());
        let groups = std::mem::take(&mut self.groups);
        let mut groups = groups.into_iter().peekable();
        while let Some(((resource, scope), spans)) = groups.next() {
            let mut message = dictionary.resources[resource as usize].clone();
            let mut next = Some((scope, spans));
            while let Some((scope, spans)) = next.take() {
                let envelope = &dictionary.scopes[scope as usize];
                varint::put(&mut message, 0x12);
                varint::put(&mut message, (envelope.len() + spans.len()) as u64);
                message.extend_from_slice(envelope);
                message.extend_from_slice(&spans);
                next = groups
                    .next_if(|((other, _), _)| *other == resource)
                    .map(|((_, scope), spans)| (scope, spans));
            }
            put_field(&mut request, 1, &message);
        }
        (self.n_spans, self.n_bytes) = (0, 0);
        if request.is_empty() { Ok(()) } else { self.send(request) }
    }

    fn send(&mut self, request: Vec<u8>) -> Result<(), Error> {
        let value = request.len() as u64;
        let Some(left) = self.n_bytes_left.checked_sub(value) else {
            return Err(Error::Limit {
                what: "bytes to generate",
                value,
                limit: self.n_bytes_left,
            });
        };
        self.n_bytes_left = left;
        (self.sink)(request.into())?;
        Ok(())
    }
}

//! A `Resource` or `InstrumentationScope` that was sent in several pieces.
//!
//! Protobuf merges the pieces, and merging is the same as joining their bytes. A head can name one
//! range only, so the joined bytes are appended behind the request, in the payload of a field that
//! nobody knows: what [`Batch::bytes`] holds stays a valid request with the same meaning. No
//! exporter known splits a resource, so the copy this costs is paid for strange input only; it is
//! charged like everything else.

use bytes::{BufMut, Bytes, BytesMut};
use spanwise_model::{Batch, ByteRange};

use crate::limits::DEPTH_MAX;
use crate::schema::{resource_spans, scope_spans};
use crate::wire::{LEN, Reader};

/// The highest field number there is: no message of OTLP will use it.
const FIELD: u64 = (1 << 29) - 1;
/// Bytes of the key and the longest length of the appended field.
const FRAME_BYTES: u64 = 5 + 5;

/// A head whose message came in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    head: Head,
    /// The `ResourceSpans` or `ScopeSpans` that holds the pieces.
    parent: ByteRange,
    /// Length of all pieces together.
    n_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Head {
    Resource(u32),
    Scope(u32),
}

/// The pieces of one message, while its parent is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pieces {
    n_pieces: u32,
    n_bytes: u64,
}

impl Pieces {
    pub(super) fn add(&mut self, piece: ByteRange) {
        self.n_pieces += 1;
        self.n_bytes += u64::from(piece.len);
    }

    pub(super) fn of_resource(self, idx: u32, parent: ByteRange) -> Option<Split> {
        self.split(Head::Resource(idx), parent)
    }

    pub(super) fn of_scope(self, idx: u32, parent: ByteRange) -> Option<Split> {
        self.split(Head::Scope(idx), parent)
    }

    fn split(self, head: Head, parent: ByteRange) -> Option<Split> {
        (self.n_pieces > 1).then_some(Split { head, parent, n_bytes: self.n_bytes })
    }
}

/// Bytes that [`join`] appends, as an upper bound.
pub(super) fn appended_bytes(split: &[Split]) -> u64 {
    FRAME_BYTES + split.iter().map(|s| s.n_bytes).sum::<u64>()
}

/// The request with the joined pieces behind it; points the heads at them. The caller has checked
/// that the result stays below 4 GiB.
pub(super) fn join(request: &Bytes, split: &[Split], batch: &mut Batch) -> Bytes {
    let mut out = BytesMut::with_capacity(request.len() + appended_bytes(split) as usize);
    out.put_slice(request);
    put_varint(&mut out, FIELD << 3 | u64::from(LEN));
    put_varint(&mut out, split.iter().map(|s| s.n_bytes).sum());
    for one in split {
        let start = out.len() as u32;
        let wanted = match one.head {
            Head::Resource(_) => resource_spans::RESOURCE,
            Head::Scope(_) => scope_spans::SCOPE,
        };
        put_pieces(&mut out, Reader::new(one.parent.of(request)), wanted);
        let raw = ByteRange { start, len: out.len() as u32 - start };
        match one.head {
            Head::Resource(idx) => batch.resources[idx as usize].raw = raw,
            Head::Scope(idx) => batch.scopes[idx as usize].raw = raw,
        }
    }
    out.freeze()
}

/// Copies the payload of each field `wanted`. The message has been walked before, so it does not
/// fail to be read; if it did, the rest would be left out.
fn put_pieces(out: &mut BytesMut, mut reader: Reader<'_>, wanted: u32) {
    while let Ok(Some(key)) = reader.key() {
        if key == wanted {
            let Ok(payload) = reader.payload() else { return };
            out.put_slice(payload.rest());
        } else if reader.skip(key, 0, DEPTH_MAX).is_err() {
            return;
        }
    }
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

//! A recorded request made to look new: all times moved by one amount, trace ids re-keyed, in
//! place, so that no length changes and durations stay what they were.

use bytes::{Bytes, BytesMut};
use spanwise_model::{ByteRange, TraceId};

use crate::error::DecodeError;
use crate::limits::{DEPTH_MAX, Limits};
use crate::schema::{event, link, request, resource_spans, scope_spans, span};
use crate::wire::{Reader, Stop};

/// How to make a request look new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Nanoseconds added to the start and end of spans and to the time of events. Times of 0 mean
    /// "not set" and stay; others saturate at 1 and at the end of the range.
    pub delta_ns: i64,
    /// Mixed into the first 8 bytes of each trace id, of spans and links alike, so that a file
    /// replayed twice makes different traces. The last 8 bytes stay, and with them the shard and the
    /// randomness of probability sampling. 0 leaves ids alone.
    pub id_key: u64,
}

/// Copies `request` with its times moved and its trace ids re-keyed. Nothing is checked beyond what
/// the patching needs: decode the result as any other input.
///
/// # Errors
/// Bytes whose envelope, spans, events or links cannot be walked, and requests over
/// [`Limits::request_bytes`].
pub fn shift(request: &[u8], shift: Shift, limits: &Limits) -> Result<Bytes, DecodeError> {
    shift_each(request, shift.id_key, limits, &mut |_| shift.delta_ns)
}

/// As [`shift`], with an amount for each trace: `delta_ns` is asked once for every span, with its
/// trace id as recorded (all-zero if the span has none of 16 bytes).
///
/// # Errors
/// As [`shift`].
pub fn shift_each(
    request: &[u8],
    id_key: u64,
    limits: &Limits,
    delta_ns: &mut dyn FnMut(TraceId) -> i64,
) -> Result<Bytes, DecodeError> {
    let n_bytes = request.len() as u64;
    let limit = limits.request_bytes.min(u64::from(u32::MAX));
    if n_bytes > limit {
        return Err(DecodeError::TooLarge { n_bytes, limit });
    }
    let mut out = BytesMut::from(request);
    let depth = limits.depth.min(DEPTH_MAX);
    let mut patch = Patch { delta_of: delta_ns, delta_ns: 0, id_key, depth, out: &mut out };
    patch.request(Reader::new(request)).map_err(|stop| stop.into_error(limits))?;
    Ok(out.freeze())
}

struct Patch<'p> {
    delta_of: &'p mut dyn FnMut(TraceId) -> i64,
    /// Amount of the span at hand.
    delta_ns: i64,
    id_key: u64,
    depth: u32,
    out: &'p mut [u8],
}

impl Patch<'_> {
    fn request(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            match key {
                request::RESOURCE_SPANS => self.resource_spans(reader.payload()?)?,
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            match key {
                resource_spans::SCOPE_SPANS => self.scope_spans(reader.payload()?)?,
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            match key {
                scope_spans::SPAN => self.span(reader.payload()?)?,
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    fn span(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        let trace_id = self.trace_of(reader)?;
        self.delta_ns = (self.delta_of)(trace_id);
        while let Some(key) = reader.key()? {
            match key {
                span::TRACE_ID => self.trace_id(reader.payload()?.range()),
                span::START | span::END => self.time(&mut reader)?,
                span::EVENT => self.event(reader.payload()?)?,
                span::LINK => self.link(reader.payload()?)?,
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    /// The trace id of a span; fields may stand in any order and the last one counts.
    fn trace_of(&self, mut reader: Reader<'_>) -> Result<TraceId, Stop> {
        let mut trace_id = TraceId::default();
        while let Some(key) = reader.key()? {
            match key {
                span::TRACE_ID => {
                    let range = reader.payload()?.range();
                    trace_id = range.of(self.out).try_into().map(TraceId).unwrap_or_default();
                }
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(trace_id)
    }

    fn event(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            match key {
                event::TIME => self.time(&mut reader)?,
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    fn link(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            match key {
                link::TRACE_ID => self.trace_id(reader.payload()?.range()),
                _ => reader.skip(key, 0, self.depth)?,
            }
        }
        Ok(())
    }

    fn time(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let at = reader.offset() as usize;
        let time = reader.fixed64()?;
        if time != 0 {
            let moved = time.saturating_add_signed(self.delta_ns).max(1);
            self.out[at..at + 8].copy_from_slice(&moved.to_le_bytes());
        }
        Ok(())
    }

    /// Mixes the key into an id of 16 bytes. The all-zero id stays, and so does the one that would
    /// become all-zero: what is valid stays valid and no two ids become one.
    fn trace_id(&mut self, range: ByteRange) {
        let start = range.start as usize;
        let Some(id) = self.out[start..].first_chunk_mut::<16>().filter(|_| range.len == 16) else {
            return;
        };
        let old = u128::from_be_bytes(*id);
        let mixed = old ^ u128::from(self.id_key) << 64;
        if old != 0 && mixed != 0 {
            *id = mixed.to_be_bytes();
        }
    }
}

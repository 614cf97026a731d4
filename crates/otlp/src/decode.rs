//! From request bytes to a [`Batch`] of span heads, in one walk that builds nothing else: it checks
//! every field that prost would check and fills the tables. Resources and scopes get a head with
//! their first accepted span, so a request of empty messages builds nothing at all.
//!
//! An accepted span has 30 bytes at least, so the bytes of a request bound what it can cost. Where
//! that bound lies above the limits (large requests only) a walk over the three envelope levels goes
//! before and counts; from the counts follow the exact cost and the exact capacity of the tables, so
//! a request over its limits is refused before anything is allocated. Small requests are not counted
//! first: it is the one walk that waits for memory at every span.
//!
//! Why not prost: decoding into structs costs ten times as much and 133 times the bytes in the
//! worst case. prost stays the oracle of the tests: same verdict, same spans.
//!
//! A `Resource` or `InstrumentationScope` that is sent in several pieces is merged, as protobuf
//! demands, by appending the joined pieces behind the request.

use bytes::Bytes;
use spanwise_model::{Batch, ResourceHead, ScopeHead, SpanHead};

use crate::error::DecodeError;
use crate::limits::{DEPTH_MAX, Limits};
use crate::report::Report;
use crate::schema::{request, resource_spans, scope_spans};
use crate::wire::{Cause, Reader, Stop};

mod context;
mod span;
mod split;
mod streaming;
mod trace_state;

use context::{read_resource, read_scope};
use span::Place;
use split::{Pieces, Split};

/// A decoded request and what was wrong with single spans of it.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The request's bytes and the heads of its accepted spans, in request order.
    pub batch: Batch,
    /// Counts, among them the rejected spans.
    pub report: Report,
}

/// Decodes a protobuf `ExportTraceServiceRequest` into a new batch.
///
/// Spans with bad ids are left out and counted; spans with absurd times are kept and flagged. The
/// batch keeps `bytes` alive: hand in bytes that are not a slice of something much larger.
///
/// Cost: a twelfth of what prost takes (`examples/decode_speed.rs`); allocations for the tables of
/// heads as they grow, none into tables that are reused ([`decode_into`]).
///
/// # Errors
/// Malformed protobuf (the verdict is prost's) and each excess of `limits`.
pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut batch = Batch::default();
    let report = decode_into(bytes, limits, &mut batch)?;
    Ok(Decoded { batch, report })
}

/// What [`decode`] would hold on the heap for these bytes, at most: the bytes themselves and the
/// heads. Allocates nothing, so that memory can be asked for before it is taken.
///
/// Cost: one walk over the envelopes, a few ns a span.
///
/// # Errors
/// Each excess of `limits` that shows in the envelopes, and envelopes that are malformed.
pub fn decoded_cost(bytes: &[u8], limits: &Limits) -> Result<u64, DecodeError> {
    let limits = &clamped(limits);
    let counts = checked_counts(bytes, limits)?;
    let n_bytes = bytes.len() as u64 + counts.heads_bytes();
    check_cost(n_bytes, limits)?;
    Ok(n_bytes)
}

/// As [`decode`], into a batch whose tables are reused: no allocation once they are large enough.
/// What the batch held before is dropped; after an error it is empty.
pub fn decode_into(
    bytes: Bytes,
    limits: &Limits,
    batch: &mut Batch,
) -> Result<Report, DecodeError> {
    batch.clear();
    let result = fill(bytes, limits, batch);
    if result.is_err() {
        batch.clear();
    }
    result
}

fn clamped(limits: &Limits) -> Limits {
    Limits { depth: limits.depth.clamp(1, DEPTH_MAX), ..*limits }
}

/// Counts the messages of a request that is small enough to be looked at.
fn checked_counts(bytes: &[u8], limits: &Limits) -> Result<Counts, DecodeError> {
    check_size(bytes.len() as u64, limits)?;
    count(Reader::new(bytes), limits).map_err(|stop| stop.into_error(limits))
}

fn fill(bytes: Bytes, limits: &Limits, batch: &mut Batch) -> Result<Report, DecodeError> {
    let limits = &clamped(limits);
    let n_bytes = bytes.len() as u64;
    let mut report = Report::default();
    let is_counted = cost_bound(n_bytes) > limits.decoded_cost_bytes;
    if is_counted {
        let counts = checked_counts(&bytes, limits)?;
        check_cost(n_bytes + counts.heads_bytes(), limits)?;
        counts.reserve(batch);
    } else {
        check_size(n_bytes, limits)?;
    }

    let mut walk = Walk { limits, report, n_items: 0, batch, split: Vec::new() };
    walk.request(Reader::new(&bytes)).map_err(|stop| stop.into_error(limits))?;
    let split;
    (report, split) = (walk.report, walk.split);
    if split.is_empty() {
        batch.bytes = bytes;
    } else {
        let appended = split::appended_bytes(&split);
        check_cost(n_bytes + appended + batch.heap_bytes(), limits)?;
        let limit = u64::from(u32::MAX);
        if n_bytes + appended > limit {
            return Err(DecodeError::TooLarge { n_bytes: n_bytes + appended, limit });
        }
        batch.bytes = split::join(&bytes, &split, batch);
    }
    report.cost_bytes = batch.heap_bytes();
    Ok(report)
}

/// The most a request of this size can cost: itself, and of its spans a head each, one more for a
/// resource and one for a scope.
const fn cost_bound(n_bytes: u64) -> u64 {
    /// Key and length, and two ids with theirs.
    const SPAN_BYTES_MIN: u64 = 2 + 18 + 10;
    const HEADS_BYTES: u64 =
        (size_of::<SpanHead>() + size_of::<ResourceHead>() + size_of::<ScopeHead>()) as u64;
    // Tables that grow are up to twice as large as what is in them.
    n_bytes + 2 * HEADS_BYTES * (n_bytes / SPAN_BYTES_MIN)
}

fn check_size(n_bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
    let limit = limits.request_bytes.min(u64::from(u32::MAX));
    if n_bytes > limit { Err(DecodeError::TooLarge { n_bytes, limit }) } else { Ok(()) }
}

fn check_cost(n_bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
    let limit = limits.decoded_cost_bytes;
    if n_bytes > limit { Err(DecodeError::TooCostly { n_bytes, limit }) } else { Ok(()) }
}

/// How many messages the envelope levels hold.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    resource_spans: u32,
    scope_spans: u32,
    spans: u32,
}

impl Counts {
    /// The most resource heads there can be: each comes with a span.
    fn n_resources(self) -> usize {
        self.resource_spans.min(self.spans) as usize
    }

    fn n_scopes(self) -> usize {
        self.scope_spans.min(self.spans) as usize
    }

    /// Bytes of the heads the second walk may build: an upper bound, since bad spans get none.
    fn heads_bytes(self) -> u64 {
        (self.spans as usize * size_of::<SpanHead>()
            + self.n_resources() * size_of::<ResourceHead>()
            + self.n_scopes() * size_of::<ScopeHead>()) as u64
    }

    fn reserve(self, batch: &mut Batch) {
        batch.spans.reserve_exact(self.spans as usize);
        batch.resources.reserve_exact(self.n_resources());
        batch.scopes.reserve_exact(self.n_scopes());
    }
}

/// The first walk: counts, and stops when there are more spans than items allowed.
fn count(mut reader: Reader<'_>, limits: &Limits) -> Result<Counts, Stop> {
    let mut counts = Counts::default();
    while let Some(key) = reader.key()? {
        if key == request::RESOURCE_SPANS {
            counts.resource_spans += 1;
            count_scopes(reader.payload()?, limits, &mut counts)?;
        } else {
            reader.skip(key, request::KNOWN, limits.depth)?;
        }
    }
    Ok(counts)
}

fn count_scopes(mut reader: Reader<'_>, limits: &Limits, counts: &mut Counts) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            resource_spans::SCOPE_SPANS => {
                counts.scope_spans += 1;
                count_spans(reader.payload()?, limits, counts)?;
            }
            resource_spans::RESOURCE | resource_spans::SCHEMA_URL => drop(reader.payload()?),
            _ => reader.skip(key, resource_spans::KNOWN, limits.depth)?,
        }
    }
    Ok(())
}

fn count_spans(mut reader: Reader<'_>, limits: &Limits, counts: &mut Counts) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            scope_spans::SPAN => {
                let at = reader.offset();
                reader.payload()?;
                if counts.spans == limits.n_items {
                    return Err(Stop { cause: Cause::TooManyItems, at });
                }
                counts.spans += 1;
            }
            scope_spans::SCOPE | scope_spans::SCHEMA_URL => drop(reader.payload()?),
            _ => reader.skip(key, scope_spans::KNOWN, limits.depth)?,
        }
    }
    Ok(())
}

/// The second walk.
struct Walk<'w> {
    limits: &'w Limits,
    batch: &'w mut Batch,
    report: Report,
    /// Spans, events and links so far.
    n_items: u32,
    /// Resources and scopes that came in pieces.
    split: Vec<Split>,
}

impl Walk<'_> {
    fn request(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        while let Some(key) = reader.key()? {
            if key == request::RESOURCE_SPANS {
                self.resource_spans(reader.payload()?)?;
            } else {
                reader.skip(key, request::KNOWN, self.limits.depth)?;
            }
        }
        Ok(())
    }

    /// One `ResourceSpans`. Its resource may come after its spans, and in pieces.
    fn resource_spans(&mut self, mut reader: Reader<'_>) -> Result<(), Stop> {
        let whole = reader;
        let depth = self.limits.depth;
        let mut head = ResourceHead::default();
        let mut rank = 0;
        let mut pieces = Pieces::default();
        let mut place = Place::default();
        while let Some(key) = reader.key()? {
            match key {
                resource_spans::RESOURCE => {
                    let payload = reader.payload()?;
                    head.raw = payload.range();
                    pieces.add(head.raw);
                    read_resource(payload, depth, &mut head, &mut rank)?;
                }
                resource_spans::SCOPE_SPANS => self.scope_spans(reader.payload()?, &mut place)?,
                resource_spans::SCHEMA_URL => head.schema_url = reader.string()?.range(),
                _ => reader.skip(key, resource_spans::KNOWN, depth)?,
            }
        }
        if let Some(idx) = place.resource_idx {
            self.batch.resources[idx as usize] = head;
            self.split.extend(pieces.of_resource(idx, whole.range()));
        }
        Ok(())
    }

    fn scope_spans(&mut self, mut reader: Reader<'_>, place: &mut Place) -> Result<(), Stop> {
        let whole = reader;
        let depth = self.limits.depth;
        let mut head = ScopeHead::default();
        let mut pieces = Pieces::default();
        place.scope_idx = None;
        while let Some(key) = reader.key()? {
            match key {
                scope_spans::SPAN => {
                    let payload = reader.payload()?;
                    self.item(&payload)?;
                    self.report.n_spans += 1;
                    self.span(payload, place)?;
                }
                scope_spans::SCOPE => {
                    let payload = reader.payload()?;
                    head.raw = payload.range();
                    pieces.add(head.raw);
                    read_scope(payload, depth)?;
                }
                scope_spans::SCHEMA_URL => head.schema_url = reader.string()?.range(),
                _ => reader.skip(key, scope_spans::KNOWN, depth)?,
            }
        }
        if let Some(idx) = place.scope_idx {
            self.batch.scopes[idx as usize] = head;
            self.split.extend(pieces.of_scope(idx, whole.range()));
        }
        Ok(())
    }

    /// Charges one span, event or link.
    fn item(&mut self, at: &Reader<'_>) -> Result<(), Stop> {
        if self.n_items >= self.limits.n_items {
            return Err(Stop { cause: Cause::TooManyItems, at: at.offset() });
        }
        self.n_items += 1;
        Ok(())
    }
}

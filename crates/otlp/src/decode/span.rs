//! One span: every field checked, the fixed ones taken into a head.

use spanwise_model::{
    ByteRange, ResourceHead, ScopeHead, SpanFlags, SpanHead, SpanId, SpanKind, StatusCode,
    Timestamp, TraceId,
};

use super::Walk;
use super::streaming::{MESSAGES_OF_A_STREAM, is_streaming};
use super::trace_state::threshold_of;
use crate::schema::{event, link, span, status};
use crate::tracestate::explicit_randomness;
use crate::value::read_attribute;
use crate::wire::{Reader, Stop};

/// Which heads the next span belongs to; `None` until the first accepted span needs one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) resource_idx: Option<u32>,
    pub(super) scope_idx: Option<u32>,
}

/// The fields of a span while it is read. Later occurrences of a field overwrite earlier ones.
#[derive(Default)]
struct Fields<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    trace_state: &'a [u8],
    name: ByteRange,
    kind: i32,
    status: i32,
    start: u64,
    end: u64,
    flags: SpanFlags,
    n_messages: u32,
}

impl Walk<'_> {
    /// Reads one span; pushes its head, and those of its resource and scope if it is their first,
    /// or counts why the span is rejected.
    pub(super) fn span(&mut self, reader: Reader<'_>, place: &mut Place) -> Result<(), Stop> {
        let raw = reader.range();
        let mut fields = Fields::default();
        self.fields(reader, &mut fields)?;

        let Some(trace_id) = trace_id(fields.trace_id) else {
            self.report.n_bad_trace_id += 1;
            return Ok(());
        };
        let Some(span_id) = span_id(fields.span_id) else {
            self.report.n_bad_span_id += 1;
            return Ok(());
        };
        let parent_id = match <[u8; 8]>::try_from(fields.parent_id) {
            Ok(id) => SpanId(id),
            Err(_) if fields.parent_id.is_empty() => SpanId::default(),
            Err(_) => {
                self.report.n_bad_parent_id += 1;
                return Ok(());
            }
        };
        let mut head = SpanHead {
            trace_id,
            span_id,
            parent_id,
            start: Timestamp(fields.start),
            end: Timestamp(fields.end),
            raw,
            name: fields.name,
            kind: SpanKind::from_otlp(fields.kind),
            status: StatusCode::from_otlp(fields.status),
            flags: fields.flags,
            ..SpanHead::default()
        };
        if !fields.trace_state.is_empty() {
            head.threshold = threshold_of(fields.trace_state);
            if explicit_randomness(fields.trace_state).is_some() {
                head.flags.insert(SpanFlags::STATED_RANDOMNESS);
            }
        }
        if fields.n_messages >= MESSAGES_OF_A_STREAM {
            head.flags.insert(SpanFlags::STREAMING);
        }
        if head.name.is_empty() {
            head.flags.insert(SpanFlags::OVERFLOW_SITE);
        }
        if head.duration_ns().is_none() {
            head.flags.insert(SpanFlags::INVALID_TIME);
            self.report.n_invalid_time += 1;
        }
        (head.resource_idx, head.scope_idx) = self.place(place);
        self.batch.spans.push(head);
        Ok(())
    }

    /// The indices of the span's resource and scope, whose heads are filled in when their messages
    /// have been read to the end.
    fn place(&mut self, place: &mut Place) -> (u32, u32) {
        let resource_idx = *place.resource_idx.get_or_insert_with(|| {
            self.batch.resources.push(ResourceHead::default());
            self.batch.resources.len() as u32 - 1
        });
        let scope_idx = *place.scope_idx.get_or_insert_with(|| {
            self.batch.scopes.push(ScopeHead::default());
            self.batch.scopes.len() as u32 - 1
        });
        (resource_idx, scope_idx)
    }

    fn fields<'a>(&mut self, mut reader: Reader<'a>, to: &mut Fields<'a>) -> Result<(), Stop> {
        let depth = self.limits.depth;
        while let Some(key) = reader.key()? {
            match key {
                span::ATTRIBUTE => {
                    let attribute = read_attribute::<true>(reader.payload()?, depth)?;
                    if is_streaming(&attribute) {
                        to.flags.insert(SpanFlags::STREAMING);
                    }
                }
                span::TRACE_ID => to.trace_id = reader.payload()?.rest(),
                span::SPAN_ID => to.span_id = reader.payload()?.rest(),
                span::PARENT_ID => to.parent_id = reader.payload()?.rest(),
                span::NAME => to.name = reader.string()?.range(),
                span::KIND => to.kind = reader.varint()? as i32,
                span::START => to.start = reader.fixed64()?,
                span::END => to.end = reader.fixed64()?,
                span::STATUS => read_status(reader.payload()?, depth, &mut to.status)?,
                span::TRACE_STATE => to.trace_state = reader.string()?.rest(),
                span::EVENT => {
                    let payload = reader.payload()?;
                    self.item(&payload)?;
                    to.flags.insert(SpanFlags::HAS_EVENTS);
                    to.n_messages += u32::from(is_message(payload, depth)?);
                }
                span::LINK => {
                    let payload = reader.payload()?;
                    self.item(&payload)?;
                    to.flags.insert(SpanFlags::HAS_LINKS);
                    self.report.n_bad_links += u32::from(!is_good_link(payload, depth)?);
                }
                span::DROPPED_ATTRIBUTES | span::DROPPED_EVENTS | span::DROPPED_LINKS => {
                    reader.varint()?;
                }
                span::FLAGS => drop(reader.fixed32()?),
                _ => reader.skip(key, span::KNOWN, depth)?,
            }
        }
        Ok(())
    }
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    let id = TraceId(bytes.try_into().ok()?);
    (!id.is_zero()).then_some(id)
}

fn span_id(bytes: &[u8]) -> Option<SpanId> {
    let id = SpanId(bytes.try_into().ok()?);
    (!id.is_zero()).then_some(id)
}

/// Reads a `Status` over `code`: a second occurrence merges into the first.
fn read_status(mut reader: Reader<'_>, depth: u32, code: &mut i32) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            status::MESSAGE => drop(reader.string()?),
            status::CODE => *code = reader.varint()? as i32,
            _ => reader.skip(key, status::KNOWN, depth)?,
        }
    }
    Ok(())
}

/// Checks an event; whether it stands for one message of a call.
fn is_message(mut reader: Reader<'_>, depth: u32) -> Result<bool, Stop> {
    let mut name: &[u8] = &[];
    while let Some(key) = reader.key()? {
        match key {
            event::TIME => drop(reader.fixed64()?),
            event::NAME => name = reader.string()?.rest(),
            event::ATTRIBUTE => drop(read_attribute::<true>(reader.payload()?, depth)?),
            event::DROPPED_ATTRIBUTES => drop(reader.varint()?),
            _ => reader.skip(key, event::KNOWN, depth)?,
        }
    }
    Ok(super::streaming::is_message_name(name))
}

/// Checks a link; whether its ids are valid.
fn is_good_link(mut reader: Reader<'_>, depth: u32) -> Result<bool, Stop> {
    let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
    while let Some(key) = reader.key()? {
        match key {
            link::TRACE_ID => trace = reader.payload()?.rest(),
            link::SPAN_ID => span = reader.payload()?.rest(),
            link::TRACE_STATE => drop(reader.string()?),
            link::ATTRIBUTE => drop(read_attribute::<true>(reader.payload()?, depth)?),
            link::DROPPED_ATTRIBUTES => drop(reader.varint()?),
            link::FLAGS => drop(reader.fixed32()?),
            _ => reader.skip(key, link::KNOWN, depth)?,
        }
    }
    Ok(trace_id(trace).is_some() && span_id(span).is_some())
}

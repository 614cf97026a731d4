//! The spans of a window by trace, as views over the bytes of its requests.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use spanwise_otlp::{DecodeError, Fault};

use super::wire::{self, Kind, Token, Value};
use crate::error::Error;

/// What the window holds. Envelopes are the fields of `ResourceSpans` and `ScopeSpans` around what
/// repeats, as they were received.
#[derive(Debug, Default)]
pub(super) struct Window<'a> {
    pub(super) resources: Vec<Vec<u8>>,
    pub(super) scopes: Vec<Vec<u8>>,
    pub(super) spans: Vec<SpanRef<'a>>,
    /// Spans without tokens or without ids.
    pub(super) odd: Vec<Odd<'a>>,
    /// Where no span stands: a resource, and a scope unless the resource had none.
    pub(super) empty: Vec<(u32, Option<u32>)>,
}

/// Positions of the envelopes around a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) resource: u32,
    pub(super) scope: u32,
}

/// A span that is stored as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odd<'a> {
    pub(super) place: Place,
    pub(super) bytes: &'a [u8],
}

impl Odd<'_> {
    /// The trace id, if it has one.
    pub(super) fn trace_id(&self) -> Option<u128> {
        let mut rest = self.bytes;
        let mut found = None;
        while !rest.is_empty() {
            if let (1, Some(payload), _) = wire::loose_field(&mut rest).ok()? {
                found = id(payload).map(u128::from_be_bytes);
            }
        }
        found
    }
}

/// A span that will be coded by its tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanRef<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) place: Place,
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    /// `None` if the field is absent.
    pub(super) parent_id: Option<u64>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: &'a [u8],
    /// Span kind, only to tell nodes apart.
    pub(super) kind: u32,
    pub(super) is_error: bool,
}

/// Envelopes met so far.
#[derive(Default)]
struct Intern(FxHashMap<Vec<u8>, u32>);

impl Intern {
    fn get(&mut self, bytes: Vec<u8>, list: &mut Vec<Vec<u8>>) -> u32 {
        if let Some(&idx) = self.0.get(&bytes) {
            return idx;
        }
        let idx = list.len() as u32;
        list.push(bytes.clone());
        self.0.insert(bytes, idx);
        idx
    }
}

type Tokens<'a> = Vec<(Token<'a>, Value<'a>)>;

/// Reads requests. Spans may be as odd as they like; the frames around them must be protobuf.
pub(super) fn read(requests: &[Bytes]) -> Result<Window<'_>, Error> {
    let mut reader = Reader::default();
    for (number, request) in requests.iter().enumerate() {
        reader.request(request).map_err(|wire::Odd| Error::Request {
            number: number as u64,
            source: DecodeError::Malformed { offset: 0, fault: Fault::Truncated },
        })?;
    }
    Ok(reader.window)
}

#[derive(Default)]
struct Reader<'a> {
    window: Window<'a>,
    resources: Intern,
    scopes: Intern,
    tokens: Tokens<'a>,
    writer: wire::Writer,
}

/// Splits a message into its fields `inner` and the bytes of all others.
fn open(message: &[u8], inner: u32) -> Result<(Vec<&[u8]>, Vec<u8>), wire::Odd> {
    let (mut inside, mut envelope) = (Vec::new(), Vec::new());
    let mut rest = message;
    while !rest.is_empty() {
        match wire::loose_field(&mut rest)? {
            (number, Some(payload), _) if number == inner => inside.push(payload),
            (_, _, bytes) => envelope.extend_from_slice(bytes),
        }
    }
    Ok((inside, envelope))
}

impl<'a> Reader<'a> {
    fn request(&mut self, request: &'a [u8]) -> Result<(), wire::Odd> {
        let (resource_spans, _) = open(request, 1)?;
        for message in resource_spans {
            let (scope_spans, envelope) = open(message, 2)?;
            let resource = self.resources.get(envelope, &mut self.window.resources);
            if scope_spans.is_empty() {
                self.window.empty.push((resource, None));
            }
            for message in scope_spans {
                let (spans, envelope) = open(message, 2)?;
                let scope = self.scopes.get(envelope, &mut self.window.scopes);
                if spans.is_empty() {
                    self.window.empty.push((resource, Some(scope)));
                }
                for span in spans {
                    self.span(Place { resource, scope }, span);
                }
            }
        }
        Ok(())
    }

    fn span(&mut self, place: Place, bytes: &'a [u8]) {
        self.tokens.clear();
        let tokens = wire::tokenize(bytes, &mut self.tokens);
        let span = tokens.ok().and_then(|()| span_ref(&self.tokens, place, bytes));
        // Cheap, and it makes losslessness independent of everything above.
        let comes_back = span.is_some() && {
            wire::write(&self.tokens, &mut self.writer);
            self.writer.out == bytes
        };
        match span {
            Some(span) if comes_back => self.window.spans.push(span),
            _ => self.window.odd.push(Odd { place, bytes }),
        }
    }
}

fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn span_ref<'a>(
    tokens: &[(Token<'a>, Value<'a>)],
    place: Place,
    bytes: &'a [u8],
) -> Option<SpanRef<'a>> {
    let (mut trace_id, mut span_id, mut parent_id) = (None, None, None);
    let (mut start, mut end, mut name, mut kind) = (0, 0, &[][..], 0);
    let mut is_error = false;
    for (token, value) in tokens {
        match (token.kind, *value) {
            (Kind::TraceId, Value::Bytes(bytes)) => trace_id = id(bytes).map(u128::from_be_bytes),
            (Kind::SpanId, Value::Bytes(bytes)) => span_id = id(bytes).map(u64::from_be_bytes),
            (Kind::ParentId, Value::Bytes(bytes)) => parent_id = id(bytes).map(u64::from_be_bytes),
            (Kind::Start, Value::Int(at)) => start = at,
            (Kind::End, Value::Int(at)) => end = at,
            (Kind::Name, Value::Bytes(text)) => name = text,
            (Kind::ConstVarint, _) if token.field == 6 => kind = token.arg,
            (Kind::ConstVarint, _) => is_error |= token.arg == 2,
            _ => {}
        }
    }
    let (trace_id, span_id) = (trace_id?, span_id?);
    Some(SpanRef { bytes, place, trace_id, span_id, parent_id, start, end, name, kind, is_error })
}

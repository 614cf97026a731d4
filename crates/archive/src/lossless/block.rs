//! A block: ids, dictionary, traces, odd spans. It stands alone.

use std::io;

use bytes::Bytes;

use super::builder::{Built, build};
use super::dictionary::{Dictionary, TEXT_ODD, TokenDef};
use super::emit::Emitter;
use super::tree::Step;
use super::values::{Coded, Told};
use super::window::{Odd, Window};
use super::wire::{self, Kind, Token, Value};
use super::{Broken, NONE, State, Trace, ids};
use crate::container::Tag;
use crate::entropy::{Coder, Decoder, Encoder};
use crate::error::Error;
use crate::limits::Limits;

/// Strings of a block may be this many times larger than the block, and this much besides.
const TEXT_EXPANSION: usize = 1024;
const TEXT_FREE: usize = 1 << 20;
/// Buckets of the model of a large block, and of the smallest, as powers of two.
const MODEL_LOG2_MAX: u32 = 18;
const MODEL_LOG2_MIN: u32 = 8;

fn model_log2(n_spans: usize) -> u32 {
    (usize::BITS - n_spans.leading_zeros() + 3).clamp(MODEL_LOG2_MIN, MODEL_LOG2_MAX)
}

/// Ids written, or read.
enum Ids<'a> {
    Writes(ids::Writer),
    Reads(ids::Reader<'a>),
}

/// Writes a block of these traces; the first one also holds what is in no trace.
pub(super) fn write(
    window: &Window<'_>,
    traces: &[Vec<Step>],
    is_first: bool,
) -> Result<Vec<u8>, Error> {
    let n_spans = traces.iter().map(Vec::len).sum();
    let log2 = model_log2(n_spans);
    let mut state = State::new(log2, usize::MAX);
    let mut encoder = Encoder::new();
    let mut ids = ids::Writer::default();
    write_content(&mut state, &mut encoder, &mut ids, (window, traces, is_first))
        .map_err(|Broken(what)| Error::TooLarge { what, value: 0, limit: 0 })?;
    let content = encoder.finish();
    let mut out = vec![log2 as u8];
    ids.finish(&mut out);
    out.extend_from_slice(&content);
    // What a reader grants to strings depends on the length of the block.
    let n_min = state.texts.len().saturating_sub(TEXT_FREE).div_ceil(TEXT_EXPANSION);
    out.resize(out.len().max(n_min), 0);
    Ok(out)
}

fn write_content(
    state: &mut State,
    encoder: &mut Encoder,
    ids: &mut ids::Writer,
    (window, traces, is_first): (&Window<'_>, &[Vec<Step>], bool),
) -> Result<(), Broken> {
    let mut built = build(window, traces, is_first);
    state.dictionary(encoder, &mut built.dictionary)?;
    state.fill_lookups(&built.dictionary);
    let mut spans = std::mem::take(&mut built.spans).into_iter();
    let mut writer = wire::Writer::default();
    let mut planes = Ids::Writes(std::mem::take(ids));
    for steps in traces {
        let mut trace = Trace::default();
        for step in steps {
            let span = &window.spans[step.span as usize];
            let (node, layout) = spans.next().unwrap_or_default();
            trace.push(node, step.depth, step.parent.unwrap_or(NONE), NONE);
            let resource = built.resources[&span.place.resource];
            let i = trace.node.len() - 1;
            trace.resource[i] = built.dictionary.services.rank[resource as usize];
            trace.layout[i] = layout;
            trace.start[i] = span.start;
            trace.end[i] = span.end;
        }
        state.shape(encoder, &mut trace, &built.dictionary, usize::MAX)?;
        let span_ids: Vec<[u8; 8]> =
            steps.iter().map(|s| window.spans[s.span as usize].span_id.to_be_bytes()).collect();
        let mut tokens = Vec::new();
        let first = steps.first().map(|step| window.spans[step.span as usize].trace_id);
        let trace_id = first.unwrap_or(0);
        if let Ids::Writes(planes) = &mut planes {
            planes.trace(trace_id);
            for step in steps {
                planes.span(window.spans[step.span as usize].span_id);
            }
        }
        for (i, step) in steps.iter().enumerate() {
            tokens.clear();
            let _ = wire::tokenize(window.spans[step.span as usize].bytes, &mut tokens);
            let of = SpanOf { trace: &trace, i, trace_id: trace_id.to_be_bytes(), ids: &span_ids };
            state.span(
                encoder,
                (&mut built.dictionary, &mut planes),
                &of,
                (&tokens, &mut writer),
            )?;
        }
    }
    if let Ids::Writes(planes) = planes {
        *ids = planes;
    }
    state.odd_written(encoder, if is_first { &window.odd } else { &[] }, &built)
}

/// Reads a block and sends its spans.
pub(super) fn read(
    bytes: &[u8],
    tag: Tag,
    limits: &Limits,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    let at = |Broken(problem)| Error::corrupt(tag, 0, problem);
    let (&log2, mut rest) = bytes.split_first().ok_or(at(Broken("the block is empty")))?;
    let mut planes = ids::Reader::new(&mut rest).map_err(at)?;
    let counts = [
        ("traces", planes.n_traces() as u64, limits.n_traces),
        ("spans", planes.n_spans() as u64, limits.n_spans),
    ];
    for (what, value, limit) in counts {
        if value > limit {
            return Err(Error::Limit { what, value, limit });
        }
    }
    if u32::from(log2) != model_log2(planes.n_spans()) {
        return Err(at(Broken("the model has another size")));
    }
    let text_limit = bytes.len().saturating_mul(TEXT_EXPANSION).saturating_add(TEXT_FREE);
    let mut state = State::new(u32::from(log2), text_limit);
    let mut decoder = Decoder::new(rest);
    let mut dictionary = Dictionary::default();
    state.dictionary(&mut decoder, &mut dictionary).map_err(at)?;
    let mut emitter = Emitter::new(sink, limits.output_bytes);
    let mut trace = Trace::default();
    while planes.n_traces() > 0 {
        trace.clear();
        state.shape(&mut decoder, &mut trace, &dictionary, planes.n_spans()).map_err(at)?;
        let trace_id = planes.trace().map_err(at)?;
        read_spans(
            &mut state,
            &mut decoder,
            (&trace, trace_id),
            &mut dictionary,
            &mut planes,
            &mut |d, place, span| emitter.span(d, place, span),
        )
        .map_err(|error| match error {
            Failure::Broken(broken) => at(broken),
            Failure::Sink(error) => error,
        })?;
    }
    state.odd_read(&mut decoder, &dictionary, &mut emitter, tag)?;
    if !planes.is_done() {
        return Err(at(Broken("ids are left over")));
    }
    emitter.finish(&dictionary)
}

enum Failure {
    Broken(Broken),
    Sink(Error),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn read_spans<'a>(
    state: &mut State,
    decoder: &mut Decoder<'a>,
    (trace, trace_id): (&Trace, [u8; 16]),
    dictionary: &mut Dictionary,
    planes: &mut ids::Reader<'a>,
    emit: &mut dyn FnMut(&Dictionary, (u32, u32), &[u8]) -> Result<(), Error>,
) -> Result<(), Failure> {
    let mut span_ids = Vec::with_capacity(trace.node.len());
    for _ in 0..trace.node.len() {
        span_ids.push(planes.span()?);
    }
    let mut writer = wire::Writer::default();
    let mut reading = Ids::Reads(*planes);
    for i in 0..trace.node.len() {
        let of = SpanOf { trace, i, trace_id, ids: &span_ids };
        writer.clear();
        state.span(decoder, (dictionary, &mut reading), &of, (&[], &mut writer))?;
        let node = &dictionary.nodes[trace.node[i] as usize];
        let members = &dictionary.services.members[node.service as usize];
        let place = (members[trace.resource[i] as usize], node.scope);
        emit(dictionary, place, &writer.out).map_err(Failure::Sink)?;
    }
    if let Ids::Reads(reader) = reading {
        *planes = reader;
    }
    Ok(())
}

/// A span of a trace whose shape and times are known.
struct SpanOf<'a> {
    trace: &'a Trace,
    i: usize,
    trace_id: [u8; 16],
    /// Span ids of the trace.
    ids: &'a [[u8; 8]],
}

impl State {
    /// Codes everything of a trace but values.
    fn shape<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        dictionary: &Dictionary,
        n_max: usize,
    ) -> Result<(), Broken> {
        self.begin_trace();
        self.topology(coder, trace, (dictionary.nodes.len(), n_max))?;
        self.placement(coder, trace, dictionary)?;
        self.times(coder, trace)
    }

    /// Codes the values of a span; a reader puts the message together.
    fn span<C: Coder>(
        &mut self,
        coder: &mut C,
        (dictionary, ids): (&mut Dictionary, &mut Ids<'_>),
        of: &SpanOf<'_>,
        (given, writer): (&[(Token<'_>, Value<'_>)], &mut wire::Writer),
    ) -> Result<(), Broken> {
        let (trace, i) = (of.trace, of.i);
        let node = trace.node[i] as usize;
        let layout = dictionary.nodes[node].layouts[trace.layout[i] as usize] as usize;
        let mut told = Told { last: 0, event: trace.start[i] };
        for k in 0..dictionary.layouts[layout].len() {
            let column = dictionary.layouts[layout][k];
            let token = &mut dictionary.tokens[column as usize];
            let name = dictionary.nodes[node].name.as_deref();
            let value = given.get(k).map_or(Value::Nothing, |(_, value)| *value);
            let plain = plain(token, of, name);
            if let Some(plain) = plain {
                if C::READS {
                    writer.put(view(token), plain);
                }
                continue;
            }
            if let Some(n) = id_len(token.kind) {
                match ids {
                    Ids::Writes(ids) => {
                        if let Value::Bytes(bytes) = value {
                            ids.other(bytes);
                        }
                    }
                    Ids::Reads(ids) => writer.put(view(token), Value::Bytes(ids.other(n)?)),
                }
                continue;
            }
            if token.kind == Kind::EventTime {
                let time = if let Value::Int(time) = value { time } else { 0 };
                told.event = self.event(coder, (trace, i), (column, told.event), time);
                if C::READS {
                    writer.put(view(token), Value::Int(told.event));
                }
                continue;
            }
            let coded = self.value(coder, (column, token), (trace, i, &mut told), value)?;
            if C::READS {
                let value = match &coded {
                    Coded::Int(int) => Value::Int(*int),
                    Coded::Text(text) => Value::Bytes(self.texts.get(*text)),
                    Coded::Double(bytes) => Value::Bytes(bytes),
                };
                writer.put(view(token), value);
            }
        }
        if coder.is_overrun() { Err(Broken("the content ends inside a span")) } else { Ok(()) }
    }

    fn fill_lookups(&mut self, dictionary: &Dictionary) {
        for (column, token) in dictionary.tokens.iter().enumerate() {
            for (code, value) in token.low.iter().enumerate() {
                self.lookup(column as u32).insert(value.as_slice().into(), code as u32);
            }
        }
    }

    fn odd_written(
        &mut self,
        encoder: &mut Encoder,
        odd: &[Odd<'_>],
        built: &Built,
    ) -> Result<(), Broken> {
        self.count(encoder, 0x60, odd.len() as u64)?;
        for Odd { place, bytes } in odd {
            self.count(encoder, 0x61, u64::from(built.resources[&place.resource]))?;
            self.count(encoder, 0x62, u64::from(built.scopes[&place.scope]))?;
            self.text(encoder, TEXT_ODD, bytes)?;
        }
        Ok(())
    }

    fn odd_read(
        &mut self,
        decoder: &mut Decoder<'_>,
        dictionary: &Dictionary,
        emitter: &mut Emitter<'_>,
        tag: Tag,
    ) -> Result<(), Error> {
        let at = |Broken(problem)| Error::corrupt(tag, 0, problem);
        let n = self.count(decoder, 0x60, 0).map_err(at)?;
        for _ in 0..n {
            let resource = self.count(decoder, 0x61, 0).map_err(at)?;
            let scope = self.count(decoder, 0x62, 0).map_err(at)?;
            let is_known = resource < dictionary.resources.len() as u64
                && scope < dictionary.scopes.len() as u64;
            if !is_known {
                return Err(at(Broken("an odd span has an unknown place")));
            }
            let text = self.text(decoder, TEXT_ODD, &[]).map_err(at)?;
            let place = (resource as u32, scope as u32);
            emitter.span(dictionary, place, self.texts.get(text))?;
        }
        Ok(())
    }
}

fn view(token: &TokenDef) -> Token<'_> {
    Token { kind: token.kind, field: token.field, arg: token.arg, key: &token.key }
}

/// Bytes of a value that stands among the other ids.
fn id_len(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Id16 => Some(16),
        Kind::Id8 | Kind::ParentId => Some(8),
        _ => None,
    }
}

/// The value of a token that follows from what is known of the span.
fn plain<'a>(token: &TokenDef, of: &'a SpanOf<'_>, name: Option<&'a [u8]>) -> Option<Value<'a>> {
    let (trace, i) = (of.trace, of.i);
    match token.kind {
        Kind::TraceId => Some(Value::Bytes(&of.trace_id)),
        Kind::SpanId => Some(Value::Bytes(&of.ids[i])),
        Kind::ParentId => of.ids.get(trace.parent[i] as usize).map(|id| Value::Bytes(id)),
        Kind::Name => name.map(Value::Bytes),
        Kind::Start => Some(Value::Int(trace.start[i])),
        Kind::End => Some(Value::Int(trace.end[i])),
        Kind::Open | Kind::Close | Kind::ConstVarint | Kind::ConstFixed32 => Some(Value::Nothing),
        _ => None,
    }
}

//! Reads a block, trace by trace.

use std::io;

use bytes::Bytes;

use super::{
    EXACT, Ids, LIST_EXPANSION, LIST_FREE, Maker, NEAR, NEAR_AS_READ, SPAN_EXPANSION,
    TEXT_EXPANSION, TEXT_FREE, ids, model_log2,
};
use crate::entropy::Decoder;
use crate::error::Error;
use crate::limits::Limits;
use crate::lossless::dictionary::{Dictionary, TEXT_ODD};
use crate::lossless::emit::Emitter;
use crate::lossless::grids::Grids;
use crate::lossless::mark::Mark;
use crate::lossless::span::SpanOf;
use crate::lossless::times::UNITS;
use crate::lossless::wire;
use crate::lossless::{Broken, State, Trace};
use crate::tag::Tag;

/// Spans of one trace in a block whose ids are made anew: nothing else bounds them.
const TRACE_SPANS_MAX: usize = 1 << 20;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(in crate::lossless) struct Block<'a> {
    pub(in crate::lossless) bytes: &'a [u8],
    pub(in crate::lossless) tag: Tag,
    /// Its number among the sections of the tag.
    pub(in crate::lossless) number: u32,
    pub(in crate::lossless) mark: &'a Mark,
}

/// Why reading stopped.
enum Failure {
    Broken(Broken),
    Other(Error),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Counts and ids in front of a block's content.
struct Front<'a> {
    ids: Ids<'a>,
    n_traces: usize,
    n_spans: usize,
    log2: u32,
    grids: Option<Grids>,
    content: &'a [u8],
}

/// Reads a block and sends its spans.
pub(in crate::lossless) fn read(
    block: &Block<'_>,
    limits: &Limits,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    content(block, limits, sink).map_err(|failure| match failure {
        Failure::Broken(Broken(problem)) => Error::corrupt(block.tag, 0, problem),
        Failure::Other(error) => error,
    })
}

fn front<'a>(block: &Block<'a>, limits: &Limits) -> Result<Front<'a>, Failure> {
    let [mode, log2, rest @ ..] = block.bytes else {
        return Err(Broken("the block ends early").into());
    };
    let mut content = rest;
    let grids = grids(*mode, &mut content)?;
    let (ids, n_traces, n_spans) = match *mode {
        EXACT => {
            let reader = ids::Reader::new(&mut content)?;
            (Ids::Reads(reader), reader.n_traces() as u64, reader.n_spans() as u64)
        }
        NEAR | NEAR_AS_READ => {
            let (n_traces, n_spans) = ids::counts(&mut content)?;
            let n_bytes = block.bytes.len() as u64;
            if n_spans > n_bytes.saturating_mul(SPAN_EXPANSION) || n_traces > n_spans {
                return Err(Broken("more spans than the block can hold").into());
            }
            let (mark, block) = (block.mark, block.number);
            let maker = Maker { mark, block, n_traces: 0, n_spans: 0, n_others: 0 };
            (Ids::Makes(maker), n_traces, n_spans)
        }
        _ => return Err(Broken("unknown mode of a block").into()),
    };
    for (what, value, limit) in
        [("traces", n_traces, limits.n_traces), ("spans", n_spans, limits.n_spans)]
    {
        if value > limit {
            return Err(Error::Limit { what, value, limit }.into());
        }
    }
    let (n_traces, n_spans, log2) = (n_traces as usize, n_spans as usize, u32::from(*log2));
    if log2 != model_log2(n_spans) {
        return Err(Broken("the model has another size").into());
    }
    Ok(Front { ids, n_traces, n_spans, log2, grids, content })
}

/// The bins of a near-lossless block.
fn grids(mode: u8, content: &mut &[u8]) -> Result<Option<Grids>, Broken> {
    match mode {
        NEAR_AS_READ => Ok(Some(Grids::as_read())),
        NEAR => {
            let (&unit, rest) = content.split_first().ok_or(Broken("the block ends early"))?;
            *content = rest;
            let tick = UNITS.get(usize::from(unit)).ok_or(Broken("unknown tick of times"))?;
            Ok(Some(Grids::new(*tick)))
        }
        _ => Ok(None),
    }
}

fn content(
    block: &Block<'_>,
    limits: &Limits,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut front = front(block, limits)?;
    let text_limit = block.bytes.len().saturating_mul(TEXT_EXPANSION).saturating_add(TEXT_FREE);
    let list_limit = block.bytes.len().saturating_mul(LIST_EXPANSION).saturating_add(LIST_FREE);
    let mut state = State::new(front.log2, text_limit, list_limit);
    let is_near = matches!(front.ids, Ids::Makes(_));
    state.grids = front.grids.take();
    let mut decoder = Decoder::new(front.content);
    let mut dictionary = Dictionary::default();
    state.dictionary(&mut decoder, &mut dictionary)?;
    let mut emitter = Emitter::new(sink, limits.output_bytes);
    if is_near {
        Emitter::mark(&mut dictionary, &block.mark.attributes());
    }
    let mut n_left = front.n_spans;
    let mut trace = Trace::default();
    for _ in 0..front.n_traces {
        trace.clear();
        let n_max = if is_near { n_left.min(TRACE_SPANS_MAX) } else { n_left };
        state.shape(&mut decoder, &mut trace, &dictionary, n_max)?;
        n_left -= trace.node.len();
        spans(&mut state, &mut decoder, (&trace, &mut front.ids), &mut dictionary, &mut emitter)?;
    }
    let is_done = match &front.ids {
        Ids::Reads(reader) => reader.is_done(),
        _ => n_left == 0,
    };
    if !is_done {
        return Err(Broken("ids are left over").into());
    }
    odd(&mut state, &mut decoder, &dictionary, &mut emitter)?;
    emitter.finish(&dictionary).map_err(Failure::Other)
}

fn spans(
    state: &mut State,
    decoder: &mut Decoder<'_>,
    (trace, ids): (&Trace, &mut Ids<'_>),
    dictionary: &mut Dictionary,
    emitter: &mut Emitter<'_>,
) -> Result<(), Failure> {
    let trace_id = ids.trace()?;
    let mut span_ids = Vec::with_capacity(trace.node.len());
    for _ in 0..trace.node.len() {
        span_ids.push(ids.span()?);
    }
    let mut writer = wire::Writer::default();
    for i in 0..trace.node.len() {
        let of = SpanOf { trace, i, trace_id, ids: &span_ids };
        writer.clear();
        state.span(decoder, (dictionary, ids), &of, (&[], &mut writer))?;
        let node = &dictionary.nodes[trace.node[i] as usize];
        let members = &dictionary.services.members[node.service as usize];
        let place = (members[trace.resource[i] as usize], node.scope);
        emitter.span(dictionary, place, &writer.out)?;
    }
    Ok(())
}

fn odd(
    state: &mut State,
    decoder: &mut Decoder<'_>,
    dictionary: &Dictionary,
    emitter: &mut Emitter<'_>,
) -> Result<(), Failure> {
    let n = state.count(decoder, 0x60, 0)?;
    for _ in 0..n {
        let resource = state.count(decoder, 0x61, 0)?;
        let scope = state.count(decoder, 0x62, 0)?;
        let is_known =
            resource < dictionary.resources.len() as u64 && scope < dictionary.scopes.len() as u64;
        if !is_known {
            return Err(Broken("an odd span has an unknown place").into());
        }
        let text = state.text(decoder, TEXT_ODD, &[])?;
        let place = (resource as u32, scope as u32);
        emitter.span(dictionary, place, state.texts.get(text))?;
    }
    Ok(())
}

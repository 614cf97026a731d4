//! Writes a block.

use super::{EXACT, Ids, NEAR, TEXT_EXPANSION, TEXT_FREE, model_log2};
use super::{LIST_EXPANSION, LIST_FREE};
use crate::entropy::{Coder as _, Encoder};
use crate::error::Error;
use crate::lossless::builder::{Built, build};
use crate::lossless::dictionary::TEXT_ODD;
use crate::lossless::grids::Grids;
use crate::lossless::span::SpanOf;
use crate::lossless::times::{UNITS, unit_of};
use crate::lossless::tree::Step;
use crate::lossless::window::{Odd, Window};
use crate::lossless::wire;
use crate::lossless::{Broken, NONE, State, Trace, ids};

/// A block, and what a near-lossless one gave up.
#[derive(Debug, Default)]
pub(in crate::lossless) struct Written {
    pub(in crate::lossless) bytes: Vec<u8>,
    pub(in crate::lossless) ideal_bits: f64,
    /// Relative errors of durations.
    pub(in crate::lossless) errors: Vec<f32>,
}

/// Writes a block of these traces; the first one also holds what is in no trace.
pub(in crate::lossless) fn write(
    window: &Window<'_>,
    traces: &[Vec<Step>],
    (is_first, is_near): (bool, bool),
) -> Result<Written, Error> {
    let n_spans = traces.iter().map(Vec::len).sum();
    let log2 = model_log2(n_spans);
    let mut state = State::new(log2, usize::MAX, usize::MAX);
    let times = window.spans.iter().flat_map(|span| [span.start, span.end]);
    let unit = times.map(unit_of).min().unwrap_or(0);
    state.grids = is_near.then(|| Grids::new(UNITS[unit as usize]));
    let mut encoder = if is_near { Encoder::measuring() } else { Encoder::new() };
    let mut ids = Ids::Writes(ids::Writer::default());
    let mut errors = Vec::new();
    let mut built = build(window, traces, (is_first, is_near));
    content(&mut state, &mut encoder, &mut ids, (window, traces), (&mut built, &mut errors))
        .and_then(|()| {
            let odd = if is_first { &window.odd[..] } else { &[] };
            state.odd_written(&mut encoder, odd, &built)
        })
        .map_err(|Broken(_)| Error::TooLarge {
            what: "bytes of distinct strings, or distinct names or layouts",
            value: state.texts.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
    let ideal_bits = encoder.ideal_bits();
    let mut bytes = vec![if is_near { NEAR } else { EXACT }, log2 as u8];
    if is_near {
        bytes.push(unit as u8);
    }
    if let Ids::Writes(ids) = &ids {
        if is_near { ids.finish_counts(&mut bytes) } else { ids.finish(&mut bytes) }
    }
    bytes.extend_from_slice(&encoder.finish());
    // What a reader grants to strings and lists depends on the length of the block.
    let for_texts = state.texts.len().saturating_sub(TEXT_FREE).div_ceil(TEXT_EXPANSION);
    let for_lists = state.n_listed.saturating_sub(LIST_FREE).div_ceil(LIST_EXPANSION);
    let n_min = for_texts.max(for_lists).max(bytes.len());
    bytes.resize(n_min, 0);
    Ok(Written { bytes, ideal_bits, errors })
}

fn content(
    state: &mut State,
    encoder: &mut Encoder,
    ids: &mut Ids<'_>,
    (window, traces): (&Window<'_>, &[Vec<Step>]),
    (built, errors): (&mut Built, &mut Vec<f32>),
) -> Result<(), Broken> {
    state.dictionary(encoder, &mut built.dictionary)?;
    state.fill_lookups(&built.dictionary);
    let placed = std::mem::take(&mut built.spans);
    let mut placed = placed.into_iter();
    let mut writer = wire::Writer::default();
    let mut tokens = Vec::new();
    for steps in traces {
        let mut trace = trace(window, steps, built, &mut placed);
        state.shape(encoder, &mut trace, &built.dictionary, usize::MAX)?;
        if state.grids.is_some() {
            errors.extend(timing_errors(&trace));
        }
        let first = steps.first().map_or(0, |step| window.spans[step.span as usize].trace_id);
        if let Ids::Writes(planes) = ids {
            planes.trace(first);
            for step in steps {
                planes.span(window.spans[step.span as usize].span_id);
            }
        }
        for (i, step) in steps.iter().enumerate() {
            tokens.clear();
            // The window holds only spans that have tokens.
            let _ = wire::tokenize(window.spans[step.span as usize].bytes, &mut tokens);
            let of = SpanOf { trace: &trace, i, trace_id: [0; 16], ids: &[] };
            state.span(encoder, (&mut built.dictionary, ids), &of, (&tokens, &mut writer))?;
        }
    }
    Ok(())
}

fn trace(
    window: &Window<'_>,
    steps: &[Step],
    built: &Built,
    placed: &mut impl Iterator<Item = (u32, u32)>,
) -> Trace {
    let mut trace = Trace::default();
    for (i, step) in steps.iter().enumerate() {
        let span = &window.spans[step.span as usize];
        let (node, layout) = placed.next().unwrap_or_default();
        trace.push(node, step.depth, step.parent.unwrap_or(NONE), NONE);
        let resource = built.resources[&span.place.resource];
        trace.resource[i] = built.dictionary.services.rank[resource as usize];
        trace.layout[i] = layout;
        trace.given[i] = (span.start, span.end);
    }
    trace
}

fn timing_errors(trace: &Trace) -> impl Iterator<Item = f32> + '_ {
    let coded = trace.start.iter().zip(&trace.end);
    trace.given.iter().zip(coded).map(|((start, end), (coded_start, coded_end))| {
        let given = end.saturating_sub(*start);
        let coded = coded_end.saturating_sub(*coded_start);
        given.abs_diff(coded) as f32 / given.max(1) as f32
    })
}

impl State {
    fn odd_written(
        &mut self,
        encoder: &mut Encoder,
        odd: &[Odd<'_>],
        built: &Built,
    ) -> Result<(), Broken> {
        debug_assert!(!encoder.is_overrun());
        self.count(encoder, 0x60, odd.len() as u64)?;
        for Odd { place, bytes } in odd {
            self.count(encoder, 0x61, u64::from(built.resources[&place.resource]))?;
            self.count(encoder, 0x62, u64::from(built.scopes[&place.scope]))?;
            self.text(encoder, TEXT_ODD, bytes)?;
        }
        Ok(())
    }
}

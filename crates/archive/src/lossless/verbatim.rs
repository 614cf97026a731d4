//! Traces kept as they are beside a model.

use std::collections::BTreeSet;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use spanwise_model::TraceId;

use super::window::{self, Window};
use super::{sections, tree};
use crate::container::Section;
use crate::error::Error;
use crate::options::{KeepVerbatim, Options};
use crate::summary::NearLossless;
use crate::tag::Tag;

/// A window from which traces are chosen.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    window: Window<'a>,
}

/// What choosing goes by.
#[derive(Clone, Copy, Debug)]
struct Seen {
    n_bytes: u64,
    start: u64,
    is_error: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn read(requests: &'a [Bytes]) -> Result<Self, Error> {
        window::read(requests).map(|window| Self { window })
    }

    /// Earliest start and latest end.
    pub(crate) fn times(&self) -> (u64, u64) {
        let spans = &self.window.spans;
        let start = spans.iter().map(|span| span.start).min();
        let end = spans.iter().map(|span| span.end).max();
        (start.unwrap_or(0), end.unwrap_or(0))
    }

    /// The traces the caller marked, earlier ones first, as far as their share of bytes goes.
    pub(crate) fn choose(&self, options: &Options) -> BTreeSet<TraceId> {
        if options.keep_verbatim == KeepVerbatim::Nothing {
            return BTreeSet::new();
        }
        let mut traces: FxHashMap<u128, Seen> = FxHashMap::default();
        let mut n_bytes_all = 0;
        for span in &self.window.spans {
            let fresh = Seen { n_bytes: 0, start: u64::MAX, is_error: false };
            let seen = traces.entry(span.trace_id).or_insert(fresh);
            seen.n_bytes += span.bytes.len() as u64;
            seen.start = seen.start.min(span.start);
            seen.is_error |= span.is_error;
            n_bytes_all += span.bytes.len() as u64;
        }
        let mut marked: Vec<(u64, TraceId, u64)> = traces
            .into_iter()
            .map(|(id, seen)| (TraceId(id.to_be_bytes()), seen))
            .filter(|(id, seen)| match &options.keep_verbatim {
                KeepVerbatim::Nothing => false,
                KeepVerbatim::Errors => seen.is_error,
                KeepVerbatim::Traces(ids) => ids.contains(id),
            })
            .map(|(id, seen)| (seen.start, id, seen.n_bytes))
            .collect();
        marked.sort_unstable();
        let mut left = (n_bytes_all as f64 * options.verbatim_share.clamp(0.0, 1.0)) as u64;
        let mut chosen = BTreeSet::new();
        for (_, id, n_bytes) in marked {
            let Some(after) = left.checked_sub(n_bytes) else { break };
            left = after;
            chosen.insert(id);
        }
        chosen
    }

    /// Traces and spans.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let ids: FxHashSet<u128> = self.window.spans.iter().map(|span| span.trace_id).collect();
        (ids.len() as u64, (self.window.spans.len() + self.window.odd.len()) as u64)
    }

    /// Near-lossless sections of all traces but these.
    pub(crate) fn near_lossless(
        mut self,
        kept: &BTreeSet<TraceId>,
    ) -> Result<(Vec<Section>, NearLossless), Error> {
        let is_kept = |id: u128| kept.contains(&TraceId(id.to_be_bytes()));
        self.window.spans.retain(|span| !is_kept(span.trace_id));
        self.window.odd.retain(|odd| !odd.trace_id().is_some_and(is_kept));
        let traces = tree::traces(&self.window.spans);
        sections(&self.window, &traces, (Tag::COLUMNS, true))
    }

    /// Sections of these traces, with the number of their spans. None if there are none.
    pub(crate) fn sections(
        mut self,
        ids: &BTreeSet<TraceId>,
    ) -> Result<(Vec<Section>, u64), Error> {
        if ids.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let is_chosen = |id: u128| ids.contains(&TraceId(id.to_be_bytes()));
        self.window.spans.retain(|span| is_chosen(span.trace_id));
        self.window.odd.retain(|odd| odd.trace_id().is_some_and(is_chosen));
        self.window.empty.clear();
        let n_spans = (self.window.spans.len() + self.window.odd.len()) as u64;
        let traces = tree::traces(&self.window.spans);
        Ok((sections(&self.window, &traces, (Tag::VERBATIM, false))?.0, n_spans))
    }
}

//! Traces as a trace sampler is to see them: whole, each at the end of its last span, in that order.
//!
//! The window of the product would close some of them earlier and in parts (a child may end after
//! its root's grace); the protocol judges decisions about whole traces, so here a trace closes when
//! its last span has ended and the window only works out the families. The span stage runs first,
//! span by span in order of their ends, as in the product. Every shard has its own; they tell each
//! other what they have learned once a second of event time.

use std::sync::Arc;

use spanwise_assembler::Assembler;
use spanwise_model::{
    Batch, CallSites, ClosedTrace, KeepReason, SpanFlags, SpanHead, SpanId, Timestamp,
};
use spanwise_sampler::{CloseScores, Lesson, SpanSampler};

use super::{TELL_EVERY_NS, Thin};
use crate::error::Error;
use crate::stream::Stream;

/// Bounds of the product's call-site dictionary.
const N_SITES: usize = 10_000;
const N_SITES_PER_SERVICE: usize = 1_000;
/// More than any one trace needs.
const WINDOW_BYTES: u64 = 1 << 30;

/// What is replayed, and over how many shards.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The spans.
    pub stream: &'a Stream,
    /// Which anomalous traces are left out.
    pub thin: Thin,
    /// Shards, 1 or more.
    pub n_shards: u32,
    /// Seed of the span stage.
    pub seed: u64,
}

/// A trace whose last span has ended.
#[derive(Debug)]
pub struct Replayed {
    /// Its number in the stream.
    pub number: u32,
    /// The shard it belongs to.
    pub shard: u32,
    /// The end of its last span.
    pub now: Timestamp,
    /// The trace.
    pub trace: ClosedTrace,
    /// What the span stage says of its spans, in their order.
    pub scores: Vec<CloseScores>,
}

/// The span stage of one shard.
#[derive(Debug)]
struct Shard {
    sampler: SpanSampler,
    window: Assembler,
    kept: Vec<(u32, KeepReason)>,
    closed: Vec<ClosedTrace>,
}

/// A trace whose spans are still ending.
#[derive(Clone, Debug, Default)]
struct Open {
    heads: Vec<SpanHead>,
    /// Spans that have not ended; 0 for a trace that is left out.
    n_left: u32,
}

impl Replay<'_> {
    /// Replays, and hands every trace over once. `is_left_out` says which traces are not there at
    /// all, by their number.
    ///
    /// # Errors
    /// Settings the stages refuse; none in practice.
    pub fn run(
        &self,
        is_left_out: impl Fn(u32) -> bool,
        mut each: impl FnMut(Replayed),
    ) -> Result<(), Error> {
        let mut shards = (0..self.n_shards).map(|_| self.shard()).collect::<Result<Vec<_>, _>>()?;
        let mut sites = CallSites::new(N_SITES, N_SITES_PER_SERVICE);
        let mut open = vec![Open::default(); self.stream.n_traces()];
        for row in 0..self.stream.len() as u32 {
            let number = self.stream.trace(row);
            open[number as usize].n_left += u32::from(!is_left_out(number));
        }
        let mut order: Vec<u32> = (0..self.stream.len() as u32).collect();
        order.retain(|&row| open[self.stream.trace(row) as usize].n_left > 0);
        order.sort_by_key(|&row| self.stream.end(row));
        let mut tell_next = Timestamp::default();
        for row in order {
            let now = self.stream.end(row);
            if now >= tell_next {
                tell_next = now.plus_ns(TELL_EVERY_NS);
                tell(&mut shards, &mut sites, now);
            }
            let number = self.stream.trace(row);
            let shard_idx = self.stream.trace_id(number).part_of(self.n_shards);
            let shard = &mut shards[shard_idx as usize];
            let head = self.head(row, &mut sites);
            shard.sampler.arrive(&head, head.end);
            let trace = &mut open[number as usize];
            trace.heads.push(head);
            trace.n_left -= 1;
            if trace.n_left == 0 {
                let heads = std::mem::take(&mut trace.heads);
                if let Some((trace, scores)) = shard.close(heads) {
                    each(Replayed { number, shard: shard_idx, now: head.end, trace, scores });
                }
            }
        }
        Ok(())
    }

    fn shard(&self) -> Result<Shard, Error> {
        let window =
            spanwise_assembler::Config { memory_bytes: WINDOW_BYTES, ..Default::default() };
        let config = spanwise_sampler::Config { seed: self.seed, ..Default::default() };
        Ok(Shard {
            sampler: SpanSampler::new(config)?,
            window: Assembler::new(window)?,
            kept: Vec::new(),
            closed: Vec::new(),
        })
    }

    /// The head of a row as it was recorded. The row is the span's id.
    fn head(&self, row: u32, sites: &mut CallSites) -> SpanHead {
        let id = |row: u32| SpanId((u64::from(row) + 1).to_be_bytes());
        let (stream, name) = (self.stream, self.stream.name(row));
        let end = stream.end(row);
        let site = sites.intern(&name.service, &name.operation, name.kind, end);
        let known = sites.get(site);
        let mut head = SpanHead {
            trace_id: stream.trace_id(stream.trace(row)),
            span_id: id(row),
            parent_id: stream.parent(row).map_or(SpanId::default(), id),
            start: stream.start(row),
            end,
            kind: name.kind,
            status: stream.status(row),
            site,
            service: known.service_id,
            ..SpanHead::default()
        };
        if known.overflow {
            head.flags.insert(SpanFlags::OVERFLOW_SITE);
        }
        head
    }
}

impl Shard {
    /// Closes the trace of some spans.
    fn close(&mut self, spans: Vec<SpanHead>) -> Option<(ClosedTrace, Vec<CloseScores>)> {
        let now = spans.last()?.end;
        let batch = Arc::new(Batch { spans, ..Batch::default() });
        for span_idx in 0..batch.spans.len() as u32 {
            self.window.push(&batch, span_idx, false, now, &mut self.closed);
        }
        self.window.drain(now, &mut self.closed);
        let trace = self.closed.pop()?;
        self.closed.clear();
        self.kept.clear();
        self.sampler.close_trace(&trace.spans, now, &mut self.kept);
        let scores = self.sampler.closed_scores().to_vec();
        Some((trace, scores))
    }
}

/// Has shards tell each other what they have learned.
fn tell(shards: &mut [Shard], sites: &mut CallSites, now: Timestamp) {
    if shards.len() < 2 {
        return;
    }
    let lessons: Vec<Lesson> = shards.iter_mut().map(|shard| shard.sampler.lesson(sites)).collect();
    for (idx, shard) in shards.iter_mut().enumerate() {
        let others = lessons.iter().enumerate().filter(|(other, _)| *other != idx);
        let others: Vec<&Lesson> = others.map(|(_, lesson)| lesson).collect();
        shard.sampler.hear(&others, sites, now);
    }
}

//! Plays spans through the product's own stages, in the order in which they ended, and notes the
//! score of each.
//!
//! *Now* is event time: the end of the span at hand, and between two spans the exact moment at which
//! a trace's window closes (root end + 1 s grace, 10 s idle, 60 s age). A score therefore uses only
//! spans that had ended when it was taken. Time is measured around call-site look-up, trace window,
//! scores and decisions, not around building the spans.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_assembler::Assembler;
use spanwise_model::{
    Batch, CallSiteId, CallSites, ClosedTrace, KeepReason, SpanFlags, SpanHead, SpanId, Timestamp,
    TraceId,
};
use spanwise_sampler::{Profile, ScaleConfig, SpanSampler};

use crate::error::Error;
use crate::score::{Judge, Score};
use crate::stream::Stream;

/// Spans handed over at a time, as in a request.
const N_PER_BATCH: usize = 512;
/// Bounds of the product's call-site dictionary.
const N_SITES: usize = 10_000;
const N_SITES_PER_SERVICE: usize = 1_000;
/// Far more than a minute of any stream here: no window closes for want of memory.
const WINDOW_BYTES: u64 = 4 << 30;

/// What an evaluation asks of its caller.
#[derive(Clone, Copy)]
pub struct Meter<'a> {
    /// Nanoseconds of a monotonic clock.
    pub clock_ns: &'a dyn Fn() -> u64,
    /// Told how many more spans have been replayed.
    pub progress: &'a dyn Fn(u64),
}

/// What to play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play<'a> {
    pub(crate) stream: &'a Stream,
    /// Rows in order of their ends.
    pub(crate) order: &'a [u32],
    /// New durations by row. Such a span is longer by itself: its self time grows with it, and
    /// nothing else changes, neither the order nor its relatives.
    pub(crate) shocks: &'a FxHashMap<u32, u64>,
    pub(crate) judge: Judge,
    pub(crate) seed: u64,
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    /// Score by row; NaN for rows that were not played.
    pub(crate) scores: Vec<f64>,
    /// Time per span, `None` if nothing was run.
    pub(crate) ns_per_span: Option<f64>,
}

/// Plays, and scores every span.
pub(crate) fn play(play: &Play<'_>, meter: &Meter<'_>) -> Result<Played, Error> {
    let mut scores = vec![f64::NAN; play.stream.len()];
    let mut total_ns = 0;
    match play.judge {
        Judge::Default(Score::Duration) => {
            for &row in play.order {
                scores[row as usize] = play.dur_ns(row) as f64;
            }
            (meter.progress)(play.order.len() as u64);
            return Ok(Played { scores, ns_per_span: None });
        }
        Judge::Default(score) => {
            let mut player = SitePlayer::new(play, score, &mut scores)?;
            for rows in play.order.chunks(N_PER_BATCH) {
                let mut heads = play.heads(rows);
                let begin = (meter.clock_ns)();
                player.batch(rows, &mut heads);
                total_ns += (meter.clock_ns)().saturating_sub(begin);
                (meter.progress)(rows.len() as u64);
            }
            let begin = (meter.clock_ns)();
            player.close_up_to(Timestamp(u64::MAX));
            total_ns += (meter.clock_ns)().saturating_sub(begin);
        }
        Judge::Scale => {
            let mut player = ScalePlayer::new(play)?;
            for rows in play.order.chunks(N_PER_BATCH) {
                let mut heads = play.heads(rows);
                let begin = (meter.clock_ns)();
                player.batch(rows, &mut heads);
                total_ns += (meter.clock_ns)().saturating_sub(begin);
                player.note(rows, &heads, &mut scores);
                (meter.progress)(rows.len() as u64);
            }
        }
    }
    let ns_per_span = (!play.order.is_empty()).then(|| total_ns as f64 / play.order.len() as f64);
    Ok(Played { scores, ns_per_span })
}

impl Play<'_> {
    fn dur_ns(&self, row: u32) -> u64 {
        self.shocks.get(&row).copied().unwrap_or_else(|| self.stream.dur_ns(row))
    }

    /// Heads of some rows as they were recorded. The row is the span's id, so that it is found back.
    fn heads(&self, rows: &[u32]) -> Vec<SpanHead> {
        let id = |row: u32| SpanId((u64::from(row) + 1).to_be_bytes());
        let head = |&row: &u32| SpanHead {
            trace_id: TraceId((u128::from(self.stream.trace(row)) + 1).to_be_bytes()),
            span_id: id(row),
            parent_id: self.stream.parent(row).map_or(SpanId::default(), id),
            start: self.stream.start(row),
            end: self.stream.end(row),
            kind: self.stream.name(row).kind,
            ..SpanHead::default()
        };
        rows.iter().map(head).collect()
    }

    fn sampler(&self, profile: Profile) -> Result<SpanSampler, Error> {
        let config = spanwise_sampler::Config { profile, seed: self.seed, ..Default::default() };
        Ok(SpanSampler::new(config)?)
    }
}

fn row_of(head: &SpanHead) -> u32 {
    (u64::from_be_bytes(head.span_id.0) - 1) as u32
}

/// The dictionary of call sites as the product fills it.
#[derive(Debug)]
struct Sites {
    sites: CallSites,
    n_described: usize,
}

impl Sites {
    fn new() -> Self {
        Self { sites: CallSites::new(N_SITES, N_SITES_PER_SERVICE), n_described: 0 }
    }

    fn intern(&mut self, play: &Play<'_>, rows: &[u32], heads: &mut [SpanHead]) {
        for (head, &row) in heads.iter_mut().zip(rows) {
            let name = play.stream.name(row);
            head.site = self.sites.intern(&name.service, &name.operation, name.kind, head.end);
            let site = self.sites.get(head.site);
            head.service = site.service_id;
            if site.overflow {
                head.flags.insert(SpanFlags::OVERFLOW_SITE);
            }
        }
    }

    fn describe(&mut self, sampler: &mut SpanSampler) {
        while self.n_described < self.sites.id_bound() {
            let id = CallSiteId(self.n_described as u32);
            sampler.describe(id, self.sites.get(id));
            self.n_described += 1;
        }
    }
}

/// The default profile with its trace window.
#[derive(Debug)]
struct SitePlayer<'a> {
    play: &'a Play<'a>,
    score: Score,
    scores: &'a mut [f64],
    sites: Sites,
    sampler: SpanSampler,
    assembler: Assembler,
    closed: Vec<ClosedTrace>,
    kept: Vec<(u32, KeepReason)>,
    /// Shocked spans whose traces are open, by row.
    shocked: FxHashMap<u32, (Arc<Batch>, u32)>,
}

impl<'a> SitePlayer<'a> {
    fn new(play: &'a Play<'a>, score: Score, scores: &'a mut [f64]) -> Result<Self, Error> {
        let window =
            spanwise_assembler::Config { memory_bytes: WINDOW_BYTES, ..Default::default() };
        Ok(Self {
            play,
            score,
            scores,
            sites: Sites::new(),
            sampler: play.sampler(Profile::Default)?,
            assembler: Assembler::new(window)?,
            closed: Vec::new(),
            kept: Vec::new(),
            shocked: FxHashMap::default(),
        })
    }

    fn batch(&mut self, rows: &[u32], heads: &mut Vec<SpanHead>) {
        self.sites.intern(self.play, rows, heads);
        self.sites.describe(&mut self.sampler);
        let batch = Arc::new(Batch { spans: std::mem::take(heads), ..Batch::default() });
        let shocked = self.shock(rows, &batch);
        for (span_idx, (head, &row)) in (0_u32..).zip(batch.spans.iter().zip(rows)) {
            let now = head.end;
            self.close_up_to(now);
            let seen = match self.shocked.get(&row) {
                Some(&(_, at)) if !self.play.shocks.is_empty() => &shocked.spans[at as usize],
                _ => head,
            };
            let is_kept = self.arrive(seen, row, now);
            self.assembler.push(&batch, span_idx, is_kept, now, &mut self.closed);
            self.close(now);
        }
        if let Some(head) = batch.spans.last() {
            self.sampler.tick(head.end);
        }
    }

    /// The shocked among some spans, as the sampler is to see them.
    fn shock(&mut self, rows: &[u32], batch: &Batch) -> Arc<Batch> {
        let shocks = self.play.shocks;
        if shocks.is_empty() {
            return Arc::default();
        }
        let shocked = batch.spans.iter().zip(rows).filter_map(|(head, row)| {
            let end = head.start.plus_ns(*shocks.get(row)?);
            Some(SpanHead { end, ..*head })
        });
        let shocked = Arc::new(Batch { spans: shocked.collect(), ..Batch::default() });
        for (at, head) in (0_u32..).zip(&shocked.spans) {
            self.shocked.insert(row_of(head), (Arc::clone(&shocked), at));
        }
        shocked
    }

    fn arrive(&mut self, head: &SpanHead, row: u32, now: Timestamp) -> bool {
        if matches!(self.score, Score::SiteDur | Score::MaxDur)
            && let Some(scores) = self.sampler.arrival_scores(head, now)
        {
            let is_site = self.score == Score::SiteDur;
            let bits = if is_site { scores.site_dur } else { scores.max_dur() };
            self.scores[row as usize] = f64::from(bits);
        }
        self.sampler.arrive(head, now).is_some()
    }

    /// Closes the traces that are due by `now`, each at its own time.
    fn close_up_to(&mut self, now: Timestamp) {
        while let Some(due) = self.assembler.next_deadline().filter(|&due| due <= now) {
            self.assembler.tick(due, &mut self.closed);
            self.close(due);
        }
    }

    fn close(&mut self, now: Timestamp) {
        let mut closed = std::mem::take(&mut self.closed);
        for mut trace in closed.drain(..) {
            self.lengthen(&mut trace);
            self.kept.clear();
            self.sampler.close_trace(&trace.spans, now, &mut self.kept);
            for (span, scores) in trace.spans.iter().zip(self.sampler.closed_scores()) {
                if let Some(score) = self.score.at_close(scores) {
                    self.scores[row_of(span.head()) as usize] = score;
                }
            }
            self.assembler.recycle(trace);
        }
        self.closed = closed;
    }

    /// Makes the shocked spans of a trace longer by themselves.
    fn lengthen(&mut self, trace: &mut ClosedTrace) {
        if self.shocked.is_empty() {
            return;
        }
        for span in &mut trace.spans {
            let row = row_of(span.head());
            let Some((batch, span_idx)) = self.shocked.remove(&row) else { continue };
            let (before, after) = (self.play.stream.dur_ns(row), self.play.dur_ns(row));
            // A duration drawn anew (R1) may be shorter than the one it replaces.
            span.self_ns = (span.self_ns + after).saturating_sub(before).min(after);
            (span.batch, span.span_idx) = (batch, span_idx);
        }
    }
}

/// The `scale` profile, which decides on arrival and needs no trace window.
#[derive(Debug)]
struct ScalePlayer<'a> {
    play: &'a Play<'a>,
    sites: Sites,
    sampler: SpanSampler,
    /// Spans that are still trained on.
    n_untrained: u64,
}

impl<'a> ScalePlayer<'a> {
    fn new(play: &'a Play<'a>) -> Result<Self, Error> {
        let scale = ScaleConfig::referee();
        let sampler = play.sampler(Profile::Scale(scale))?;
        Ok(Self { play, sites: Sites::new(), sampler, n_untrained: scale.train_size })
    }

    fn batch(&mut self, rows: &[u32], heads: &mut [SpanHead]) {
        self.sites.intern(self.play, rows, heads);
        self.sites.describe(&mut self.sampler);
        for (head, &row) in heads.iter_mut().zip(rows) {
            let now = head.end;
            head.end = head.start.plus_ns(self.play.dur_ns(row));
            self.sampler.arrive(head, now);
        }
    }

    /// Notes the scores of a batch. The forest is frozen after its training, so they are those
    /// that decided; a span that is trained on has none and ranks last.
    fn note(&mut self, rows: &[u32], heads: &[SpanHead], scores: &mut [f64]) {
        for (head, &row) in heads.iter().zip(rows) {
            let is_trained = self.n_untrained == 0;
            self.n_untrained = self.n_untrained.saturating_sub(1);
            let score = self.sampler.river_score(head).filter(|_| is_trained);
            scores[row as usize] = score.unwrap_or(0.0);
        }
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

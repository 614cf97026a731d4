//! Behaviour of the trace sampler on traces made here.

mod bound;
mod counts;
mod order;
mod regimes;
mod reserve;
mod stored;

use std::sync::Arc;

use spanwise_model::{
    Batch, CallSiteId, CloseReason, ClosedSpan, ClosedTrace, SpanHead, SpanId, StatusCode,
    Timestamp, TraceId,
};
use spanwise_sampler::CloseScores;
use spanwise_sampler::trace::{Keep, Settled, Subject, Ticket, TraceSampler, Verdict};

/// `SplitMix64`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }
}

/// A trace that is yet to be built.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: u128,
    /// Call sites in a chain, the first one is the root.
    pub(crate) sites: Vec<u32>,
    /// Evidence of the last span in bits.
    pub(crate) cause: f32,
    pub(crate) failed: bool,
    pub(crate) now: Timestamp,
    pub(crate) n_bytes: u32,
}

impl Made {
    pub(crate) fn new(draw: &mut Draw, sites: &[u32], cause: f32, now: Timestamp) -> Self {
        let id = (u128::from(draw.bits()) << 64) | u128::from(draw.bits());
        Self { id, sites: sites.to_vec(), cause, failed: false, now, n_bytes: 100 }
    }

    pub(crate) fn build(&self) -> (ClosedTrace, Vec<CloseScores>) {
        let trace_id = TraceId(self.id.to_be_bytes());
        let low = self.id as u64 ^ 0x5555;
        let span_id = |i: usize| SpanId((low.wrapping_mul(31) + i as u64 + 1).to_be_bytes());
        let head = |(i, &site): (usize, &u32)| {
            let mut head = SpanHead {
                trace_id,
                span_id: span_id(i),
                parent_id: if i == 0 { SpanId::default() } else { span_id(i - 1) },
                start: self.now.minus_ns(1_000_000),
                end: self.now,
                site: CallSiteId(site),
                ..SpanHead::default()
            };
            head.raw.len = self.n_bytes;
            if self.failed && i + 1 == self.sites.len() {
                head.status = StatusCode::Error;
            }
            head
        };
        let spans: Vec<SpanHead> = self.sites.iter().enumerate().map(head).collect();
        let batch = Arc::new(Batch { spans, ..Batch::default() });
        let span = |i: usize| ClosedSpan {
            batch: Arc::clone(&batch),
            span_idx: i as u32,
            parent: i32::try_from(i).unwrap() - 1,
            self_ns: 1000,
            own_ns: 1000,
            gap_ns: None,
            kept_early: false,
        };
        let n = self.sites.len();
        let trace = ClosedTrace {
            trace_id,
            reason: CloseReason::RootEnded,
            closed_at: self.now,
            overflowed: false,
            has_root: true,
            spans: (0..n).map(span).collect(),
        };
        let scores = (0..n).map(|i| {
            let cause = if i + 1 == n { self.cause } else { -20.0 };
            CloseScores { cause, site_self: -20.0, ..CloseScores::default() }
        });
        (trace, scores.collect())
    }
}

/// What became of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Waits,
    Dropped,
    Kept(Keep),
}

impl End {
    pub(crate) fn keep(&self) -> Option<&Keep> {
        if let Self::Kept(keep) = self { Some(keep) } else { None }
    }

    fn of(keep: Option<Keep>) -> Self {
        keep.map_or(Self::Dropped, Self::Kept)
    }
}

/// Plays traces through shards and remembers what became of each.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) shards: Vec<TraceSampler>,
    held: Vec<(usize, Ticket, usize)>,
    /// By trace, in the order of arrival.
    pub(crate) ends: Vec<End>,
}

impl Player {
    pub(crate) fn new(shards: Vec<TraceSampler>) -> Self {
        Self { shards, held: Vec::new(), ends: Vec::new() }
    }

    pub(crate) fn learn(&mut self, made: &Made) {
        let (trace, scores) = made.build();
        let subject =
            Subject { trace: &trace, scores: &scores, randomness: None, tenant: 0, sites: None };
        let shard = (made.id >> 64) as usize % self.shards.len();
        self.shards[shard].learn(&subject, made.now);
    }

    /// Has the shards tell each other what they have learned.
    fn tell(&mut self, now: Timestamp) {
        let lessons: Vec<_> = self.shards.iter_mut().map(TraceSampler::lesson).collect();
        for (idx, shard) in self.shards.iter_mut().enumerate() {
            for (_, lesson) in lessons.iter().enumerate().filter(|(other, _)| *other != idx) {
                shard.hear(lesson, now);
            }
        }
    }

    /// Judges a trace; returns the positions of what was kept at this moment.
    pub(crate) fn judge(&mut self, made: &Made, tenant: u32) -> Vec<usize> {
        if self.ends.len().is_multiple_of(50) {
            self.tell(made.now);
        }
        let (trace, scores) = made.build();
        let subject =
            Subject { trace: &trace, scores: &scores, randomness: None, tenant, sites: None };
        let shard = (made.id >> 64) as usize % self.shards.len();
        let mut settled = Vec::new();
        let verdict = self.shards[shard].judge(&subject, made.now, &mut settled);
        let position = self.ends.len();
        let mut kept = self.settle(shard, &settled);
        self.ends.push(match verdict {
            Verdict::Keep(keep) => {
                kept.push(position);
                End::Kept(keep)
            }
            Verdict::Drop => End::Dropped,
            Verdict::Hold(ticket) => {
                self.held.push((shard, ticket, position));
                End::Waits
            }
        });
        kept
    }

    pub(crate) fn drain(&mut self, now: Timestamp) -> Vec<usize> {
        let mut kept = Vec::new();
        for shard in 0..self.shards.len() {
            let mut settled = Vec::new();
            self.shards[shard].drain(now, &mut settled);
            kept.extend(self.settle(shard, &settled));
        }
        assert!(self.held.is_empty(), "held after drain");
        assert!(!self.ends.contains(&End::Waits));
        kept
    }

    fn settle(&mut self, shard: usize, settled: &[Settled]) -> Vec<usize> {
        let mut kept = Vec::new();
        for Settled { ticket, keep } in settled {
            let same = |held: &(usize, Ticket, usize)| held.0 == shard && held.1 == *ticket;
            let at = self.held.iter().position(same).expect("a ticket is settled once");
            let (_, _, position) = self.held.swap_remove(at);
            assert_eq!(self.ends[position], End::Waits, "a verdict is final");
            self.ends[position] = End::of(*keep);
            kept.extend(keep.is_some().then_some(position));
        }
        kept
    }

    pub(crate) fn n_kept(&self) -> usize {
        self.ends.iter().filter(|end| end.keep().is_some()).count()
    }
}

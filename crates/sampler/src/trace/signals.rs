//! What a trace says in each lane: how slow, how unusually built, how unusually failed.

use std::cmp::Reverse;

use spanwise_model::{CallSiteId, ClosedTrace, StatusCode, Timestamp};

use super::verdict::Claim;
use super::words::{Found, Word, WordKind, Words};
use crate::bits::log2;
use crate::evidence::CloseScores;
use crate::tail::{TailNews, Tails};

/// How much less the rarity of a self time counts alone, without share of the request, crowd and
/// last window: a slow span of a small request is worth a keep, after those that slowed a request.
const ALONE_BITS: f32 = 4.0;

/// The score of the slowest span: the greatest `cause`, or what its site alone says.
pub(super) fn latency(trace: &ClosedTrace, scores: &[CloseScores]) -> Option<Claim> {
    let mut best = Claim::NONE;
    for (span, scores) in trace.spans.iter().zip(scores) {
        let bits = scores.cause.max(scores.site_self - ALONE_BITS);
        if bits >= best.bits && !scores.unknown {
            best = best.or(bits, span.head().site);
        }
    }
    (best.bits > f32::NEG_INFINITY).then_some(best)
}

/// How unusually a trace is built: its rarest word about calls, and a part of what its shape says.
///
/// How much a rare shape says depends on how many shapes there are: where every fifth trace has one
/// of its own, a new one says little. So a shape counts by its tail among other traces' shapes, and
/// in part only: enough to tell apart what the words say alike.
#[derive(Clone, Debug)]
pub(super) struct Structure {
    shapes: Tails,
}

/// Part of a shape's tail, in bits, that adds to the rarest word.
const SHAPE_PART: f32 = 0.35;

impl Structure {
    pub(super) fn new() -> Self {
        Self { shapes: Tails::new() }
    }

    /// Recent shapes.
    pub(super) const fn shapes(&self) -> &Tails {
        &self.shapes
    }

    /// One that has seen these shapes.
    pub(super) const fn of(shapes: Tails) -> Self {
        Self { shapes }
    }

    /// Shapes that other shards have not been told of.
    pub(super) fn news(&mut self) -> TailNews {
        self.shapes.news()
    }

    /// Learns the shapes of another shard.
    pub(super) fn hear(&mut self, news: &TailNews, now: Timestamp) {
        self.shapes.hear(news, now);
    }

    /// Judges the trace whose words were read last, and remembers its shape.
    pub(super) fn judge(&mut self, words: &Words, lot: f32, now: Timestamp) -> Option<Claim> {
        // The word with the least frequency is the one with most bits.
        let mut rarest: Option<&Found> = None;
        let mut shape = 0.0;
        for found in words.bag() {
            match WordKind::of(found.word.hash) {
                Some(WordKind::Callees | WordKind::Repeats)
                    if rarest.is_none_or(|rarest| found.is_rarer(rarest)) =>
                {
                    rarest = Some(found);
                }
                Some(WordKind::Shape) => {
                    let tail = self.shapes.judge(words.bits(found), lot, now);
                    shape = -log2(tail.share.max(1e-9));
                }
                _ => {}
            }
        }
        let Word { hash, site } = rarest?.word;
        let bits = words.bits(rarest?) + SHAPE_PART * shape;
        Some(Claim { bits, source: hash, site })
    }
}

/// The failed span whose call site fails most rarely.
pub(super) fn error(trace: &ClosedTrace, words: &Words) -> Option<Claim> {
    let mut best = Claim::NONE;
    let mut last = CallSiteId::UNSET;
    for span in &trace.spans {
        let head = span.head();
        if head.status != StatusCode::Error || head.site == last {
            continue;
        }
        last = head.site;
        best = best.or(words.error_bits(head.site), head.site);
    }
    (best.bits > f32::NEG_INFINITY).then_some(best)
}

/// The duration of the longest span, in octaves of nanoseconds.
pub(super) fn duration(trace: &ClosedTrace) -> Option<Claim> {
    let durations = trace.spans.iter().filter_map(|span| {
        let head = span.head();
        Some((head.duration_ns()?, head.site))
    });
    let (ns, site) = durations.max_by_key(|&(ns, site)| (ns, Reverse(site)))?;
    let bits = log2(ns.max(1) as f32);
    Some(Claim { bits, source: u64::from(site.0), site })
}

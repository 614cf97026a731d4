//! What a trace says in each lane: how slow, how unusually built, how unusually failed.

use spanwise_model::{CallSiteId, ClosedTrace, StatusCode, Timestamp};

use super::verdict::Claim;
use super::words::{WordKind, Words};
use crate::bits::log2;
use crate::evidence::CloseScores;
use crate::tail::Tails;

/// How much less the rarity of a self time counts alone, without share of the request, crowd and
/// last window: a slow span of a small request is worth a keep, after those that slowed a request.
const ALONE_BITS: f32 = 4.0;

/// The score of the slowest span: the greatest `cause`, or what its site alone says.
pub(super) fn latency(trace: &ClosedTrace, scores: &[CloseScores]) -> Option<Claim> {
    let mut best = Claim::NONE;
    for (span, scores) in trace.spans.iter().zip(scores) {
        let bits = scores.cause.max(scores.site_self - ALONE_BITS);
        if bits > best.bits && !scores.unknown {
            let site = span.head().site;
            best = Claim { bits, source: u64::from(site.0), site };
        }
    }
    (best.bits > f32::NEG_INFINITY).then_some(best)
}

/// How rare the rarest word of each kind is among those of other traces.
///
/// Kinds differ in variety: where every fifth trace has a shape of its own, a new shape says little,
/// and a new call site much. So each kind has its own tail, and kinds compare by probability.
#[derive(Clone, Debug)]
pub(super) struct Structure {
    kinds: [Tails; WordKind::ALL.len()],
    /// Whether failures belong to structure; they have a lane of their own otherwise.
    has_errors: bool,
}

impl Structure {
    pub(super) fn new(has_errors: bool) -> Self {
        Self { kinds: std::array::from_fn(|_| Tails::new()), has_errors }
    }

    /// Judges the trace whose words were read last, and remembers it.
    pub(super) fn judge(&mut self, words: &Words, lot: f32, now: Timestamp) -> Option<Claim> {
        let mut rarest = [Claim::NONE; WordKind::ALL.len()];
        for found in words.bag() {
            let best = &mut rarest[(found.word.hash & 7) as usize];
            if found.bits > best.bits {
                *best = Claim { bits: found.bits, source: found.word.hash, site: found.word.site };
            }
        }
        let mut best = Claim::NONE;
        for ((kind, claim), tails) in WordKind::ALL.iter().zip(rarest).zip(&mut self.kinds) {
            let counts = match kind {
                WordKind::Slow => false,
                WordKind::Error => self.has_errors,
                _ => true,
            };
            if !counts {
                continue;
            }
            let tail = tails.judge(claim.bits, lot, now);
            let bits = -log2(tail.share.max(1e-6));
            if bits > best.bits && claim.bits > f32::NEG_INFINITY {
                best = Claim { bits, ..claim };
            }
        }
        (best.bits > f32::NEG_INFINITY).then_some(best)
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
        let bits = words.error_bits(head.site);
        if bits > best.bits {
            best = Claim { bits, source: u64::from(head.site.0), site: head.site };
        }
    }
    (best.bits > f32::NEG_INFINITY).then_some(best)
}

/// The duration of the longest span, in octaves of nanoseconds.
pub(super) fn duration(trace: &ClosedTrace) -> Option<Claim> {
    let durations = trace.spans.iter().filter_map(|span| {
        let head = span.head();
        Some((head.duration_ns()?, head.site))
    });
    let (ns, site) = durations.max_by_key(|&(ns, _)| ns)?;
    let bits = log2(ns.max(1) as f32);
    Some(Claim { bits, source: u64::from(site.0), site })
}

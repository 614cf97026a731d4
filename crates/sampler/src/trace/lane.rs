//! A lane: its part of the budget, and the threshold on the tail that keeps to it.
//!
//! Several lanes instead of one merged score, because one score starves somebody: the slow traces of
//! one long incident outnumber every rare structure.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use spanwise_model::Timestamp;

use crate::tail::{Tail, TailNews, Tails};

/// Traces whose tail is up to so many times the threshold may wait for budget.
const CANDIDATE_FACTOR: f64 = 4.0;
/// The threshold without savings, as a part of the nominal one, and at most.
const G: (f64, f64) = (0.5, 2.0);
/// Savings are never smaller than what so many traces bring in.
const SAVINGS_MIN: f64 = 2.0;
/// Share of a lane's keeps that one source (a call site, a word) may have while others wait.
pub(super) const SOURCE_SHARE: f32 = 0.25;
/// Keeps after which the memory of sources has halved.
const SOURCE_MEMORY: f32 = 512.0;
/// Sources that are remembered.
const N_SOURCES_MAX: usize = 1024;

/// A lane whose keeps are decided by a score.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    tails: Tails,
    /// Whether the sampler has something to say in this lane at all.
    pub(super) is_used: bool,
    /// Share of the budget; 0 until enough is known.
    pub(super) weight: f64,
    /// Who waits for budget: (score as an ordered number, slot of the reserve).
    pub(super) waiting: BTreeSet<(u32, u32)>,
    sources: Sources,
}

/// Who was kept lately, by what it was kept for.
#[derive(Clone, Debug, Default)]
struct Sources {
    kept: FxHashMap<u64, f32>,
    total: f32,
}

impl Lane {
    pub(super) fn new(is_used: bool) -> Self {
        Self {
            tails: Tails::new(),
            is_used,
            weight: 0.0,
            waiting: BTreeSet::new(),
            sources: Sources::default(),
        }
    }

    /// The tail of a score, which is then remembered.
    pub(super) fn judge(&mut self, bits: f32, lot: f32, now: Timestamp) -> Tail {
        self.tails.judge(bits, lot, now)
    }

    /// The tail a score has now.
    pub(super) fn tail(&self, bits: f32, lot: f32) -> Tail {
        self.tails.peek(bits, lot)
    }

    /// The greatest tail that is kept, when the budget is this share of all, the lane has saved
    /// `credit` and all together usually save `usual`.
    pub(super) fn threshold(&self, share: f64, credit: f64, usual: f64) -> f64 {
        let usual = self.weight * usual + SAVINGS_MIN;
        // The factor on the threshold: 1/2 with nothing saved, 1 with the usual savings.
        let g = (G.0 + (1.0 - G.0) * credit / usual).clamp(G.0, G.1);
        self.weight * share * g
    }

    /// Whether a tail may wait for budget: it is near the threshold, or there are savings, for so many
    /// traces, and too few to spend them on.
    pub(super) fn is_candidate(&self, tail: Tail, share: f64, n_saved: f64) -> bool {
        f64::from(tail.drawn) <= CANDIDATE_FACTOR * self.weight * share
            || (self.weight > 0.0 && (self.waiting.len() as f64) < n_saved)
    }

    pub(super) fn calibration_ks(&self) -> f64 {
        self.tails.calibration_ks()
    }

    /// Its recent scores.
    pub(super) const fn tails(&self) -> &Tails {
        &self.tails
    }

    /// Recent scores from before.
    pub(super) fn restore(&mut self, tails: Tails) {
        self.tails = tails;
    }

    /// Scores that other shards have not been told of.
    pub(super) fn news(&mut self) -> TailNews {
        self.tails.news()
    }

    /// Learns the scores of another shard.
    pub(super) fn hear(&mut self, news: &TailNews, now: Timestamp) {
        self.tails.hear(news, now);
    }

    /// Notes what something was kept for.
    pub(super) fn count(&mut self, source: u64) {
        self.sources.count(source);
    }

    /// Whether a source has had more than its part of the lane lately.
    pub(super) fn is_crowded(&self, source: u64) -> bool {
        self.sources.share(source) > SOURCE_SHARE
    }
}

impl Sources {
    fn share(&self, source: u64) -> f32 {
        // Eight keeps of nobody: who comes first is no crowd.
        self.kept.get(&source).copied().unwrap_or(0.0) / (self.total + 8.0)
    }

    fn count(&mut self, source: u64) {
        if self.total >= SOURCE_MEMORY || self.kept.len() >= N_SOURCES_MAX {
            self.total = 0.0;
            self.kept.retain(|_, kept| {
                *kept *= 0.5;
                *kept >= 0.5
            });
            self.total = self.kept.values().sum();
        }
        *self.kept.entry(source).or_default() += 1.0;
        self.total += 1.0;
    }
}

/// Floats as numbers in the same order; NaN of either sign stands outside of all others.
pub(super) fn ordered(bits: f32) -> u32 {
    let raw = bits.to_bits();
    if raw >> 31 == 0 { raw | (1 << 31) } else { !raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_numbers_keep_the_order_of_floats() {
        let floats = [f32::NEG_INFINITY, -3.5, -0.0, 0.0, 1e-9, 2.0, 99.0, f32::INFINITY];
        assert!(floats.windows(2).all(|pair| ordered(pair[0]) <= ordered(pair[1])));
        assert!(ordered(-3.5) < ordered(2.0));
    }

    #[test]
    fn a_source_is_crowded_only_among_many() {
        let mut lane = Lane::new(true);
        for _ in 0..2 {
            lane.count(7);
        }
        assert!(!lane.is_crowded(7));
        for i in 0..20 {
            lane.count(7);
            lane.count(100 + i);
        }
        assert!(lane.is_crowded(7) && !lane.is_crowded(100) && !lane.is_crowded(55));
    }

    #[test]
    fn sources_are_bounded_and_forgotten() {
        let mut sources = Sources::default();
        for i in 0..100_000 {
            sources.count(i);
        }
        assert!(sources.kept.len() <= N_SOURCES_MAX);
        assert!(sources.share(1) <= 0.0);
    }
}

//! How the default shares the budget among its lanes.
//!
//! Latency 50 %, structure 20 %, errors 15 %, baseline 15 %; what errors do not need and what the
//! baseline has over goes to latency and structure as 5 : 2. With a budget below the share of
//! anomalous traces the baseline shrinks to 2 %: there is nothing to spare for the usual. It grows
//! back steadily, so that nothing jumps where the budget equals that share.

use super::desk::Opinion;
use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};

const LATENCY: f64 = 0.5;
const STRUCTURE: f64 = 0.2;
const ERROR: f64 = 0.15;
/// Part of the budget for errors, over what they were of late: they come in bursts.
const ERROR_ROOM: f64 = 1.5;
const BASELINE: f64 = 0.15;
const BASELINE_MIN: f64 = 0.02;
/// Weight of one trace in the running shares: a memory of a few thousand.
const RATE: f64 = 1.0 / 4096.0;
/// A latency claim from here on counts as an anomaly: rarer than anything trusted but for the one
/// in a thousand.
const SLOW_BITS: f32 = -2.0;
/// A structure claim from here on: one trace in a thousand or fewer has that word.
const ODD_BITS: f32 = 10.0;

/// Running shares that weights follow from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    /// Traces with a failed span.
    errors: f64,
    /// Traces that look anomalous.
    pub(super) anomalies: f64,
    n_traces: u64,
    news: ShareNews,
}

/// Traces that other shards have not been told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShareNews {
    all: u32,
    errors: u32,
    anomalies: u32,
}

/// Part of the budget of each lane, and of chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    pub(super) lanes: [f64; 3],
    pub(super) chance: f64,
}

impl Shares {
    pub(super) fn count(&mut self, opinion: &Opinion) {
        let [latency, structure, error] = opinion.claims;
        let above = |claim: Option<super::Claim>, bits| claim.is_some_and(|c| c.bits >= bits);
        let is_odd = above(latency, SLOW_BITS) || above(structure, ODD_BITS) || error.is_some();
        self.n_traces += 1;
        let rate = RATE.max(1.0 / self.n_traces as f64);
        self.errors += rate * (f64::from(u8::from(error.is_some())) - self.errors);
        self.anomalies += rate * (f64::from(u8::from(is_odd)) - self.anomalies);
        self.news.all = self.news.all.saturating_add(1);
        self.news.errors += u32::from(error.is_some());
        self.news.anomalies += u32::from(is_odd);
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.f64(self.errors);
        writer.f64(self.anomalies);
        writer.u64(self.n_traces);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (errors, anomalies) = (reader.count()?, reader.count()?);
        if errors > 1.0 || anomalies > 1.0 {
            return Err(reader.corrupt("a share is above 1"));
        }
        Ok(Self { errors, anomalies, n_traces: reader.u64()?, news: ShareNews::default() })
    }

    pub(super) fn news(&mut self) -> ShareNews {
        std::mem::take(&mut self.news)
    }

    /// Counts the traces of another shard, as if they had come one after the other.
    pub(super) fn hear(&mut self, news: ShareNews) {
        if news.all == 0 {
            return;
        }
        let n = f64::from(news.all);
        self.n_traces += u64::from(news.all);
        let rate = (1.0 - (1.0 - RATE).powf(n)).max(n / self.n_traces as f64);
        self.errors += rate * (f64::from(news.errors) / n - self.errors);
        self.anomalies += rate * (f64::from(news.anomalies) / n - self.anomalies);
    }

    /// Weights under a budget of this share of all traces. They add up to 1.
    pub(super) fn weights(&self, share: f64) -> Weights {
        let error = ERROR.min(ERROR_ROOM * self.errors / share.max(1e-9));
        let over = (share / self.anomalies.max(1e-9) - 1.0).clamp(0.0, 1.0);
        let chance = (BASELINE * over).max(BASELINE_MIN);
        let rest = 1.0 - error - chance;
        let latency = rest * LATENCY / (LATENCY + STRUCTURE);
        Weights { lanes: [latency, rest - latency, error], chance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errors: f64, anomalies: f64, share: f64, expected: [f64; 4]) {
        let shares = Shares { errors, anomalies, n_traces: 1, ..Shares::default() };
        let Weights { lanes: [latency, structure, error], chance } = shares.weights(share);
        for (found, expected) in [latency, structure, error, chance].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn empty_lanes_leave_their_part_to_the_others() {
        check(0.5, 0.01, 0.05, [0.5, 0.2, 0.15, 0.15]);
        check(0.0, 0.01, 0.05, [0.85 * 5.0 / 7.0, 0.85 * 2.0 / 7.0, 0.0, 0.15]);
        check(0.0, 0.2, 0.05, [0.7, 0.28, 0.0, 0.02]);
    }

    #[test]
    fn the_baseline_does_not_jump_where_the_budget_equals_the_anomalies() {
        let shares = Shares { errors: 0.0, anomalies: 0.05, n_traces: 1, ..Shares::default() };
        let chance = |share: f64| shares.weights(share).chance;
        assert!((chance(0.0499) - chance(0.0501)).abs() < 1e-3);
        assert!(chance(0.1) > 0.149 && chance(0.02) < 0.021);
    }
}

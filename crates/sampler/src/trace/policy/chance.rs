//! A share of the traces, by chance.
//!
//! Without a salt the chance is the trace's own randomness R, which every sampler of the trace shares
//! (`OpenTelemetry` `TraceState` probability sampling): keep if R >= T = (1 - p) 2^56, and the keep
//! carries T. With a salt it is the Collector's: keep if FNV-1a of salt and trace id, in 64 bits, is
//! at most p (2^64 - 1). Such a keep is independent of R and carries no threshold.

use std::sync::Arc;

use spanwise_model::TraceId;

use super::super::threshold::{self, FULL};
use super::rule::{Odds, Vote};

/// A share of the traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    threshold: u64,
    /// Salt, and the largest hash that is kept.
    salted: Option<(Arc<str>, u64)>,
}

impl Chance {
    /// `percent` of all traces; 100 and more keeps all, 0 and less or NaN keeps none. `salt`: the
    /// Collector's hash instead of R.
    pub fn new(percent: f64, salt: Option<&str>) -> Self {
        let p = percent / 100.0;
        let salted = salt.map(|salt| (Arc::from(salt), largest_hash(p)));
        Self { threshold: threshold::of_probability(p), salted }
    }

    pub(super) fn vote(&self, id: TraceId, randomness: u64) -> Vote {
        match &self.salted {
            _ if self.threshold == FULL => Vote::No,
            _ if self.threshold == 0 => Vote::CERTAIN,
            None => Vote::of(randomness >= self.threshold, Odds::Known(self.threshold)),
            Some((salt, largest)) => Vote::of(hash(salt, id) <= *largest, Odds::Unknown),
        }
    }
}

/// p (2^64 - 1), rounded down; p is above 0 and below 1 where it matters.
fn largest_hash(p: f64) -> u64 {
    // 2^64, which f64 holds exactly; the cast saturates, and the -1 is far below the precision of p.
    (p * 2.0_f64.powi(64)) as u64
}

/// FNV-1a, 64 bits, of a salt and a trace id.
fn hash(salt: &str, id: TraceId) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = salt.bytes().chain(id.0);
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(i: u64) -> TraceId {
        let spread = u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(i) << 20;
        TraceId(spread.to_be_bytes())
    }

    #[test]
    fn fnv_gives_the_published_values() {
        // http://www.isthe.com/chongo/tech/comp/fnv/: the empty string and `a`.
        let fnv = |text: &str| {
            text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        };
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv("foobar"), 0x8594_4171_f739_67e8);
        let id = TraceId(*b"0123456789abcdef");
        assert_eq!(hash("salt", id), fnv("salt0123456789abcdef"));
    }

    #[test]
    fn consistent_keeps_carry_their_threshold() {
        let chance = Chance::new(25.0, None);
        let t = 3 * (FULL / 4);
        assert_eq!(chance.vote(id(1), t), Vote::Yes(Odds::Known(t)));
        assert_eq!(chance.vote(id(1), t - 1), Vote::No);
    }

    #[test]
    fn everything_and_nothing_are_certain_with_and_without_a_salt() {
        for salt in [None, Some("a")] {
            assert_eq!(Chance::new(100.0, salt).vote(id(1), 0), Vote::CERTAIN);
            assert_eq!(Chance::new(250.0, salt).vote(id(1), 0), Vote::CERTAIN);
            for percent in [0.0, -1.0, f64::NAN] {
                assert_eq!(Chance::new(percent, salt).vote(id(1), FULL - 1), Vote::No);
            }
        }
    }

    #[test]
    fn a_salted_share_is_kept_without_a_threshold_whatever_r_is() {
        let chance = Chance::new(10.0, Some("salt"));
        let n = (0..20_000).filter(|&i| chance.vote(id(i), 0) == Vote::Yes(Odds::Unknown)).count();
        // 10 % of 20,000 within five standard deviations (42).
        assert!((1_790..=2_210).contains(&n), "{n}");
    }
}

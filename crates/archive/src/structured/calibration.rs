//! Quantiles of the durations of each node, and how generated durations are brought to them.
//!
//! Durations of inner spans are sums of what was drawn for many others, and drawing until a trace
//! has its length bends all of them a little. A line of quantiles for each node is cheap, and a
//! monotone map onto it leaves ranks, and so every relation between spans, as it was.

use super::bins::{value_of, z_of};

/// Levels of the quantiles, out of 10,000.
pub(crate) const LEVELS: [u32; 22] = [
    0, 50, 200, 500, 1000, 1700, 2500, 3300, 4200, 5000, 5800, 6700, 7500, 8300, 9000, 9500, 9800,
    9900, 9950, 9980, 9995, 10_000,
];
/// Nodes with fewer spans are left as they are drawn.
pub(crate) const SPANS_MIN: usize = 100;

/// Quantiles at [`LEVELS`] on the grid of bins, ascending; empty if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) grid: Vec<i32>,
}

/// A monotone map from durations as they are drawn to durations as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Map {
    /// (drawn, real) at each level, both ascending; empty for the identity.
    knots: Vec<(i64, i64)>,
}

impl Quantiles {
    pub(crate) fn fit(sorted: &[i64]) -> Self {
        if sorted.len() < SPANS_MIN {
            return Self::default();
        }
        let at = |level: u32| {
            let at = f64::from(level) / 10_000.0 * (sorted.len() - 1) as f64;
            let (low, share) = (at as usize, at.fract());
            let high = (low + 1).min(sorted.len() - 1);
            z_of(sorted[low] as f64 * (1.0 - share) + sorted[high] as f64 * share)
        };
        Self { grid: LEVELS.map(at).to_vec() }
    }

    /// The map that brings `drawn` durations, sorted, to these quantiles.
    pub(crate) fn map(&self, drawn: &[i64]) -> Map {
        if self.grid.is_empty() || drawn.is_empty() {
            return Map::default();
        }
        let knot = |(&level, &z): (&u32, &i32)| {
            let at = (drawn.len() - 1) as u64 * u64::from(level) / 10_000;
            (drawn[at as usize], value_of(z))
        };
        let knots: Vec<(i64, i64)> = LEVELS.iter().zip(&self.grid).map(knot).collect();
        // What many have stays, if it may: it cannot be told apart.
        let ties = knots.chunk_by(|a, b| a.0 == b.0);
        let joined =
            ties.map(|same| (same[0].0, same[0].0.clamp(same[0].1, same[same.len() - 1].1)));
        Map { knots: joined.collect() }
    }
}

impl Map {
    pub(crate) fn is_identity(&self) -> bool {
        self.knots.is_empty()
    }

    /// Where a drawn duration goes. Between knots on a line; beyond them by as much as the last.
    pub(crate) fn of(&self, drawn: i64) -> i64 {
        let at = self.knots.partition_point(|knot| knot.0 <= drawn);
        match (at.checked_sub(1).map(|i| self.knots[i]), self.knots.get(at)) {
            (None, None) => drawn,
            (Some((from, to)), None) | (None, Some(&(from, to))) => {
                to.saturating_add(drawn.saturating_sub(from)).max(0)
            }
            (Some((a, b)), Some(&(c, d))) => {
                // Numbers of a hostile file may lie as far apart as numbers can.
                let [drawn, a, b, c, d] = [drawn, a, b, c, d].map(i128::from);
                (b + (drawn - a) * (d - b) / (c - a)) as i64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_has_the_quantiles_of_what_was_seen() {
        let mut seen: Vec<i64> = (0..10_000_i64).map(|i| 1000 + i * i % 77_777).collect();
        seen.sort_unstable();
        let drawn: Vec<i64> = (0..5000).map(|i| 7 * i).collect();
        let map = Quantiles::fit(&seen).map(&drawn);
        for level in [1, 10, 50, 90, 99] {
            let (a, b) = (seen[level * 100] as f64, map.of(drawn[level * 50]) as f64);
            assert!((a / b - 1.0).abs() < 0.04, "{level}: {a} {b}");
        }
        assert!((-10..40_000).map(|d| map.of(d)).is_sorted());
    }

    #[test]
    fn knots_at_the_ends_of_all_numbers_are_no_trouble() {
        let map = Map { knots: vec![(0, -i64::MAX), (10, i64::MAX)] };
        assert_eq!([0, 5, 9].map(|drawn| map.of(drawn) > 0), [false, false, true]);
        assert!((0..10).map(|drawn| map.of(drawn)).is_sorted());
    }

    #[test]
    fn few_values_have_no_quantiles() {
        assert_eq!(Quantiles::fit(&[1; SPANS_MIN - 1]), Quantiles::default());
        assert!(Quantiles::default().map(&[1, 2]).is_identity());
        assert_eq!(Map::default().of(5), 5);
    }
}

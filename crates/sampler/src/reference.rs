//! What is usual at a call site: the score of every bin against a mass, and the few quantiles
//! that the gate, the slow side and the explanation of a keep need.
//!
//! `s[b] = -log2(1 + 2^h m[b])` with `m[b]` Tan's mass (low = rare), so about -16 bits for the
//! densest bin and 0 for an empty region. Above the highest occupied bin every empty bin would
//! score 0; there each octave adds one bit, so that farther is worse. Bins at or below the median
//! get the lowest score: a span that is faster than usual is no incident.

use spanwise_hst::{Grid, Scratch, Skeleton};

use crate::bits::{Stored, log2};

/// Masses per bin of the duration grid.
pub(crate) type Masses = [f32; Grid::N_BINS];
/// Scores per bin of the duration grid.
pub(crate) type Scores = [Stored; Grid::N_BINS];

/// Quantiles of one reference, as bins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quantiles {
    /// Sum of the masses; 0 = there is no reference.
    pub(crate) total: f32,
    /// Half of the mass lies at or below this bin.
    pub(crate) median: u16,
    /// 99 %.
    pub(crate) p99: u16,
    /// Bins above it are not taught: a high quantile and a quarter of an octave.
    pub(crate) cap: u16,
}

/// Builds references; holds the skeleton all sites share and scratch memory.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    skeleton: Skeleton,
    scratch: Scratch,
    mass: Vec<f64>,
    tan: Vec<f64>,
}

/// Bins between the cap's quantile and the cap: a quarter of an octave, so that the gate does not
/// bite the upper edge of what is normal.
const CAP_MARGIN: usize = Grid::BINS_PER_OCTAVE / 4;

impl Builder {
    pub(crate) fn new(skeleton: Skeleton) -> Self {
        assert_eq!(skeleton.n_bins(), Grid::N_BINS, "the skeleton covers the duration grid");
        let zeros = vec![0.0; Grid::N_BINS];
        Self { skeleton, scratch: Scratch::default(), mass: zeros.clone(), tan: zeros }
    }

    pub(crate) fn skeleton(&self) -> &Skeleton {
        &self.skeleton
    }

    /// Writes the scores of all bins against `masses` (finite, not negative) through `put` and
    /// returns the quantiles, the cap from the quantile `cap_share`. A total of 0 writes nothing.
    pub(crate) fn build(
        &mut self,
        masses: impl Iterator<Item = f32>,
        cap_share: f64,
        mut put: impl FnMut(usize, Stored),
    ) -> Quantiles {
        let mut total = 0.0;
        for (slot, mass) in self.mass.iter_mut().zip(masses) {
            *slot = f64::from(mass);
            total += *slot;
        }
        if total <= 0.0 {
            return Quantiles::default();
        }
        self.skeleton.tan(&self.mass, total, &mut self.scratch, &mut self.tan);
        let shares = [0.5, 0.99, cap_share, 1.0 - 0.5 / total];
        let [median, p99, cap, top] = quantiles(&self.mass, total, shares);
        let densest = (1_u32 << self.skeleton.height()) as f32;
        for (bin, &mass) in self.tan.iter().enumerate() {
            let octaves = bin.saturating_sub(top) as f32 / Grid::BINS_PER_OCTAVE as f32;
            let bits = -log2(1.0 + densest * mass as f32) + octaves;
            put(bin, if bin <= median { Stored::NOT_SLOW } else { Stored::of_bits(bits) });
        }
        Quantiles {
            total: total as f32,
            median: median as u16,
            p99: p99 as u16,
            cap: (cap + CAP_MARGIN).min(Grid::N_BINS - 1) as u16,
        }
    }
}

/// The cap of masses: a quarter of an octave above the bin of the quantile.
pub(crate) fn cap_of(masses: &Masses, share: f64) -> usize {
    let total: f64 = masses.iter().map(|&mass| f64::from(mass)).sum();
    let mut sum = 0.0;
    let mut reaches = |&mass: &f32| {
        sum += f64::from(mass);
        mass > 0.0 && sum >= share * total
    };
    let bin = masses.iter().position(&mut reaches).unwrap_or(Grid::N_BINS - 1);
    (bin + CAP_MARGIN).min(Grid::N_BINS - 1)
}

/// The least bin up to which at least each share of the total lies. Shares need no order.
fn quantiles<const N: usize>(mass: &[f64], total: f64, shares: [f64; N]) -> [usize; N] {
    let mut bins = [mass.len() - 1; N];
    let mut found = [false; N];
    let mut sum = 0.0;
    for (bin, &m) in mass.iter().enumerate() {
        if m <= 0.0 {
            continue;
        }
        sum += m;
        for i in 0..N {
            if !found[i] && sum >= shares[i] * total {
                (bins[i], found[i]) = (bin, true);
            }
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(mass: &[(usize, f32)]) -> (Vec<Stored>, Quantiles) {
        let skeleton = Skeleton::new(1, 25, 8, Grid::N_BINS).unwrap();
        let mut masses = [0.0; Grid::N_BINS];
        for &(bin, m) in mass {
            masses[bin] = m;
        }
        let mut scores = vec![Stored::NOT_SLOW; Grid::N_BINS];
        let quantiles = Builder::new(skeleton)
            .build(masses.into_iter(), 0.995, |bin, score| scores[bin] = score);
        (scores, quantiles)
    }

    #[test]
    fn quantiles_are_bins_of_the_mass() {
        let (_, q) = build(&[(100, 500.0), (120, 480.0), (140, 14.0), (160, 6.0)]);
        assert_eq!((q.median, q.p99, q.cap), (100, 140, 160 + 4));
        assert_eq!(q.total.to_bits(), 1000.0_f32.to_bits());
    }

    #[test]
    fn rare_bins_score_above_dense_ones_and_farther_bins_higher_still() {
        let (scores, _) = build(&[(100, 500.0), (101, 450.0), (120, 50.0)]);
        assert_eq!(scores[90], Stored::NOT_SLOW);
        assert_eq!(scores[100], Stored::NOT_SLOW);
        assert!(scores[101] < scores[120]);
        assert!(scores[120] < scores[200]);
        let octave = scores[316].bits() - scores[300].bits();
        assert!((octave - 1.0).abs() < 0.01, "{octave}");
    }

    #[test]
    fn an_empty_mass_is_no_reference() {
        let (_, q) = build(&[]);
        assert_eq!(q, Quantiles::default());
    }
}

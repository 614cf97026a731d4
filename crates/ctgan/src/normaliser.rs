//! Mode-specific normalisation: a number as a component of a mixture and a place in it.
//!
//! x becomes `a = clip((x - mu_k) / (4 sigma_k), -.99, .99)` and the component k, drawn by its
//! posterior; back, a is clipped to [-1, 1] and `x = 4 sigma_k a + mu_k`.

use crate::mixture::{Component, Mixture};
use crate::random::Random;
use crate::rows::Block;

/// Components at most.
const N_COMPONENTS: usize = 10;
/// Components of a weight up to this are dropped.
const WEIGHT_MIN: f64 = 0.005;
/// Standard deviations that a scalar of 1 stands for.
const DEVIATIONS: f64 = 4.0;
const CLIP: f64 = 0.99;
/// Added to each posterior, so that each component is drawn now and then.
const POSTERIOR_MIN: f64 = 1e-6;

/// The normaliser of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normaliser {
    mixture: Mixture,
}

impl Normaliser {
    /// Fits a mixture. Time grows with values times components.
    pub fn fit(x: &[f64]) -> Self {
        Self { mixture: Mixture::fit(x, N_COMPONENTS, WEIGHT_MIN) }
    }

    /// Of components with (mean, standard deviation); for reading back what decoding needs.
    pub fn of(modes: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let component = |(mean, deviation): (f64, f64)| Component {
            weight: 1.0,
            mean,
            variance: deviation * deviation,
        };
        Self { mixture: Mixture { components: modes.into_iter().map(component).collect() } }
    }

    /// (Mean, standard deviation) of each component.
    pub fn modes(&self) -> Vec<(f64, f64)> {
        self.mixture.components.iter().map(|c| (c.mean, libm::sqrt(c.variance))).collect()
    }

    /// Mean and standard deviation of the whole mixture; 0 without components.
    pub fn moments(&self) -> (f64, f64) {
        let all = &self.mixture.components;
        let total: f64 = all.iter().map(|c| c.weight).sum::<f64>().max(f64::MIN_POSITIVE);
        let mean = all.iter().map(|c| c.weight * c.mean).sum::<f64>() / total;
        let square = |c: &Component| c.weight * (c.variance + (c.mean - mean) * (c.mean - mean));
        (mean, libm::sqrt(all.iter().map(square).sum::<f64>() / total))
    }

    /// How many components there are.
    pub fn n_modes(&self) -> usize {
        self.mixture.components.len()
    }

    /// The blocks of a column: the scalar and the choice of a component, and one more choice for
    /// "no number" if it is to be `nullable`.
    pub fn blocks(&self, nullable: bool) -> [Block; 2] {
        [Block::Scalar, Block::Choice(self.mixture.components.len() + usize::from(nullable))]
    }

    /// A component, drawn by its posterior, and the place in it.
    pub fn encode(&self, x: f64, random: &mut Random, scratch: &mut Vec<f64>) -> (f32, u16) {
        self.mixture.log_densities(x, scratch);
        let greatest = scratch.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for p in scratch.iter_mut() {
            *p = libm::exp(*p - greatest);
            sum += *p;
        }
        let total = scratch.iter().map(|p| p / sum + POSTERIOR_MIN).sum::<f64>();
        let mut left = f64::from(random.unit()) * total;
        let mut mode = scratch.len() - 1;
        for (at, p) in scratch.iter().enumerate() {
            left -= p / sum + POSTERIOR_MIN;
            if left < 0.0 {
                mode = at;
                break;
            }
        }
        (self.place(x, mode), mode as u16)
    }

    /// The place of a number in a component.
    pub fn place(&self, x: f64, mode: usize) -> f32 {
        let component = &self.mixture.components[mode];
        let deviation = libm::sqrt(component.variance);
        ((x - component.mean) / (DEVIATIONS * deviation)).clamp(-CLIP, CLIP) as f32
    }

    /// The number at a place of a component; components that are not there are the last.
    pub fn decode(&self, place: f32, mode: u16) -> f64 {
        let last = self.mixture.components.len() - 1;
        let component = &self.mixture.components[usize::from(mode).min(last)];
        let deviation = libm::sqrt(component.variance);
        f64::from(place.clamp(-1.0, 1.0)) * DEVIATIONS * deviation + component.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_unless_they_are_far_out() {
        let mut random = Random::new(5, 0);
        let x: Vec<f64> =
            (0..2000).map(|at| f64::from(random.normal()) + f64::from(at % 4) * 20.0).collect();
        let normaliser = Normaliser::fit(&x);
        let mut scratch = Vec::new();
        let mut n_near = 0;
        for &x in &x {
            let (place, mode) = normaliser.encode(x, &mut random, &mut scratch);
            n_near += usize::from((normaliser.decode(place, mode) - x).abs() < 1e-3);
        }
        assert!(n_near > 1980, "{n_near}");
        let stored = Normaliser::of(normaliser.modes());
        assert!((stored.decode(0.3, 1) - normaliser.decode(0.3, 1)).abs() < 1e-9);
    }
}

//! Draws from distributions, the same on every machine: `libm` instead of the platform's functions,
//! and one generator that is named.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded source of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in [0, 1), 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of probability `p` happens.
    pub(crate) fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in [low, high).
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform on a logarithmic scale in [low, high); both above 0.
    pub(crate) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.uniform(libm::log(low), libm::log(high)))
    }

    /// Uniform in low .. high; `low` if that is empty.
    pub(crate) fn below(&mut self, low: usize, high: usize) -> usize {
        // The product with a number below 1 stays below the width.
        low + (self.unit() * high.saturating_sub(low) as f64) as usize
    }

    /// Normal with mean 0 and variance 1 (Box and Muller; the second number is not used, so that
    /// every draw takes the same two from the generator).
    pub(crate) fn normal(&mut self) -> f64 {
        // 1 - unit lies in (0, 1]: the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Log-normal around `median`.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// Exponential with mean `mean`.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// Position drawn by cumulative weights, which ascend to their positive total.
    pub(crate) fn weighted(&mut self, cumulative: &[f64]) -> usize {
        let total = cumulative.last().copied().unwrap_or(0.0);
        let at = self.unit() * total;
        cumulative.partition_point(|&weight| weight <= at).min(cumulative.len().saturating_sub(1))
    }
}

/// Weights `1 / rank^exponent` of `n` ranks.
pub(crate) fn zipf(n: usize, exponent: f64) -> Vec<f64> {
    (1..=n).map(|rank| libm::pow(rank as f64, -exponent)).collect()
}

/// Running sums.
pub(crate) fn cumulative(weights: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |weight: &f64| {
        sum += weight;
        sum
    };
    weights.iter().map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut of: impl FnMut() -> f64) -> f64 {
        (0..100_000).map(|_| of()).sum::<f64>() / 100_000.0
    }

    fn check(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() < tolerance, "{found}, not {expected}");
    }

    #[test]
    fn means_are_those_of_the_distributions() {
        let mut draw = Draw::new(1);
        check(mean(|| draw.unit()), 0.5, 0.005);
        check(mean(|| draw.uniform(10.0, 20.0)), 15.0, 0.05);
        check(mean(|| draw.normal()), 0.0, 0.015);
        check(mean(|| draw.normal().powi(2)), 1.0, 0.02);
        check(mean(|| draw.exponential(3.0)), 3.0, 0.05);
        check(mean(|| libm::log(draw.log_uniform(1.0, 100.0))), libm::log(10.0), 0.02);
        check(mean(|| draw.below(3, 6) as f64), 4.0, 0.01);
        check(mean(|| f64::from(u8::from(draw.happens(0.2)))), 0.2, 0.005);
        check(mean(|| draw.weighted(&[1.0, 1.0, 4.0]) as f64), 1.5, 0.015);
    }

    #[test]
    fn positions_stay_in_range() {
        let mut draw = Draw::new(2);
        for _ in 0..1000 {
            assert!((3..6).contains(&draw.below(3, 6)));
        }
        assert_eq!(draw.below(3, 3), 3);
        assert_eq!(draw.weighted(&[]), 0);
    }
}

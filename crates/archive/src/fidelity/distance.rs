//! Distances between samples: Wasserstein, percentiles, Pearson, F1.
//!
//! Logarithms come from `libm`, so that a score stored in a file is the score another machine
//! computes. Samples are sorted by the caller where a function says so; none of them holds NaN.

/// Sorts a sample.
pub(super) fn sort(values: &mut [f64]) {
    values.sort_unstable_by(f64::total_cmp);
}

/// 1-Wasserstein distance of two empirical distributions, both sorted: the area between their
/// distribution functions. `None` if one is empty.
pub(super) fn wasserstein(a: &[f64], b: &[f64]) -> Option<f64> {
    let (first_a, first_b) = (a.first()?, b.first()?);
    let (mut i, mut j) = (0, 0);
    let mut at = first_a.min(*first_b);
    let mut area = 0.0;
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.min(*y),
            (Some(x), None) => *x,
            (None, Some(y)) => *y,
            (None, None) => break,
        };
        let height = (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs();
        area += height * (next - at);
        at = next;
        while a.get(i).is_some_and(|x| *x <= next) {
            i += 1;
        }
        while b.get(j).is_some_and(|y| *y <= next) {
            j += 1;
        }
    }
    Some(area)
}

/// The percentile `q` in [0, 1] of a sorted sample, linearly interpolated; `None` if it is empty.
pub(super) fn percentile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = position - below as f64;
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// Mean; `None` if there is nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Median; `None` if there is nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sort(&mut sorted);
    percentile(&sorted, 0.5)
}

/// Population standard deviation; 0 for fewer than two values.
pub(super) fn deviation(values: &[f64]) -> f64 {
    let Some(mean) = mean(values) else { return 0.0 };
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (squares / values.len() as f64).sqrt()
}

/// Relative error of `other` against `real`; a real value below `floor` counts as `floor`.
pub(super) fn relative(real: f64, other: f64, floor: f64) -> f64 {
    (other - real).abs() / real.abs().max(floor)
}

/// What two selections have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Matches {
    /// In both.
    pub(super) both: u64,
    /// In the other only.
    pub(super) false_positives: u64,
    /// In the real one only.
    pub(super) false_negatives: u64,
}

impl Matches {
    /// Counts one candidate.
    pub(super) fn add(&mut self, in_real: bool, in_other: bool) {
        self.both += u64::from(in_real && in_other);
        self.false_positives += u64::from(!in_real && in_other);
        self.false_negatives += u64::from(in_real && !in_other);
    }

    /// F1; `None` where neither selects anything.
    pub(super) fn f1(self) -> Option<f64> {
        let all = 2 * self.both + self.false_positives + self.false_negatives;
        (all > 0).then(|| 2.0 * self.both as f64 / all as f64)
    }
}

/// Sums from which Pearson's r follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pearson {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Pearson {
    /// Adds a pair (Welford, so that long series lose no digits).
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.n;
        self.mean_y += dy / self.n;
        self.xx += dx * (x - self.mean_x);
        self.yy += dy * (y - self.mean_y);
        self.xy += dx * (y - self.mean_y);
    }

    /// Pairs added.
    pub(super) fn n(&self) -> u64 {
        self.n as u64
    }

    /// r; 0 where one side does not vary.
    pub(super) fn r(&self) -> f64 {
        let scale = (self.xx * self.yy).sqrt();
        if scale > 1e-12 { self.xy / scale } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences below this are rounding.
    const TOLERANCE: f64 = 1e-12;

    fn check(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < TOLERANCE, "{found} is not {expected}");
    }

    #[test]
    fn the_distance_of_a_shifted_sample_is_the_shift() {
        check(wasserstein(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), 5.0);
        check(wasserstein(&[0.0, 1.0, 3.0], &[0.0, 1.0, 3.0]), 0.0);
    }

    #[test]
    fn samples_of_different_sizes_are_compared_as_distributions() {
        check(wasserstein(&[0.0, 1.0], &[0.0, 0.0, 1.0, 1.0]), 0.0);
        // Three quarters of the mass move by 1.
        check(wasserstein(&[0.0], &[0.0, 1.0, 1.0, 1.0]), 0.75);
        check(wasserstein(&[2.0, 2.0], &[0.0, 0.0, 0.0]), 2.0);
        assert_eq!(wasserstein(&[], &[1.0]), None);
    }

    #[test]
    fn the_distance_equals_the_mean_difference_of_order_statistics() {
        // Equal sizes: W1 is the mean |x_(i) - y_(i)|, the slow and obvious way.
        let mut state = 7_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64
        };
        let mut a: Vec<f64> = (0..500).map(|_| draw()).collect();
        let mut b: Vec<f64> = (0..500).map(|_| draw() * 1.3).collect();
        sort(&mut a);
        sort(&mut b);
        let slow = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).sum::<f64>() / 500.0;
        assert!((wasserstein(&a, &b).unwrap() / slow - 1.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_interpolated() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        check(percentile(&sorted, 0.5), 2.5);
        check(percentile(&sorted, 0.99), 3.97);
        check(percentile(&sorted, 1.0), 4.0);
        check(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[], 0.5), None);
        check(median(&[3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn correlation_is_zero_where_a_side_does_not_vary() {
        let mut constant = Pearson::default();
        let mut line = Pearson::default();
        for x in 0..10 {
            constant.add(f64::from(x), 5.0);
            line.add(f64::from(x), 3.0 - 2.0 * f64::from(x));
        }
        check(Some(constant.r()), 0.0);
        check(Some(line.r()), -1.0);
        assert_eq!(line.n(), 10);
    }

    #[test]
    fn f1_does_not_apply_where_nothing_is_selected() {
        let mut matches = Matches::default();
        matches.add(false, false);
        assert_eq!(matches.f1(), None);
        matches.add(true, true);
        matches.add(false, true);
        matches.add(true, false);
        check(matches.f1(), 0.5);
    }
}

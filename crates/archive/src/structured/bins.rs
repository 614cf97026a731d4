//! Bins of a number: quantiles of what was seen, on a logarithmic grid of 1/256.
//!
//! z(x) = round(256 sign(x) ln(1 + |x|)) is what the file holds, so that an edge costs a byte or two;
//! values come back through `libm`, once, and inside a bin by integers alone.

/// Points of the grid per unit of the natural logarithm.
const GRID: f64 = 256.0;
/// |z| of the largest number, 2^63.
pub(crate) const Z_MAX: i32 = 11_180;
/// Parts of a bin between which values are interpolated.
const N_PARTS: usize = 8;
/// Levels that are always edges if there are enough values: tails matter to percentiles.
const LEVELS: [f64; 12] =
    [0.0, 0.002, 0.01, 0.025, 0.05, 0.95, 0.975, 0.99, 0.995, 0.998, 0.9995, 1.0];
/// Values below which edges are levels of equal distance.
const N_MANY: usize = 200;
/// A time that one in this many has is a bin of its own: clocks that tick in milliseconds have few
/// times, and between them none.
const ATOM_SHARE: usize = 16;
/// As many must have it.
const ATOM_MIN: usize = 8;

/// Ascending edges and the values between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bins {
    /// Edges on the grid, strictly ascending, at least two unless there are no bins.
    pub(crate) grid: Vec<i32>,
    /// The edges as numbers.
    edges: Vec<i64>,
    /// For each bin the 9 borders of its parts.
    parts: Vec<[i64; N_PARTS + 1]>,
}

impl Bins {
    /// Bins for `sorted` values, about `n_bins` of them.
    pub(crate) fn fit(sorted: &[i64], n_bins: usize) -> Self {
        if sorted.is_empty() {
            return Self::default();
        }
        let n = sorted.len();
        let mut levels: Vec<f64> = if n > N_MANY {
            let n_equal = n_bins.saturating_sub(10).max(2);
            let step = |i: usize| 0.05 + 0.9 * i as f64 / (n_equal - 1) as f64;
            LEVELS.into_iter().chain((0..n_equal).map(step)).collect()
        } else {
            let n_equal = n_bins.min((n / 6).max(2) + 1).max(2);
            (0..n_equal).map(|i| i as f64 / (n_equal - 1) as f64).collect()
        };
        levels.sort_by(f64::total_cmp);
        let mut grid: Vec<i32> =
            levels.iter().map(|&level| z_of(quantile(sorted, level))).collect();
        grid.dedup();
        if let [only] = grid[..] {
            grid.push(only + 1);
        }
        Self::of_grid(grid)
    }

    /// Bins for `sorted` times, about `n_bins` and one for each that many have.
    pub(crate) fn fit_times(sorted: &[i64], n_bins: usize) -> Self {
        Self::with_atoms(Self::fit(sorted, n_bins).grid, sorted)
    }

    /// Bins of a grid, and one for each time that many of `sorted` have.
    fn with_atoms(mut grid: Vec<i32>, sorted: &[i64]) -> Self {
        let n_min = (sorted.len() / ATOM_SHARE).max(ATOM_MIN);
        for same in sorted.chunk_by(|a, b| a == b).filter(|same| same.len() >= n_min) {
            let z = floor_z(same[0]);
            // Close to 0 several points of the grid are one number.
            let above = (z + 1..=Z_MAX + 1).find(|&above| value_of(above) > same[0]);
            grid.extend([z, above.unwrap_or(z + 1)]);
        }
        grid.sort_unstable();
        grid.dedup();
        Self::of_grid(grid)
    }

    /// Bins for `sorted` durations of traces: 64 levels, and none wider than needed at the far end.
    pub(crate) fn fit_fine(sorted: &[i64]) -> Self {
        if sorted.is_empty() {
            return Self::default();
        }
        let n_levels = (sorted.len() / 6).clamp(2, 64);
        let equal = (0..=n_levels).map(|i| i as f64 / n_levels as f64);
        let mut levels: Vec<f64> =
            if sorted.len() > N_MANY { equal.chain(LEVELS).collect() } else { equal.collect() };
        levels.sort_by(f64::total_cmp);
        let mut grid: Vec<i32> =
            levels.iter().map(|&level| z_of(quantile(sorted, level))).collect();
        grid.dedup();
        if let [only] = grid[..] {
            grid.push(only + 1);
        }
        Self::with_atoms(grid, sorted)
    }

    /// Bins from edges on the grid.
    pub(crate) fn of_grid(grid: Vec<i32>) -> Self {
        let edges: Vec<i64> = grid.iter().map(|&z| value_of(z)).collect();
        let parts = edges.windows(2).map(|pair| parts(pair[0], pair[1])).collect();
        Self { grid, edges, parts }
    }

    /// How many bins there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The bin of a number; numbers outside belong to the outermost bins.
    pub(crate) fn bin_of(&self, value: i64) -> usize {
        let above = self.edges.partition_point(|&edge| edge <= value);
        above.saturating_sub(1).min(self.len().saturating_sub(1))
    }

    /// A number of a bin, `u` of 2^32 on the way from its lower to its upper edge.
    pub(crate) fn value(&self, bin: usize, u: u32) -> i64 {
        let Some(parts) = self.parts.get(bin.min(self.len().saturating_sub(1))) else { return 0 };
        let part = (u >> 29) as usize;
        let (low, high) = (parts[part], parts[part + 1]);
        let share = i128::from(u << 3);
        let width = i128::from(high) - i128::from(low);
        (i128::from(low) + ((width * share) >> 32)) as i64
    }

    /// Lower and upper edge of a bin.
    pub(crate) fn bounds(&self, bin: usize) -> (i64, i64) {
        self.parts.get(bin).map_or((0, 0), |parts| (parts[0], parts[N_PARTS]))
    }
}

/// Linear interpolation between order statistics.
fn quantile(sorted: &[i64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let low = at as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let (a, b) = (sorted[low] as f64, sorted[high] as f64);
    a + (b - a) * (at - low as f64)
}

pub(crate) fn z_of(value: f64) -> i32 {
    let magnitude = libm::round(GRID * libm::log1p(value.abs())) as i32;
    if value < 0.0 { -magnitude } else { magnitude }
}

/// The last point of the grid that is not above a number.
fn floor_z(value: i64) -> i32 {
    let z = z_of(value as f64);
    if value_of(z) > value { z - 1 } else { z }
}

pub(crate) fn value_of(z: i32) -> i64 {
    let magnitude = libm::round(libm::expm1(f64::from(z.abs()) / GRID)) as i64;
    if z < 0 { -magnitude } else { magnitude }
}

/// Geometric parts if the bin is wide, else equal ones.
fn parts(low: i64, high: i64) -> [i64; N_PARTS + 1] {
    let mut out = [low; N_PARTS + 1];
    let (a, b) = (low as f64, high as f64);
    let wide = |a: f64, b: f64| a > 0.0 && b / a > 1.5;
    for (at, border) in out.iter_mut().enumerate() {
        let share = at as f64 / N_PARTS as f64;
        *border = if wide(a, b) {
            libm::round(a * libm::exp(share * libm::log(b / a))) as i64
        } else if wide(-b, -a) {
            -libm::round(-a * libm::exp(-share * libm::log(a / b))) as i64
        } else {
            let width = i128::from(high) - i128::from(low);
            (i128::from(low) + width * at as i128 / N_PARTS as i128) as i64
        };
    }
    out[N_PARTS] = high;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_into_its_bin() {
        let mut values: Vec<i64> = (0..5000).map(|i| (i * i * 37) % 100_003 - 500).collect();
        values.sort_unstable();
        let bins = Bins::fit(&values, 28);
        assert!((20..=29).contains(&bins.len()), "{}", bins.len());
        for bin in 0..bins.len() {
            for u in [0, 1 << 20, 1 << 31, u32::MAX] {
                let value = bins.value(bin, u);
                let (low, high) = bins.bounds(bin);
                assert!(value >= low && value <= high);
                assert!(value == high || bins.bin_of(value) == bin, "{bin} {u}");
            }
        }
    }

    #[test]
    fn times_that_many_have_are_bins_of_their_own() {
        let times: Vec<i64> = [0, 1_000_000, 3_000_000, 250_000_000].repeat(50);
        let mut times = [times, (0..40).map(|i| 5_000_000 + i * 1_000_000).collect()].concat();
        times.sort_unstable();
        for bins in [Bins::fit_times(&times, 28), Bins::fit_fine(&times)] {
            for time in [0_i64, 1_000_000, 3_000_000, 250_000_000] {
                let value = bins.value(bins.bin_of(time), u32::MAX);
                assert!((value - time).abs() <= time / 200, "{time} {value}");
            }
        }
    }

    #[test]
    fn few_equal_and_extreme_values_have_bins() {
        for values in [
            &[7][..],
            &[0, 0, 0],
            &[i64::MIN + 1, 0, i64::MAX],
            &[i64::MIN, i64::MAX],
            &[-5, -5, 9],
        ] {
            let bins = Bins::fit(values, 28);
            assert!(bins.len() >= 1);
            assert!(bins.grid.iter().all(|z| z.abs() <= Z_MAX + 1));
            bins.value(bins.bin_of(values[0]), u32::MAX);
        }
        assert_eq!(Bins::fit(&[], 28).len(), 0);
        assert_eq!(Bins::default().value(3, 9), 0);
    }
}

//! Seeded streams that the tests share.

use spanwise_hst::mt19937::Mt19937;

/// Bins of a stream with two modes, a wide tail and both ends of the grid.
pub(crate) fn bins(seed: u64, n_bins: usize, n: usize) -> Vec<usize> {
    let mut rng = Mt19937::new(seed);
    let (a, b) = (rng.random(), rng.random());
    let at = |share: f64| ((share * n_bins as f64) as usize).min(n_bins - 1);
    (0..n)
        .map(|_| match (rng.random() * 20.0) as u32 {
            0 => at(rng.random()),
            1 => 0,
            2 => n_bins - 1,
            3..=6 => at((b + 0.02 * rng.random()).min(1.0)),
            _ => at((a + 0.1 * rng.random() * rng.random()).min(1.0)),
        })
        .collect()
}

/// Records of `n_features` values around one half, some beyond 0 and 1, a share of them missing.
pub(crate) fn records(
    seed: u64,
    n_features: usize,
    missing: f64,
    n: usize,
) -> Vec<Vec<Option<f64>>> {
    let mut rng = Mt19937::new(seed);
    let mut value = || {
        let (u, v, keep) = (rng.random(), rng.random(), rng.random() >= missing);
        keep.then_some(if v < 0.05 { 3.0 * u - 1.0 } else { 0.4 + 0.2 * u * v })
    };
    (0..n).map(|_| (0..n_features).map(|_| value()).collect()).collect()
}

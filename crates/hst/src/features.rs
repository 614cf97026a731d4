//! How a record hands its features to a [`Forest`](crate::Forest): by index, each maybe missing.

use crate::error::Error;

/// A record of numbered features.
///
/// Slices of `f64` have all their features, slices of `Option<f64>` may lack some. The forest
/// refuses records with NaN or infinite values: NaN compares false with everything and would be
/// routed right at each node, silently.
pub trait Features {
    /// Number of features, present or missing.
    fn n_features(&self) -> usize;
    /// The feature `idx`, `None` if it is missing or out of range.
    fn feature(&self, idx: usize) -> Option<f64>;
}

impl Features for [f64] {
    fn n_features(&self) -> usize {
        self.len()
    }

    #[inline]
    fn feature(&self, idx: usize) -> Option<f64> {
        self.get(idx).copied()
    }
}

impl Features for [Option<f64>] {
    fn n_features(&self) -> usize {
        self.len()
    }

    #[inline]
    fn feature(&self, idx: usize) -> Option<f64> {
        self.get(idx).copied().flatten()
    }
}

impl<const N: usize> Features for [f64; N] {
    fn n_features(&self) -> usize {
        N
    }

    #[inline]
    fn feature(&self, idx: usize) -> Option<f64> {
        self.get(idx).copied()
    }
}

impl<const N: usize> Features for [Option<f64>; N] {
    fn n_features(&self) -> usize {
        N
    }

    #[inline]
    fn feature(&self, idx: usize) -> Option<f64> {
        self.get(idx).copied().flatten()
    }
}

/// Refuses a record that has not `n_features` features or a value that is not finite.
pub(crate) fn check_record<F: Features + ?Sized>(x: &F, n_features: usize) -> Result<(), Error> {
    if x.n_features() != n_features {
        return Err(Error::FeatureCount { expected: n_features, found: x.n_features() });
    }
    let is_bad = |idx: &usize| x.feature(*idx).is_some_and(|value| !value.is_finite());
    match (0..n_features).find(is_bad) {
        Some(feature_idx) => Err(Error::NotFinite { feature_idx }),
        None => Ok(()),
    }
}

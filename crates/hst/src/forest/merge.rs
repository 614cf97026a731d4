//! Adding two forests with equal trees: the sum has learned what both have.

use super::Forest;
use crate::error::Error;
use crate::exact;

impl Forest {
    /// Adds the masses of `other`, reference to reference and latest to latest. Exact: any order
    /// and grouping of merges gives the same masses, those of one forest that saw all records
    /// (as long as no feature was missing: such a record is routed by the masses of its forest).
    /// Windows and scores may differ; this forest keeps its own. It does not flip; the next
    /// `learn` does if the latest masses fill the window.
    ///
    /// Fails, unchanged, with [`Error::SkeletonMismatch`] or [`Error::TooManyObservations`].
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        let draws_alike = self.draws_like(other);
        let same_trees = self.splits.is_empty()
            || other.splits.is_empty()
            || self.skeleton_id == other.skeleton_id;
        if !draws_alike || !same_trees {
            let (expected, found) = (self.skeleton_id, other.skeleton_id);
            return Err(Error::SkeletonMismatch { expected, found });
        }
        let n_max = self.config.layout().exact_total_max();
        let n_latest = exact::sum(self.n_latest, other.n_latest, n_max)?;
        let n_reference = exact::sum(self.n_reference, other.n_reference, n_max)?;
        if self.splits.is_empty() && !other.splits.is_empty() {
            let drawn: Vec<_> = (0..other.config.n_trees).flat_map(|t| other.splits(t)).collect();
            self.plant(&drawn);
        }
        add(&mut self.latest, &other.latest);
        add(&mut self.reference, &other.reference);
        (self.n_latest, self.n_reference) = (n_latest, n_reference);
        self.tabulate();
        Ok(())
    }

    /// Whether the settings that shape the trees are equal.
    fn draws_like(&self, other: &Self) -> bool {
        let (a, b) = (&self.config, &other.config);
        (a.n_trees, a.height, a.seed, a.construction)
            == (b.n_trees, b.height, b.seed, b.construction)
            && self.limits == other.limits
    }
}

fn add(to: &mut [u32], from: &[u32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

//! Adding two models of one skeleton: the sum has learned what both have.

use super::StepForest;
use crate::error::Error;
use crate::exact;

impl StepForest {
    /// Adds the counts of `other`, reference to reference and latest to latest, and recomputes the
    /// scores. Exact: any order and grouping of merges gives the same model, whose counts are
    /// those of one model that saw all streams. Masses are weighed by their own totals, so windows
    /// may differ; this model keeps its own settings. It does not flip; the next `learn` does if
    /// the latest counts fill the window.
    ///
    /// Fails, unchanged, with [`Error::SkeletonMismatch`] or [`Error::TooManyObservations`].
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        let (expected, found) = (self.skeleton.id(), other.skeleton.id());
        if expected != found {
            return Err(Error::SkeletonMismatch { expected, found });
        }
        let n_max = self.skeleton.exact_total_max();
        let n_latest = exact::sum(self.n_latest, other.n_latest, n_max)?;
        let n_reference = exact::sum(self.n_reference, other.n_reference, n_max)?;
        add(&mut self.latest, &other.latest);
        add(&mut self.reference, &other.reference);
        (self.n_latest, self.n_reference) = (n_latest, n_reference);
        self.tabulate();
        Ok(())
    }
}

fn add(to: &mut [u32], from: &[u32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

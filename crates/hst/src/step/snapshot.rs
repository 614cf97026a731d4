//! A model as bytes and back; the scores are not stored but tabulated again, to the same bits.

use std::sync::Arc;

use super::{StepConfig, StepForest};
use crate::error::Error;
use crate::exact;
use crate::skeleton::Skeleton;
use crate::snapshot::{Model, Opened, Reader, Writer, open};

impl StepForest {
    /// Appends a snapshot to `out`; about 2 bytes a bin and more for large counts. The skeleton
    /// is named by its id, not stored.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, Model::Step, self.config.score, self.skeleton.id());
        writer.u32(self.config.window);
        writer.u32(self.config.window_first);
        writer.u32(self.window);
        let n_bins = self.skeleton.n_bins();
        writer.u32(n_bins as u32);
        for &count in &self.latest[..n_bins] {
            writer.varint(count);
        }
        for bin in 0..n_bins {
            writer.varint(self.reference_count(bin));
        }
        writer.finish();
    }

    /// The model a snapshot holds, exactly: it scores and learns on like the original.
    ///
    /// `bytes` is one whole snapshot. Fails with [`Error::SkeletonMismatch`] if it was taken over
    /// another skeleton, with [`Error::SnapshotVersion`] or [`Error::SnapshotCorrupt`] if it
    /// cannot be read; allocates no more than a new model does.
    pub fn restore(bytes: &[u8], skeleton: &Arc<Skeleton>) -> Result<Self, Error> {
        let Opened { score, skeleton_id, mut body } = open(bytes, Model::Step)?;
        if skeleton_id != skeleton.id() {
            let expected = skeleton.id();
            return Err(Error::SkeletonMismatch { expected, found: skeleton_id });
        }
        let (window, window_first) = (body.u32()?, body.u32()?);
        let config = StepConfig { window, window_first, score };
        config.validate(skeleton).map_err(|_| body.corrupt("window out of range"))?;
        let window_now = body.u32()?;
        if !(window_first..=window).contains(&window_now) {
            return Err(body.corrupt("window out of range"));
        }
        if body.u32()? as usize != skeleton.n_bins() {
            return Err(body.corrupt("another number of bins"));
        }
        let mut forest = Self::new(skeleton, config)?;
        forest.window = window_now;
        let n_max = skeleton.exact_total_max();
        forest.n_latest = read_counts(&mut body, &mut forest.latest, n_max)?;
        forest.n_reference = read_counts(&mut body, &mut forest.reference, n_max)?;
        body.finish()?;
        forest.accumulate();
        Ok(forest)
    }
}

/// Fills all but the last element and returns the sum.
fn read_counts(body: &mut Reader<'_>, counts: &mut [u32], n_max: u64) -> Result<u32, Error> {
    let n_bins = counts.len() - 1;
    let mut sum = 0;
    for count in &mut counts[..n_bins] {
        *count = body.varint()?;
        sum += u64::from(*count);
    }
    exact::count(sum, n_max).map_err(|_| body.corrupt("more observations than are counted exactly"))
}

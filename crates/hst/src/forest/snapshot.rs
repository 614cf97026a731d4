//! A forest as bytes and back. Splits are stored, not drawn again, so that opening costs what the
//! bytes are long; masses are stored for leaves only, since a node's are the sums of its
//! children's.

use super::config::{Construction, ForestConfig, Limits};
use super::walk::Layout;
use super::{Forest, Split};
use crate::error::Error;
use crate::exact;
use crate::snapshot::{Model, Opened, Reader, Writer, open};

impl Forest {
    /// Appends a snapshot to `out`: about 9 bytes a split and 2 bytes a leaf.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let config = &self.config;
        let mut writer = Writer::new(out, Model::Forest, config.score, self.skeleton_id);
        writer.u32(config.n_trees as u32);
        writer.u32(config.height as u32);
        writer.u32(config.window);
        writer.u64(config.seed);
        writer.u8(match config.construction {
            Construction::Tan => 0,
            Construction::River => 1,
        });
        writer.u32(self.limits.len() as u32);
        for limits in &self.limits {
            writer.f64(limits.low);
            writer.f64(limits.high);
        }
        writer.u8(u8::from(!self.splits.is_empty()));
        for split in (0..config.n_trees).flat_map(|tree| self.splits(tree)) {
            writer.varint(split.feature_idx);
            writer.f64(split.threshold);
        }
        if !self.splits.is_empty() {
            for place in config.layout().leaves() {
                writer.varint(self.latest[place]);
                writer.varint(self.reference[place]);
            }
        }
        writer.finish();
    }

    /// The forest a snapshot holds, exactly: it scores and learns on like the original.
    ///
    /// `bytes` is one whole snapshot. Fails with [`Error::SnapshotVersion`] or
    /// [`Error::SnapshotCorrupt`]; allocates at most a small multiple of the length of `bytes`.
    pub fn restore(bytes: &[u8]) -> Result<Self, Error> {
        let Opened { score, skeleton_id, mut body } = open(bytes, Model::Forest)?;
        let config = ForestConfig {
            n_trees: body.u32()? as usize,
            height: body.u32()? as usize,
            window: body.u32()?,
            seed: body.u64()?,
            construction: match body.u8()? {
                0 => Construction::Tan,
                1 => Construction::River,
                _ => return Err(body.corrupt("unknown construction")),
            },
            score,
        };
        let limits = read_limits(&mut body)?;
        config.validate(&limits).map_err(|_| body.corrupt("settings out of range"))?;
        let mut forest = Self::untaught(config, limits);
        match (body.u8()?, config.construction) {
            (0, Construction::River) => {}
            (1, _) => forest.read_trees(&mut body)?,
            _ => return Err(body.corrupt("trees are missing")),
        }
        if forest.skeleton_id != skeleton_id {
            return Err(body.corrupt("trees do not have the id of the header"));
        }
        body.finish()?;
        Ok(forest)
    }

    fn read_trees(&mut self, body: &mut Reader<'_>) -> Result<(), Error> {
        let layout = self.config.layout();
        let n_splits = layout.n_trees * layout.n_splits();
        body.expect_at_least(n_splits * 9)?;
        let mut splits = Vec::with_capacity(n_splits);
        for _ in 0..n_splits {
            let split = Split { feature_idx: body.varint()?, threshold: body.f64()? };
            if split.feature_idx as usize >= self.limits.len() || !split.threshold.is_finite() {
                return Err(body.corrupt("split out of range"));
            }
            splits.push(split);
        }
        let n_leaves = n_splits + layout.n_trees;
        body.expect_at_least(n_leaves * 2)?;
        self.plant(&splits);
        for place in layout.leaves() {
            self.latest[place] = body.varint()?;
            self.reference[place] = body.varint()?;
        }
        self.n_latest = sum_upwards(layout, &mut self.latest, body)?;
        self.n_reference = sum_upwards(layout, &mut self.reference, body)?;
        self.tabulate();
        Ok(())
    }
}

fn read_limits(body: &mut Reader<'_>) -> Result<Vec<Limits>, Error> {
    let n_features = body.u32()? as usize;
    body.expect_at_least(n_features.saturating_mul(16))?;
    (0..n_features).map(|_| Ok(Limits { low: body.f64()?, high: body.f64()? })).collect()
}

/// Fills the masses of inner nodes from those of the leaves and returns the number of records,
/// the root's mass, which must be the same in every tree.
fn sum_upwards(layout: Layout, masses: &mut [u32], body: &Reader<'_>) -> Result<u32, Error> {
    let too_many = || body.corrupt("more observations than are counted exactly");
    let mut n_records = None;
    for tree in 0..layout.n_trees {
        let place = |node| layout.place(layout.n_nodes(), tree, node);
        for node in (0..layout.n_splits()).rev() {
            let (left, right) = (masses[place(2 * node + 1)], masses[place(2 * node + 2)]);
            masses[place(node)] = left.checked_add(right).ok_or_else(too_many)?;
        }
        let root = masses[place(0)];
        if *n_records.get_or_insert(root) != root {
            return Err(body.corrupt("trees have seen different numbers of records"));
        }
    }
    let n_records = u64::from(n_records.unwrap_or(0));
    exact::count(n_records, layout.exact_total_max()).map_err(|_| too_many())
}

//! A forest as bytes and back. Splits are stored, not drawn again, so that opening costs what the
//! bytes are long; masses are stored for leaves only, since a node's are the sums of its
//! children's.

use super::config::{Construction, ForestConfig, Limits};
use super::{Forest, Mass, Split};
use crate::error::Error;
use crate::exact;
use crate::snapshot::{Model, Opened, Reader, Writer, open};

const TOO_MANY: &str = "more observations than are counted exactly";

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
        for split in &self.splits {
            writer.varint(split.feature_idx);
            writer.f64(split.threshold);
        }
        for tree in self.masses.chunks_exact(config.n_nodes()) {
            for leaf in &tree[config.n_splits()..] {
                writer.varint(leaf.latest);
                writer.varint(leaf.reference);
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
        let mut forest = Self {
            config,
            limits,
            n_latest: 0,
            n_reference: 0,
            skeleton_id: 0,
            splits: Vec::new(),
            masses: Vec::new(),
        };
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
        let config = self.config;
        let n_splits = config.n_trees * config.n_splits();
        body.expect_at_least(n_splits * 9)?;
        let mut splits = Vec::with_capacity(n_splits);
        for _ in 0..n_splits {
            let split = Split { feature_idx: body.varint()?, threshold: body.f64()? };
            if split.feature_idx as usize >= self.limits.len() || !split.threshold.is_finite() {
                return Err(body.corrupt("split out of range"));
            }
            splits.push(split);
        }
        self.plant(splits);
        body.expect_at_least(config.n_trees * (config.n_nodes() - config.n_splits()) * 2)?;
        for (tree_idx, tree) in self.masses.chunks_exact_mut(config.n_nodes()).enumerate() {
            let root = read_masses(body, tree, config.n_splits())?;
            if tree_idx == 0 {
                (self.n_latest, self.n_reference) = (root.latest, root.reference);
            }
            if (self.n_latest, self.n_reference) != (root.latest, root.reference) {
                return Err(body.corrupt("trees have seen different numbers of records"));
            }
        }
        let n_max = u64::from(self.n_latest.max(self.n_reference));
        exact::count(n_max, config.exact_total_max()).map_err(|_| body.corrupt(TOO_MANY))?;
        Ok(())
    }
}

fn read_limits(body: &mut Reader<'_>) -> Result<Vec<Limits>, Error> {
    let n_features = body.u32()? as usize;
    body.expect_at_least(n_features.saturating_mul(16))?;
    (0..n_features).map(|_| Ok(Limits { low: body.f64()?, high: body.f64()? })).collect()
}

/// Reads the leaves of one tree, sums upwards, and returns the root.
fn read_masses(body: &mut Reader<'_>, tree: &mut [Mass], n_splits: usize) -> Result<Mass, Error> {
    for leaf in &mut tree[n_splits..] {
        *leaf = Mass { latest: body.varint()?, reference: body.varint()? };
    }
    for node in (0..n_splits).rev() {
        let (left, right) = (tree[2 * node + 1], tree[2 * node + 2]);
        let sums =
            (left.latest.checked_add(right.latest), left.reference.checked_add(right.reference));
        let (Some(latest), Some(reference)) = sums else {
            return Err(body.corrupt(TOO_MANY));
        };
        tree[node] = Mass { latest, reference };
    }
    Ok(tree[0])
}

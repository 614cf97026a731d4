//! A decision tree whose leaves are distributions over the codes of one column.

use super::features::Feature;

/// Cumulative probabilities of a leaf end here.
pub(crate) const LEAF_TOTAL: u32 = 1 << 16;

/// How a split sends a feature's value to the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// At most this.
    AtMost(u16),
    /// Between these, both included.
    Window(u16, u16),
    /// This one.
    Equal(u16),
    /// One of these, ascending.
    OneOf(Vec<u16>),
}

/// A node of a tree; the left child follows its parent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Split { feature: Feature, test: Test, right: u32 },
    Leaf(u32),
}

/// A distribution: codes ascending, each with the square root of its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The resolution of `roots`: an index of [`SCALES`].
    pub(crate) scale: u8,
    pub(crate) codes: Vec<u16>,
    pub(crate) roots: Vec<u16>,
    /// Ends of the codes' shares of [`LEAF_TOTAL`].
    pub(crate) ends: Vec<u32>,
}

/// A conditional. At least one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) steps: Vec<Step>,
    pub(crate) leaves: Vec<Leaf>,
}

/// Largest root of a weight, by the number of rows behind a leaf: a step finer than the noise of
/// those rows is bytes for nothing.
pub(crate) const SCALES: [u16; 12] = [6, 8, 11, 16, 22, 32, 45, 64, 90, 128, 181, 255];

impl Test {
    pub(crate) fn holds(&self, value: u16) -> bool {
        match self {
            Self::AtMost(limit) => value <= *limit,
            Self::Window(from, to) => (*from..=*to).contains(&value),
            Self::Equal(only) => value == *only,
            Self::OneOf(all) => all.binary_search(&value).is_ok(),
        }
    }
}

impl Leaf {
    /// A leaf of counts by code. `precision` is how many steps fit into one standard deviation.
    pub(crate) fn of_counts(counts: &[(u16, u32)], precision: f64) -> Self {
        let total: u64 = counts.iter().map(|&(_, n)| u64::from(n)).sum();
        let wanted = precision * (total as f64).sqrt();
        let scale = SCALES.iter().position(|&s| f64::from(s) >= wanted).unwrap_or(SCALES.len() - 1);
        let full = f64::from(SCALES[scale]);
        let root = |n: u32| (full * (f64::from(n) / total as f64).sqrt()).round().max(1.0) as u16;
        let codes = counts.iter().map(|count| count.0).collect();
        let roots = counts.iter().map(|count| root(count.1)).collect();
        Self::new(scale as u8, codes, roots)
    }

    pub(crate) fn new(scale: u8, codes: Vec<u16>, roots: Vec<u16>) -> Self {
        let weight = |root: u16| u64::from(root) * u64::from(root);
        let total: u64 = roots.iter().map(|&root| weight(root)).sum::<u64>().max(1);
        let mut sum = 0;
        let ends = roots.iter().map(|&root| {
            sum += weight(root);
            (sum * u64::from(LEAF_TOTAL) / total) as u32
        });
        let ends = ends.collect();
        Self { scale, codes, roots, ends }
    }

    /// The code at `u` of 2^32, and how far `u` is through the code's share, out of 2^32.
    pub(crate) fn draw_inside(&self, u: u32) -> (u16, u32) {
        let at = self.ends.partition_point(|&end| end <= u >> 16);
        let at = at.min(self.codes.len().saturating_sub(1));
        let Some(&code) = self.codes.get(at) else { return (0, u) };
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let width = u64::from(self.ends[at].saturating_sub(begin)).max(1);
        let through = u64::from(u).saturating_sub(u64::from(begin) << 16);
        (code, u32::try_from((through << 16) / width).unwrap_or(u32::MAX))
    }

    /// The code at `u` of 2^32.
    pub(crate) fn draw(&self, u: u32) -> u16 {
        let at = self.ends.partition_point(|&end| end <= u >> 16);
        self.codes.get(at).or(self.codes.last()).copied().unwrap_or(0)
    }
}

impl Leaf {
    /// The likeliest code above a limit; the limit plus one if there is none.
    pub(crate) fn likeliest_above(&self, limit: u16) -> u16 {
        let codes = self.codes.iter().zip(&self.roots).filter(|entry| *entry.0 > limit);
        codes
            .max_by_key(|entry| (*entry.1, std::cmp::Reverse(*entry.0)))
            .map_or(limit + 1, |e| *e.0)
    }
}

impl Tree {
    /// The leaf of a row whose features `value` tells.
    pub(crate) fn leaf(&self, mut value: impl FnMut(Feature) -> u16) -> usize {
        let mut at = 0;
        loop {
            match &self.steps[at] {
                Step::Leaf(leaf) => return *leaf as usize,
                Step::Split { feature, test, right } => {
                    at = if test.holds(value(*feature)) { at + 1 } else { *right as usize };
                }
            }
        }
    }
}

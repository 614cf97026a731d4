//! Fitting a tree by description length: a split must pay for itself in bits.
//!
//! One pass over the rows of a node for each feature fills a table of (value, code) counts; every
//! split of that feature is scored from the table. Values and codes are numbered densely first, so
//! small nodes cost what their rows cost and not what the alphabet would.

use super::features::Feature;
use super::tree::{Leaf, Step, Test, Tree};

const DEPTH_MAX: u32 = 12;
const ROWS_MIN: usize = 32;
const SIDE_MIN: u32 = 16;
/// Above this many cells a feature is skipped.
const CELLS_MAX: usize = 2_000_000;
const WINDOW_VALUES: std::ops::RangeInclusive<usize> = 5..=130;
const WINDOW_CODES_MAX: usize = 64;

/// What bits cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Weight of the bits of data: the dial between bytes and fidelity.
    pub(crate) beta: f64,
    /// Bits of a leaf's code with weight.
    pub(crate) code: f64,
    /// Bits of a leaf besides.
    pub(crate) leaf: f64,
    /// Bits added to every split.
    pub(crate) split: f64,
    /// Steps of a leaf's weights in one standard deviation.
    pub(crate) precision: f64,
}

/// The values of one feature, a row each.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) feature: Feature,
    pub(crate) ordinal: bool,
    pub(crate) of_row: Vec<u16>,
}

/// Scratch shared by all trees of a fit.
#[derive(Debug)]
pub(crate) struct Learner {
    costs: Costs,
    /// c log2 c.
    xl: Vec<f64>,
    /// Dense number of a value in the node at hand, valid where the stamp is current.
    dense: Vec<(u32, u32)>,
    stamp: u32,
    table: Vec<u32>,
    /// Leaf of each row of the last tree.
    pub(crate) leaf_of: Vec<u32>,
}

struct Problem<'a> {
    target: &'a [u16],
    ordinal: bool,
    features: &'a [&'a Values],
}

/// A part of the rows that becomes a subtree.
struct Task {
    rows: std::ops::Range<usize>,
    depth: u32,
    /// The step whose right child this is.
    right_of: Option<usize>,
}

struct Best {
    gain: f64,
    split: Option<(usize, Test)>,
}

/// Counts of one feature in one node, by dense numbers of value and code.
struct Table<'a> {
    /// Values by dense number.
    values: &'a [u16],
    /// `values.len()` rows of `k` counts.
    counts: &'a [u32],
    k: usize,
    total: &'a [u32],
}

/// Left and right of a split that grows.
struct Sides<'a> {
    xl: &'a [f64],
    costs: Costs,
    left: Vec<u32>,
    n_left: u32,
    left_xl: f64,
    left_codes: i32,
    right: Vec<u32>,
    n_right: u32,
    right_xl: f64,
    right_codes: i32,
}

impl Learner {
    /// A learner for at most `n_rows` rows.
    pub(crate) fn new(costs: Costs, n_rows: usize) -> Self {
        let xl = |c: usize| if c == 0 { 0.0 } else { c as f64 * libm::log2(c as f64) };
        Self {
            costs,
            xl: (0..=n_rows).map(xl).collect(),
            dense: vec![(0, 0); 1 << 16],
            stamp: 0,
            table: Vec::new(),
            leaf_of: Vec::new(),
        }
    }

    pub(crate) fn set_costs(&mut self, costs: Costs) {
        self.costs = costs;
    }

    /// The tree of `target` given `features`. `ordinal` says whether codes are ordered.
    pub(crate) fn learn(&mut self, target: &[u16], ordinal: bool, features: &[&Values]) -> Tree {
        let problem = Problem { target, ordinal, features };
        let mut rows: Vec<u32> = (0..target.len() as u32).collect();
        self.leaf_of.clear();
        self.leaf_of.resize(rows.len(), 0);
        let mut scratch = Vec::with_capacity(rows.len());
        let mut tree = Tree { steps: Vec::new(), leaves: Vec::new() };
        let mut tasks = vec![Task { rows: 0..rows.len(), depth: 0, right_of: None }];
        while let Some(task) = tasks.pop() {
            let here = tree.steps.len();
            if let Some(parent) = task.right_of
                && let Step::Split { right, .. } = &mut tree.steps[parent]
            {
                *right = here as u32;
            }
            let range = task.rows.clone();
            let (classes, codes, total) = self.classes(&problem, &rows[range.clone()]);
            let stop = codes.len() < 2 || range.len() < ROWS_MIN || task.depth >= DEPTH_MAX;
            let split = if stop {
                None
            } else {
                self.best_split(&problem, &rows[range.clone()], &classes, &total)
            };
            let Some((at, test)) = split else {
                let leaf = tree.leaves.len() as u32;
                tree.steps.push(Step::Leaf(leaf));
                rows[range].iter().for_each(|&row| self.leaf_of[row as usize] = leaf);
                let counts: Vec<(u16, u32)> = codes.into_iter().zip(total).collect();
                tree.leaves.push(Leaf::of_counts(&counts, self.costs.precision));
                continue;
            };
            let feature = &features[at];
            scratch.clear();
            let mut n_left = range.start;
            for row in range.clone() {
                let number = rows[row];
                if test.holds(feature.of_row[number as usize]) {
                    rows[n_left] = number;
                    n_left += 1;
                } else {
                    scratch.push(number);
                }
            }
            rows[n_left..range.end].copy_from_slice(&scratch);
            tree.steps.push(Step::Split { feature: feature.feature, test, right: 0 });
            let depth = task.depth + 1;
            tasks.push(Task { rows: n_left..range.end, depth, right_of: Some(here) });
            tasks.push(Task { rows: range.start..n_left, depth, right_of: None });
        }
        tree
    }

    /// The rows' codes by dense number, the codes of those numbers, and their counts.
    fn classes(&mut self, problem: &Problem<'_>, rows: &[u32]) -> (Vec<u16>, Vec<u16>, Vec<u32>) {
        let target = |row: &u32| problem.target[*row as usize];
        let codes = self.number(rows.iter().map(target));
        let mut total = vec![0_u32; codes.len()];
        let classes = rows.iter().map(|row| {
            let class = self.dense[usize::from(target(row))].1;
            total[class as usize] += 1;
            class as u16
        });
        let classes = classes.collect();
        (classes, codes, total)
    }

    /// Numbers the values present densely in ascending order.
    fn number(&mut self, values: impl Iterator<Item = u16>) -> Vec<u16> {
        self.stamp += 1;
        let mut present = Vec::new();
        for value in values {
            let entry = &mut self.dense[usize::from(value)];
            if entry.0 != self.stamp {
                *entry = (self.stamp, 0);
                present.push(value);
            }
        }
        present.sort_unstable();
        for (at, &value) in present.iter().enumerate() {
            self.dense[usize::from(value)].1 = at as u32;
        }
        present
    }

    fn best_split(
        &mut self,
        problem: &Problem<'_>,
        rows: &[u32],
        classes: &[u16],
        total: &[u32],
    ) -> Option<(usize, Test)> {
        let mut best = Best { gain: 0.0, split: None };
        let whole = Sides::new(&self.xl, self.costs, total).cost_whole();
        let k = total.len();
        for (at, feature) in problem.features.iter().enumerate() {
            let value = |row: &u32| feature.of_row[*row as usize];
            let values = self.number(rows.iter().map(value));
            if values.len() < 2 || values.len() * k > CELLS_MAX {
                continue;
            }
            self.table.clear();
            self.table.resize(values.len() * k, 0);
            for (row, &class) in rows.iter().zip(classes) {
                let dense = self.dense[usize::from(value(row))].1 as usize;
                self.table[dense * k + usize::from(class)] += 1;
            }
            let table = Table { values: &values, counts: &self.table, k, total };
            let mut sides = Sides::new(&self.xl, self.costs, total);
            let mut scan = Scan { table: &table, sides: &mut sides, whole, at, best: &mut best };
            if feature.ordinal {
                scan.thresholds();
                let windows = feature.feature.kind.has_windows();
                if windows && WINDOW_VALUES.contains(&values.len()) && k <= WINDOW_CODES_MAX {
                    scan.windows();
                }
            } else {
                scan.singles();
                if problem.ordinal || k == 2 {
                    scan.subsets();
                }
            }
        }
        best.split
    }
}

impl<'a> Sides<'a> {
    fn new(xl: &'a [f64], costs: Costs, total: &[u32]) -> Self {
        let mut sides = Sides {
            xl,
            costs,
            left: vec![0; total.len()],
            n_left: 0,
            left_xl: 0.0,
            left_codes: 0,
            right: vec![0; total.len()],
            n_right: 0,
            right_xl: 0.0,
            right_codes: 0,
        };
        sides.reset(total);
        sides
    }

    fn reset(&mut self, total: &[u32]) {
        self.left.fill(0);
        (self.n_left, self.left_xl, self.left_codes) = (0, 0.0, 0);
        self.right.copy_from_slice(total);
        self.n_right = total.iter().sum();
        self.right_xl = total.iter().map(|&n| self.xl[n as usize]).sum();
        self.right_codes = total.iter().filter(|&&n| n > 0).map(|_| 1).sum();
    }

    /// Moves the rows of one value to the left.
    fn shift(&mut self, counts: &[u32]) {
        for (class, &n) in counts.iter().enumerate() {
            if n == 0 {
                continue;
            }
            let (left, right) = (self.left[class], self.right[class]);
            self.left_xl += self.xl[(left + n) as usize] - self.xl[left as usize];
            self.right_xl += self.xl[(right - n) as usize] - self.xl[right as usize];
            self.left_codes += i32::from(left == 0);
            self.right_codes -= i32::from(right == n);
            self.left[class] = left + n;
            self.right[class] = right - n;
            self.n_left += n;
            self.n_right -= n;
        }
    }

    /// Bits of everything in one leaf, before anything was moved.
    fn cost_whole(&self) -> f64 {
        let bits = self.xl[self.n_right as usize] - self.right_xl;
        self.costs.beta * bits + self.costs.code * f64::from(self.right_codes) + self.costs.leaf
    }

    /// Bits of both sides and a split that costs `test` to describe; `None` if one is too small.
    fn cost(&self, test: f64) -> Option<f64> {
        if self.n_left < SIDE_MIN || self.n_right < SIDE_MIN {
            return None;
        }
        let left = self.xl[self.n_left as usize] - self.left_xl;
        let right = self.xl[self.n_right as usize] - self.right_xl;
        let codes = f64::from(self.left_codes + self.right_codes);
        let costs = self.costs;
        let leaves = costs.code * codes + 2.0 * costs.leaf;
        Some(costs.beta * (left + right) + leaves + costs.split + test)
    }
}

struct Scan<'s, 'a> {
    table: &'s Table<'a>,
    sides: &'s mut Sides<'a>,
    whole: f64,
    at: usize,
    best: &'s mut Best,
}

impl Scan<'_, '_> {
    fn offer(&mut self, test_bits: f64, test: impl FnOnce() -> Test) {
        if let Some(cost) = self.sides.cost(test_bits)
            && self.whole - cost > self.best.gain
        {
            self.best.gain = self.whole - cost;
            self.best.split = Some((self.at, test()));
        }
    }

    fn row(&self, value: usize) -> std::ops::Range<usize> {
        value * self.table.k..(value + 1) * self.table.k
    }

    fn thresholds(&mut self) {
        let table = self.table;
        for value in 0..table.values.len() - 1 {
            self.sides.shift(&table.counts[self.row(value)]);
            self.offer(THRESHOLD_BITS, || Test::AtMost(table.values[value]));
        }
    }

    fn windows(&mut self) {
        let table = self.table;
        for from in 0..table.values.len() {
            self.sides.reset(table.total);
            for to in from..table.values.len() {
                self.sides.shift(&table.counts[self.row(to)]);
                if to > from {
                    let test = || Test::Window(table.values[from], table.values[to]);
                    self.offer(WINDOW_BITS, test);
                }
            }
        }
    }

    fn singles(&mut self) {
        let table = self.table;
        for value in 0..table.values.len() {
            let counts = &table.counts[self.row(value)];
            let n: u32 = counts.iter().sum();
            if n < SIDE_MIN {
                continue;
            }
            self.sides.reset(table.total);
            self.sides.shift(counts);
            self.offer(SINGLE_BITS, || Test::Equal(table.values[value]));
        }
    }

    fn subsets(&mut self) {
        let table = self.table;
        let mean = |value: usize| {
            let counts = &table.counts[self.row(value)];
            let n: u32 = counts.iter().sum();
            let sum: u64 =
                counts.iter().enumerate().map(|(class, &n)| class as u64 * u64::from(n)).sum();
            sum as f64 / f64::from(n)
        };
        let mut order: Vec<(f64, usize)> =
            (0..table.values.len()).map(|value| (mean(value), value)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.sides.reset(table.total);
        let bits = SUBSET_BITS + table.values.len() as f64;
        for n in 0..order.len() - 1 {
            self.sides.shift(&table.counts[self.row(order[n].1)]);
            self.offer(bits, || {
                let mut values: Vec<u16> =
                    order[..=n].iter().map(|entry| table.values[entry.1]).collect();
                values.sort_unstable();
                Test::OneOf(values)
            });
        }
    }
}

const THRESHOLD_BITS: f64 = 18.0;
const WINDOW_BITS: f64 = 26.0;
const SINGLE_BITS: f64 = 18.0;
const SUBSET_BITS: f64 = 10.0;

//! What a leaf does not say: how a gap or tail goes with another number, inside each leaf.
//!
//! A conditional asks in bins, and every split costs bytes, so of a call site with few spans a tree
//! learns the distribution but not what it hangs on: durations of parents and children would come
//! out too independent of each other. A coupling is a key and a rank correlation, a byte or two for
//! a tree: the draws of a leaf are handed out in the order of the key, as far as that goes.

use super::codes::Codes;
use super::topology::{NONE, Topology};

/// Steps of a correlation of 1.
pub(crate) const STEPS: i32 = 16;
/// Leaves with fewer rows say nothing.
const ROWS_MIN: usize = 4;
/// Trees with fewer rows have no coupling.
const TREE_ROWS_MIN: usize = 32;

/// What a gap or tail goes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Key {
    /// Nothing.
    #[default]
    None = 0,
    /// The duration of the trace.
    Duration = 1,
    /// The parent's tail.
    ParentTail = 2,
    /// The span's own gap.
    OwnGap = 3,
    /// The tail of the previous sibling.
    SiblingTail = 4,
    /// The tail of the previous span of the node.
    SameTail = 5,
    /// The parent's gap.
    ParentGap = 6,
    /// The tail of the parent's parent.
    GrandTail = 7,
}

/// All keys by their number.
pub(crate) const KEYS: [Key; 8] = [
    Key::None,
    Key::Duration,
    Key::ParentTail,
    Key::OwnGap,
    Key::SiblingTail,
    Key::SameTail,
    Key::ParentGap,
    Key::GrandTail,
];

/// One or two keys and what each weighs, in [`STEPS`] of 1, and what chance does: their squares add
/// up to 1 where the keys have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coupling {
    pub(crate) keys: [(Key, i8); 2],
    pub(crate) chance: i8,
}

/// The numbers of a window that keys are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) gap: &'a [i64],
    pub(crate) tail: &'a [i64],
    /// Duration of each trace.
    pub(crate) duration: &'a [i64],
}

impl Numbers<'_> {
    /// The number of a key for a span; the least there is where it has none.
    pub(crate) fn of(&self, codes: &Codes, key: Key, span: usize) -> i64 {
        let trace = codes.trace[span] as usize;
        let begin = codes.offsets[trace] as usize;
        let place = || self.topology.spans(codes.label[trace]).places[span - begin];
        let at = |position: u32, numbers: &[i64]| match position {
            NONE => i64::MIN,
            position => numbers[begin + position as usize],
        };
        match key {
            Key::None => 0,
            Key::Duration => self.duration[trace],
            Key::ParentTail => at(place().parent, self.tail),
            Key::OwnGap => self.gap[span],
            Key::SiblingTail => at(place().sibling, self.tail),
            Key::SameTail => at(place().same, self.tail),
            Key::ParentGap => at(place().parent, self.gap),
            Key::GrandTail => match place().parent {
                NONE => i64::MIN,
                parent => at(
                    self.topology.spans(codes.label[trace]).places[parent as usize].parent,
                    self.tail,
                ),
            },
        }
    }
}

impl Coupling {
    pub(crate) fn is_none(self) -> bool {
        self.keys[0].0 == Key::None
    }

    /// The coupling that explains most. `leaves` and `values` have one entry for each row, and `key`
    /// yields the number of a key for a row.
    pub(crate) fn fit(
        keys: &[Key],
        leaves: &[u32],
        values: &[i64],
        key: impl Fn(Key, usize) -> i64,
    ) -> Self {
        let mut best = (0.0, Self::default());
        if leaves.len() < TREE_ROWS_MIN {
            return best.1;
        }
        let ranks = |numbers: &[i64]| ranks(leaves, numbers);
        let target = ranks(values);
        let numbers =
            |&which: &Key| (0..leaves.len()).map(|row| key(which, row)).collect::<Vec<_>>();
        let columns: Vec<Vec<f32>> = keys.iter().map(|which| ranks(&numbers(which))).collect();
        let r: Vec<f64> = columns.iter().map(|column| correlation(column, &target)).collect();
        let steps = |weight: f64| {
            let steps = libm::round(weight * f64::from(STEPS)) as i32;
            steps.clamp(-2 * STEPS, 2 * STEPS) as i8
        };
        for a in 0..keys.len() {
            let mut offer = |explained: f64, pair: [(Key, i8); 2]| {
                if explained > best.0 && pair[0].1 != 0 {
                    let chance = steps(libm::sqrt((1.0 - explained).max(0.0)));
                    best = (explained, Self { keys: pair, chance });
                }
            };
            offer(r[a] * r[a], [(keys[a], steps(r[a])), (Key::None, 0)]);
            for b in a + 1..keys.len() {
                let between = correlation(&columns[a], &columns[b]);
                let rest = 1.0 - between * between;
                if rest < 0.1 {
                    continue;
                }
                let (x, y) = ((r[a] - r[b] * between) / rest, (r[b] - r[a] * between) / rest);
                let explained = x * r[a] + y * r[b];
                if steps(y) != 0 && explained > best_alone(r[a], r[b]) + PAIR_GAIN {
                    offer(explained, [(keys[a], steps(x)), (keys[b], steps(y))]);
                }
            }
        }
        best.1
    }
}

fn best_alone(a: f64, b: f64) -> f64 {
    (a * a).max(b * b)
}

/// What a second key must explain besides.
const PAIR_GAIN: f64 = 0.02;

/// Ranks of numbers inside each leaf from -1/2 to 1/2; equal numbers share theirs, and leaves with
/// few rows have 0.
fn ranks(leaves: &[u32], numbers: &[i64]) -> Vec<f32> {
    let mut order: Vec<u32> = (0..leaves.len() as u32).collect();
    order.sort_unstable_by_key(|&row| (leaves[row as usize], numbers[row as usize], row));
    let mut ranks = vec![0.0; leaves.len()];
    for rows in order.chunk_by(|a, b| leaves[*a as usize] == leaves[*b as usize]) {
        if rows.len() < ROWS_MIN {
            continue;
        }
        let n = rows.len() as f64;
        let number = |at: usize| numbers[rows[at] as usize];
        share_ranks(
            rows.len(),
            |i, j| number(i) == number(j),
            |i, rank| {
                ranks[rows[i] as usize] = (rank / n - 0.5) as f32;
            },
        );
    }
    ranks
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (f64::from(x), f64::from(y));
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx > 0.0 && yy > 0.0 { xy / libm::sqrt(xx * yy) } else { 0.0 }
}

/// Calls `set` with the rank, from a half on, of each of `n` things in order.
fn share_ranks(n: usize, same: impl Fn(usize, usize) -> bool, mut set: impl FnMut(usize, f64)) {
    let mut from = 0;
    while from < n {
        let mut to = from + 1;
        while to < n && same(from, to) {
            to += 1;
        }
        let rank = (from + to) as f64 / 2.0;
        (from..to).for_each(|at| set(at, rank));
        from = to;
    }
}

//! Topology, order in time, and attributes that go together.

use rustc_hash::{FxHashMap, FxHashSet};

use super::distance::{mean, relative};
use super::queries::fold;
use super::view::{NONE, View};
use super::{Metric, PAIR_VALUES, Sides};

/// Real spans a call site needs for its attributes to be judged.
const NODE_SPANS_MIN: usize = 500;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Structure {
    error_trace_rel: Option<f64>,
    attr_tv: Option<f64>,
    topology_recall: Option<f64>,
    invalid: Option<f64>,
    child_before_parent: Option<f64>,
    outlive: Option<f64>,
}

impl Structure {
    /// A figure, if it is found here and applies.
    pub(super) const fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::ErrorTraceRel => self.error_trace_rel,
            Metric::AttrTv => self.attr_tv,
            Metric::TopologyRecall => self.topology_recall,
            Metric::Invalid => self.invalid,
            Metric::ChildBeforeParent => self.child_before_parent,
            Metric::Outlive => self.outlive,
            _ => None,
        }
    }
}

/// Measures all of it.
pub(super) fn measure(sides: &Sides<'_>) -> Structure {
    let (real, other) = sides.both(shapes);
    let share = |of: &FxHashSet<u64>, within: &FxHashSet<u64>| {
        let n = of.iter().filter(|shape| within.contains(*shape)).count();
        (!of.is_empty()).then(|| n as f64 / of.len() as f64)
    };
    let (real_order, other_order) = sides.both(order);
    let apart =
        real_order.outlive.zip(other_order.outlive).map(|(real, other)| (real - other).abs());
    Structure {
        error_trace_rel: error_traces(sides),
        attr_tv: attribute_pairs(sides),
        topology_recall: share(&real, &other),
        invalid: share(&other, &real).map(|valid| 1.0 - valid),
        child_before_parent: other_order.before_parent,
        outlive: apart,
    }
}

/// Relative error of the share of traces with an error; `None` if no real trace has one.
fn error_traces(sides: &Sides<'_>) -> Option<f64> {
    let share = |view: &View| {
        let n = view.traces().filter(|trace| trace.clone().any(|span| view.is_error[span])).count();
        n as f64 / view.n_traces().max(1) as f64
    };
    let (real, other) = sides.both(share);
    (real > 0.0).then(|| relative(real, other, f64::MIN_POSITIVE))
}

/// Fingerprints of the sequences (position of the parent, call site).
fn shapes(view: &View) -> FxHashSet<u64> {
    let shape = |trace: std::ops::Range<usize>| {
        let begin = trace.start as u32;
        trace.fold(0, |print, span| {
            let parent = view.parent[span];
            let parent = if parent == NONE { NONE } else { parent - begin };
            fold(print, u64::from(parent) << 32 | u64::from(view.node[span]))
        })
    };
    view.traces().map(shape).collect()
}

/// Shares of child spans.
struct Order {
    before_parent: Option<f64>,
    outlive: Option<f64>,
}

fn order(view: &View) -> Order {
    let (mut n, mut before, mut outlive) = (0_u64, 0_u64, 0_u64);
    for span in 0..view.n_spans() {
        let parent = view.parent[span] as usize;
        if parent < view.n_spans() {
            n += 1;
            before += u64::from(view.start_us[span] < view.start_us[parent]);
            outlive += u64::from(view.end_us[span] > view.end_us[parent]);
        }
    }
    let share = |count: u64| (n > 0).then(|| count as f64 / n as f64);
    Order { before_parent: share(before), outlive: share(outlive) }
}

/// Mean total variation distance of the joint distribution of two attributes of a call site, over
/// all pairs of columns that most of its real spans have and that take few values.
fn attribute_pairs(sides: &Sides<'_>) -> Option<f64> {
    let (real, other) = sides.both(|view| spans_by_node(sides, view));
    let mut distances = Vec::new();
    for (real_spans, other_spans) in real.iter().zip(&other) {
        if real_spans.len() < NODE_SPANS_MIN {
            continue;
        }
        let keys = common_keys(sides.real, real_spans);
        let real_table = table(sides.real, real_spans, &keys);
        let other_table = table(sides.other, other_spans, &keys);
        for first in 0..keys.len() {
            for second in 0..first {
                distances.push(total_variation(&real_table, &other_table, first, second));
            }
        }
    }
    mean(&distances)
}

fn spans_by_node(sides: &Sides<'_>, view: &View) -> Vec<Vec<usize>> {
    let mut by_node = vec![Vec::new(); sides.words.n_nodes()];
    for span in 0..view.n_spans() {
        by_node[view.node[span] as usize].push(span);
    }
    by_node
}

/// Keys on more than half of the spans, with few values; of columns that say the same, the first.
fn common_keys(view: &View, spans: &[usize]) -> Vec<u32> {
    #[derive(Default)]
    struct Column {
        n: usize,
        values: FxHashMap<u32, u32>,
        print: u64,
    }
    let mut columns: FxHashMap<u32, Column> = FxHashMap::default();
    let mut order = Vec::new();
    for span in spans {
        for (key, value) in view.columns(*span) {
            let column = columns.entry(key).or_insert_with(|| {
                order.push(key);
                Column::default()
            });
            column.n += 1;
            let next = column.values.len() as u32;
            let code = *column.values.entry(value).or_insert(next);
            column.print = fold(column.print, (*span as u64) << 32 | u64::from(code));
        }
    }
    let mut prints = FxHashSet::default();
    order.retain(|key| {
        let column = &columns[key];
        2 * column.n > spans.len()
            && PAIR_VALUES.contains(&column.values.len())
            && prints.insert(column.print)
    });
    order
}

/// Values of `keys` for each span, row by row; [`NONE`] where a span has no such attribute.
struct Table {
    values: Vec<u32>,
    n_columns: usize,
}

fn table(view: &View, spans: &[usize], keys: &[u32]) -> Table {
    let at: FxHashMap<u32, usize> = keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    let mut values = vec![NONE; spans.len() * keys.len()];
    for (row, span) in spans.iter().enumerate() {
        for (key, value) in view.columns(*span) {
            if let Some(column) = at.get(&key) {
                values[row * keys.len() + column] = value;
            }
        }
    }
    Table { values, n_columns: keys.len() }
}

/// Half the sum of the absolute differences of two joint distributions; 1 if one side has no span.
fn total_variation(real: &Table, other: &Table, first: usize, second: usize) -> f64 {
    if other.values.is_empty() {
        return 1.0;
    }
    let mut joint: FxHashMap<(u32, u32), [u64; 2]> = FxHashMap::default();
    for (side, table) in [real, other].into_iter().enumerate() {
        for row in table.values.chunks_exact(table.n_columns) {
            joint.entry((row[first], row[second])).or_default()[side] += 1;
        }
    }
    let rows = |table: &Table| (table.values.len() / table.n_columns) as f64;
    let (n_real, n_other) = (rows(real), rows(other));
    let apart = |[a, b]: [u64; 2]| (a as f64 / n_real - b as f64 / n_other).abs();
    // Summed in a fixed order: the score is stored, and recomputed elsewhere to the bit.
    let mut differences: Vec<f64> = joint.into_values().map(apart).collect();
    super::distance::sort(&mut differences);
    0.5 * differences.iter().sum::<f64>()
}

//! The trees of a model: which features each target is offered, and the fits.

use super::Options;
use super::codes::Codes;
use super::coupling::{Coupling, KEYS, Key, Numbers};
use super::features::{Feature, Kind};
use super::learn::{Costs, Learner, Values};
use super::model::{Conditionals, Model};
use super::topology::NONE;
use super::tree::Tree;

/// Columns with more codes are no features.
const FEATURE_CODES_MAX: usize = 64;
/// Columns of the parent offered at most.
const PARENT_COLUMNS_MAX: usize = 10;

const STRUCTURE: [Kind; 13] = [
    Kind::Bucket,
    Kind::Coarse,
    Kind::Entry,
    Kind::Shape,
    Kind::ParentNode,
    Kind::Slot,
    Kind::Production,
    Kind::SiblingErrors,
    Kind::Error,
    Kind::ChildError,
    Kind::TraceError,
    Kind::ParentError,
    Kind::RootError,
];
const TIMING: [Kind; 8] = [
    Kind::Duration,
    Kind::ParentTail,
    Kind::ParentGap,
    Kind::SameTail,
    Kind::SameGap,
    Kind::SiblingTail,
    Kind::SiblingGap,
    Kind::OwnGap,
];

/// A learner and what bits cost for each kind of target.
#[derive(Debug)]
pub(crate) struct Costing {
    learner: Learner,
    costs: Costs,
    time_weight: f64,
    duration_weight: f64,
}

impl Costing {
    pub(crate) fn new(options: &Options, n_rows: usize) -> Self {
        let costs = Costs {
            beta: options.beta,
            code: options.code_bits,
            leaf: 8.0,
            split: 0.0,
            precision: options.precision,
        };
        Self {
            learner: Learner::new(costs, n_rows),
            costs,
            time_weight: options.time_weight,
            duration_weight: options.duration_weight,
        }
    }

    fn learn(&mut self, weight: f64, target: &[u16], ordinal: bool, features: &[&Values]) -> Tree {
        self.learner.set_costs(Costs { beta: self.costs.beta * weight, ..self.costs });
        self.learner.learn(target, ordinal, features)
    }
}

/// P(shape | bucket) of the traces that are drawn.
pub(crate) fn fit_shape(costing: &mut Costing, model: &Model, codes: &Codes) -> Option<Tree> {
    let is_drawn =
        |trace: &usize| model.drawn.get(codes.label[*trace] as usize).is_some_and(|&n| n > 0);
    let rows: Vec<usize> = (0..codes.n_traces()).filter(is_drawn).collect();
    let target: Vec<u16> = rows.iter().map(|&trace| codes.label[trace] as u16).collect();
    let features = trace_features(&[Kind::Bucket], model, codes, &rows);
    let features: Vec<&Values> = features.iter().collect();
    (!rows.is_empty()).then(|| costing.learn(1.0, &target, false, &features))
}

/// P(duration | bucket, entry, shape, error) of all traces.
pub(crate) fn fit_duration(costing: &mut Costing, model: &Model, codes: &Codes) -> Option<Tree> {
    let rows: Vec<usize> = (0..codes.n_traces()).collect();
    let kinds = [Kind::Bucket, Kind::Coarse, Kind::Entry, Kind::Shape, Kind::TraceError];
    let features = trace_features(&kinds, model, codes, &rows);
    let features: Vec<&Values> = features.iter().collect();
    let weight = costing.duration_weight;
    (!rows.is_empty()).then(|| costing.learn(weight, &codes.duration, true, &features))
}

fn trace_features(kinds: &[Kind], model: &Model, codes: &Codes, rows: &[usize]) -> Vec<Values> {
    let root = |trace: &usize| codes.offsets[*trace];
    let spans: Vec<u32> = rows.iter().map(root).collect();
    kinds.iter().map(|&kind| values(model, codes, &spans, Feature::of(kind))).collect()
}

fn values(model: &Model, codes: &Codes, spans: &[u32], feature: Feature) -> Values {
    let ordinal = match feature.kind {
        kind if kind.has_column() => feature
            .column
            .checked_sub(1)
            .is_some_and(|key| model.keys[usize::from(key)].domain.is_ordinal()),
        kind => kind.is_ordinal(),
    };
    let value = |&span: &u32| codes.feature(&model.topology, &model.layout, span as usize, feature);
    Values { feature, ordinal, of_row: spans.iter().map(value).collect() }
}

/// The conditionals of all nodes.
pub(crate) fn fit_conditionals(
    costing: &mut Costing,
    model: &Model,
    codes: &Codes,
    targets: &[u16],
    numbers: &Numbers<'_>,
) -> Vec<Conditionals> {
    let mut spans_of = vec![Vec::new(); model.sites.len()];
    for (span, &node) in codes.node.iter().enumerate() {
        spans_of[node as usize].push(span as u32);
    }
    let nodes = spans_of.iter().enumerate();
    nodes
        .map(|(node, spans)| fit_node(costing, model, codes, targets, numbers, (node, spans)))
        .collect()
}

fn fit_node(
    costing: &mut Costing,
    model: &Model,
    codes: &Codes,
    targets: &[u16],
    numbers: &Numbers<'_>,
    (node, spans): (usize, &[u32]),
) -> Conditionals {
    let all = |features: Vec<Feature>| -> Vec<Values> {
        features
            .into_iter()
            .map(|feature| values(model, codes, spans, feature))
            .filter(|values| values.of_row.iter().any(|value| *value != values.of_row[0]))
            .collect()
    };
    let structure = all(STRUCTURE.map(Feature::of).to_vec());
    let around = all(columns_around(model, codes, spans));
    let keys = &model.layout.keys[node];
    let own_columns = std::iter::once(0).chain(keys.iter().map(|key| key + 1));
    let mut own: Vec<Values> = Vec::new();
    let mut columns = Vec::new();
    for (slot, column) in own_columns.enumerate() {
        let before = all(vec![Feature { kind: Kind::Before, column }]);
        let features: Vec<&Values> =
            structure.iter().chain(&around).chain(&own).chain(&before).collect();
        let target = |&span: &u32| targets[codes.base[span as usize] as usize + slot];
        let target: Vec<u16> = spans.iter().map(target).collect();
        let ordinal = column > 0 && model.keys[usize::from(column) - 1].domain.is_ordinal();
        columns.push(costing.learn(1.0, &target, ordinal, &features));
        if is_feature(model, column) {
            own.extend(all(vec![Feature { kind: Kind::Own, column }]));
        }
    }
    let timing = all(TIMING.map(Feature::of).to_vec());
    let times: Vec<&Values> = structure.iter().chain(&around).chain(&own).chain(&timing).collect();
    let is_own_gap = |values: &&&Values| values.feature.kind != Kind::OwnGap;
    let for_gap: Vec<&Values> = times.iter().filter(is_own_gap).copied().collect();
    // Roots have no gap; a node that is sometimes a root is fitted on the other spans.
    let gap: Vec<u16> = spans.iter().map(|&span| codes.gap[span as usize]).collect();
    let has_gap = gap.iter().any(|&gap| gap > 0);
    let weight = costing.time_weight;
    let couple = |costing: &Costing, keys: &[Key], values: &[i64]| {
        let values: Vec<i64> = spans.iter().map(|&span| values[span as usize]).collect();
        let number = |key, row: usize| numbers.of(codes, key, spans[row] as usize);
        Coupling::fit(keys, &costing.learner.leaf_of, &values, number)
    };
    let gap = has_gap.then(|| costing.learn(weight, &gap, true, &for_gap));
    let keys = [
        Key::Duration,
        Key::ParentTail,
        Key::SiblingTail,
        Key::SameTail,
        Key::ParentGap,
        Key::GrandTail,
    ];
    let gap_coupling =
        if has_gap { couple(costing, &keys, numbers.gap) } else { Coupling::default() };
    let tail: Vec<u16> = spans.iter().map(|&span| codes.tail[span as usize]).collect();
    let tail = costing.learn(weight, &tail, true, &times);
    let tail_coupling = couple(costing, &KEYS[1..], numbers.tail);
    Conditionals { columns, gap, tail, gap_coupling, tail_coupling }
}

fn is_feature(model: &Model, column: u16) -> bool {
    match column.checked_sub(1) {
        None => true,
        Some(key) => model.keys[usize::from(key)].domain.n_codes() <= FEATURE_CODES_MAX,
    }
}

/// Columns of the parent, the root and the second span that most of them have.
fn columns_around(model: &Model, codes: &Codes, spans: &[u32]) -> Vec<Feature> {
    let n_columns = model.keys.len() as u16 + 1;
    let mut counts: Vec<[usize; 3]> = vec![[0; 3]; usize::from(n_columns)];
    let mut n_around = std::collections::BTreeMap::new();
    for &span in spans {
        let trace = codes.trace[span as usize] as usize;
        let begin = codes.offsets[trace] as usize;
        let position = span as usize - begin;
        let place = model.topology.spans(codes.label[trace]).places[position];
        let node_at = |position: u32| codes.node[begin + position as usize];
        let parent = (place.parent != NONE).then(|| node_at(place.parent));
        let root = (position > 0).then(|| node_at(0));
        let second = (position > 1).then(|| node_at(1));
        *n_around.entry([parent, root, second]).or_insert(0_usize) += 1;
    }
    let mut n_any = [0; 3];
    for (nodes, n) in n_around {
        for (which, node) in nodes.into_iter().enumerate() {
            let Some(node) = node else { continue };
            n_any[which] += n;
            counts[0][which] += n;
            for &key in &model.layout.keys[node as usize] {
                counts[usize::from(key) + 1][which] += n;
            }
        }
    }
    let often = |which: usize, percent: usize| {
        (0..n_columns)
            .filter(move |_| n_any[which] > 0)
            .filter(|&column| {
                let n = counts[usize::from(column)][which];
                n * 100 > n_any[which] * percent && is_feature(model, column)
            })
            .collect::<Vec<u16>>()
    };
    let of_root = often(1, 50);
    let mut features: Vec<Feature> = often(0, 30)
        .into_iter()
        .take(PARENT_COLUMNS_MAX)
        .map(|column| Feature { kind: Kind::Parent, column })
        .collect();
    features.extend(of_root.iter().map(|&column| Feature { kind: Kind::Root, column }));
    let second = often(2, 50).into_iter().filter(|column| !of_root.contains(column));
    features.extend(second.map(|column| Feature { kind: Kind::Second, column }));
    features
}

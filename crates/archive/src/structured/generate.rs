//! From a model to a window in codes and times.
//!
//! Everything is drawn for the whole window at once, group by group, so that decks can be even:
//! which traces there are, then column after column, then the times. See [`super::deck`].

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rustc_hash::FxHashMap;

use super::codes::Codes;
use super::coupling::{Coupling, Key};
use super::deck::{Deck, Scratch, shuffle, stream};
use super::features::Feature;
use super::model::{COPY, Model, TARGET};
use super::pins::Pins;
use super::topology::{NONE, Shape};
use super::tree::Tree;

/// What random streams are for.
pub(crate) mod purpose {
    pub(crate) const SHAPE: u32 = 1;
    pub(crate) const START: u32 = 2;
    pub(crate) const DURATION: u32 = 3;
    pub(crate) const COLUMN: u32 = 4;
    pub(crate) const GAP: u32 = 5;
    pub(crate) const TAIL: u32 = 6;
    pub(crate) const REPAIR: u32 = 8;
    pub(crate) const PICK: u32 = 9;
    pub(crate) const TARGET: u32 = 10;
}

/// A generated window, spans in preorder trace after trace.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) codes: Codes,
    /// Whether a slot's value is that of the slot before.
    pub(crate) copied: Vec<bool>,
    /// What picks a slot's value among those of its code; the same for copies.
    pub(crate) picks: Vec<u32>,
    /// What slots of numeric keys hold, where codes are no bins; empty where they are.
    pub(crate) numbers: Vec<i64>,
    pub(crate) start: Vec<u64>,
    pub(crate) end: Vec<u64>,
}

/// Spans by position and node: the waves in which things are drawn.
pub(crate) struct Groups {
    /// (Node, spans), by position and node.
    pub(crate) all: Vec<(u32, Vec<u32>)>,
}

/// Draws of a tree for many spans, with their scratch.
#[derive(Debug, Default)]
pub(crate) struct Draws {
    scratch: Scratch,
    leaves: Vec<u32>,
    /// What was drawn.
    pub(crate) codes: Vec<u32>,
    /// How far through the code's share, out of 2^32; of times alone.
    pub(crate) inside: Vec<u32>,
    numbers: [Vec<i64>; 2],
}

/// Generates a window; with pins, shape and duration of each trace are given.
pub(crate) fn generate(model: &Model, pins: Option<&Pins>, seed: u64) -> Generated {
    let traces = match pins {
        None => traces(model, seed),
        Some(pins) => pins.iter().map(|&(bucket, label, _)| (bucket, label)).collect(),
    };
    let codes =
        Codes::new(&traces, &model.topology, &model.layout, &model.service_of(), model.n_buckets());
    let n_slots = codes.slots.len();
    let picks = vec![0; n_slots];
    let copied = vec![false; n_slots];
    let mut generated = Generated { codes, copied, picks, ..Generated::default() };
    let groups = Groups::of(&generated.codes);
    let mut draws = Draws::default();
    match pins {
        None => durations(model, seed, &mut generated.codes, &mut draws),
        Some(pins) => generated.codes.duration = pins.iter().map(|pin| pin.2).collect(),
    }
    columns(model, seed, &groups, &mut generated, &mut draws);
    super::timing::times(model, seed, &groups, &mut generated, &mut draws);
    generated
}

/// Bucket and label of each trace, ascending.
fn traces(model: &Model, seed: u64) -> Vec<(u16, u32)> {
    let mut left = model.per_bucket.clone();
    for &(_, bucket) in &model.pairs {
        let left = &mut left[usize::from(bucket)];
        *left = left.saturating_sub(1);
    }
    let mut traces: Vec<(u16, u32)> = Vec::new();
    if let Some(tree) = &model.shape {
        let mut deck = Deck::new(stream(seed, purpose::SHAPE, 0, 0), tree.leaves.len());
        let (mut scratch, mut draws) = (Scratch::default(), Vec::new());
        for (bucket, &n) in left.iter().enumerate() {
            let leaf = tree.leaf(|_| bucket as u16);
            deck.draw(&vec![leaf as u32; n as usize], &mut scratch, &mut draws);
            let shape = |&u: &u32| (bucket as u16, u32::from(tree.leaves[leaf].draw(u)));
            traces.extend(draws.iter().map(shape));
        }
        repair(model, seed, &mut traces);
    }
    traces.extend(model.pairs.iter().map(|&(label, bucket)| (bucket, label)));
    traces.sort_unstable();
    traces
}

/// Makes the counts of shapes exact: surplus traces, picked at random, take the shapes that lack.
fn repair(model: &Model, seed: u64, traces: &mut [(u16, u32)]) {
    let mut rng = stream(seed, purpose::REPAIR, 0, 0);
    let mut of_shape: Vec<Vec<u32>> = vec![Vec::new(); model.drawn.len()];
    for (at, &(_, shape)) in traces.iter().enumerate() {
        of_shape[shape as usize].push(at as u32);
    }
    let (mut surplus, mut lacking) = (Vec::new(), Vec::new());
    for (shape, traces) in of_shape.iter_mut().enumerate() {
        let wanted = model.drawn[shape] as usize;
        if traces.len() > wanted {
            shuffle(&mut rng, traces);
            surplus.extend_from_slice(&traces[wanted..]);
        }
        lacking.extend(std::iter::repeat_n(shape as u32, wanted.saturating_sub(traces.len())));
    }
    shuffle(&mut rng, &mut lacking);
    for (trace, shape) in surplus.into_iter().zip(lacking) {
        traces[trace as usize].1 = shape;
    }
}

impl Groups {
    fn of(codes: &Codes) -> Self {
        let mut ids: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        let mut keys: Vec<(u32, u32)> = Vec::new();
        let mut of_span = Vec::with_capacity(codes.n_spans());
        for trace in 0..codes.n_traces() {
            let begin = codes.offsets[trace];
            for span in begin..codes.offsets[trace + 1] {
                let key = (span - begin, codes.node[span as usize]);
                of_span.push(*ids.entry(key).or_insert_with(|| {
                    keys.push(key);
                    keys.len() as u32 - 1
                }));
            }
        }
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by_key(|&at| keys[at as usize]);
        let mut rank = vec![0; keys.len()];
        for (at, &key) in order.iter().enumerate() {
            rank[key as usize] = at;
        }
        let node = |&key: &u32| (keys[key as usize].1, Vec::new());
        let mut all: Vec<(u32, Vec<u32>)> = order.iter().map(node).collect();
        for (span, key) in of_span.into_iter().enumerate() {
            all[rank[key as usize]].1.push(span as u32);
        }
        Self { all }
    }
}

impl Draws {
    /// One draw of `tree` for each span, and where in the code's share it fell, with a coupling.
    pub(crate) fn coupled(
        &mut self,
        (deck, tree, coupling): (&mut Deck, &Tree, Coupling),
        spans: &[u32],
        feature: impl Fn(u32, Feature) -> u16,
        number: impl Fn(Key, u32) -> i64,
    ) {
        self.leaves.clear();
        self.leaves
            .extend(spans.iter().map(|&span| tree.leaf(|asked| feature(span, asked)) as u32));
        if coupling.is_none() {
            deck.draw(&self.leaves, &mut self.scratch, &mut self.codes);
        } else {
            for (numbers, (key, _)) in self.numbers.iter_mut().zip(coupling.keys) {
                numbers.clear();
                numbers.extend(spans.iter().map(|&span| number(key, span)));
            }
            let [a, b] = &self.numbers;
            let coupled = (coupling, [&a[..], &b[..]]);
            deck.draw_coupled(&self.leaves, coupled, &mut self.scratch, &mut self.codes);
        }
        self.inside.clear();
        for (draw, &leaf) in self.codes.iter_mut().zip(&self.leaves) {
            let (code, inside) = tree.leaves[leaf as usize].draw_inside(*draw);
            *draw = u32::from(code);
            self.inside.push(inside);
        }
    }

    /// One draw of `tree` for each span: calls `set` with the span and the code drawn.
    pub(crate) fn of(
        &mut self,
        deck: &mut Deck,
        tree: &Tree,
        spans: &[u32],
        feature: impl Fn(u32, Feature) -> u16,
    ) {
        self.leaves.clear();
        self.leaves
            .extend(spans.iter().map(|&span| tree.leaf(|asked| feature(span, asked)) as u32));
        deck.draw(&self.leaves, &mut self.scratch, &mut self.codes);
        for (draw, &leaf) in self.codes.iter_mut().zip(&self.leaves) {
            *draw = u32::from(tree.leaves[leaf as usize].draw(*draw));
        }
    }
}

fn durations(model: &Model, seed: u64, codes: &mut Codes, draws: &mut Draws) {
    let Some(tree) = &model.duration else { return };
    let mut deck = Deck::new(stream(seed, purpose::DURATION, 0, 0), tree.leaves.len());
    let roots = &codes.offsets[..codes.n_traces()];
    draws.of(&mut deck, tree, roots, |span, asked| {
        codes.feature(&model.topology, &model.layout, span as usize, asked)
    });
    for (trace, &code) in draws.codes.iter().enumerate() {
        codes.duration[trace] = code as u16;
    }
}

fn columns(
    model: &Model,
    seed: u64,
    groups: &Groups,
    generated: &mut Generated,
    draws: &mut Draws,
) {
    let deck = |node: usize, column: usize, tree: &Tree| {
        let (node, column) = (node as u32, column as u32);
        let deck = Deck::new(stream(seed, purpose::COLUMN, node, column), tree.leaves.len());
        (deck, stream(seed, purpose::PICK, node, column))
    };
    let mut decks: Vec<Vec<(Deck, ChaCha8Rng)>> = model
        .nodes
        .iter()
        .enumerate()
        .map(|(node, conditionals)| {
            let trees = conditionals.columns.iter().enumerate();
            trees.map(|(column, tree)| deck(node, column, tree)).collect()
        })
        .collect();
    for (node, spans) in &groups.all {
        let conditionals = &model.nodes[*node as usize];
        for (slot, tree) in conditionals.columns.iter().enumerate() {
            let codes = &generated.codes;
            let (deck, picks) = &mut decks[*node as usize][slot];
            draws.of(deck, tree, spans, |span, asked| {
                codes.feature(&model.topology, &model.layout, span as usize, asked)
            });
            for (at, &span) in spans.iter().enumerate() {
                let slot = generated.codes.base[span as usize] as usize + slot;
                let leaf = &tree.leaves[draws.leaves[at] as usize];
                let before = generated.codes.before(slot);
                let (code, copied) = match draws.codes[at] as u16 {
                    COPY if before > 0 => (before, true),
                    // Nothing to copy: what the leaf says most, but for copies.
                    COPY => (leaf.likeliest_above(TARGET).saturating_sub(TARGET), false),
                    target => (target.saturating_sub(TARGET), false),
                };
                generated.codes.slots[slot] = code;
                generated.copied[slot] = copied;
                let pick = picks.next_u32();
                let from = generated.codes.before[slot] as usize;
                generated.picks[slot] = if copied { generated.picks[from] } else { pick };
            }
        }
    }
}

/// Makes siblings start one after the other, in the order of their shape: rounding may have joined
/// two, and one that waits for its parent's end may stand before one that does not. The earlier one
/// moves with all below it, so durations stay; only where it would start before its parent, the
/// later ones start some nanoseconds later.
pub(crate) fn order_siblings(shape: &Shape, start: &mut [i64], end: &mut [i64]) {
    for at in (1..shape.spans.len()).rev() {
        let place = shape.places[at];
        if place.sibling == NONE {
            continue;
        }
        // In preorder all between two siblings stand below the first.
        let sibling = place.sibling as usize;
        let latest = start[at].saturating_sub(1).max(start[place.parent as usize]);
        let early = start[sibling].saturating_sub(latest);
        if early > 0 {
            let below = start[sibling..at].iter_mut().chain(&mut end[sibling..at]);
            below.for_each(|time| *time = time.saturating_sub(early));
        }
    }
    for at in 1..shape.spans.len() {
        let place = shape.places[at];
        let earliest = match place.sibling {
            NONE => start[place.parent as usize],
            sibling => start[sibling as usize].saturating_add(1),
        };
        start[at] = start[at].max(earliest);
        end[at] = end[at].max(start[at].saturating_add(1));
    }
}

/// Starts spread evenly over each bucket, in random order of its traces.
pub(crate) fn starts(model: &Model, seed: u64, codes: &Codes) -> Vec<u64> {
    let mut rng = stream(seed, purpose::START, 0, 0);
    let mut starts = vec![0; codes.n_traces()];
    let mut begin = 0;
    while begin < starts.len() {
        let bucket = codes.bucket[begin];
        let n = codes.bucket[begin..].partition_point(|&other| other == bucket);
        let mut order: Vec<u32> = (0..n as u32).collect();
        shuffle(&mut rng, &mut order);
        let (from, width) = model.bucket_times(bucket);
        for (at, &place) in order.iter().enumerate() {
            let share = u128::from(place) << 32 | u128::from(rng.next_u32());
            let offset = u128::from(width) * share / ((n as u128) << 32);
            starts[begin + at] = from.saturating_add(offset as u64);
        }
        begin += n;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::super::topology::Topology;
    use super::*;

    #[test]
    fn siblings_start_in_the_order_of_their_shape() {
        let spans = vec![(0, 0), (1, 1), (2, 2), (3, 1), (2, 1)];
        let topology = Topology::new(vec![spans], Vec::new());
        let check = |start: [i64; 5], end: [i64; 5], expected: [(i64, i64); 5]| {
            let (mut start, mut end) = (start, end);
            order_siblings(&topology.shapes[0], &mut start, &mut end);
            let times = start.into_iter().zip(end);
            assert_eq!(times.collect::<Vec<_>>(), expected);
        };
        let ordered = [(0, 100), (10, 20), (12, 18), (20, 30), (40, 50)];
        check([0, 10, 12, 20, 40], [100, 20, 18, 30, 50], ordered);
        // The first waits for its parent's end in the shape's order, and the second does not.
        let moved = [(0, 100), (19, 29), (21, 27), (20, 30), (40, 50)];
        check([0, 110, 112, 20, 40], [100, 120, 118, 30, 50], moved);
        // No room before the parent's start.
        let pushed = [(0, 100), (0, 10), (2, 8), (1, 30), (2, 50)];
        check([0, 10, 12, 0, 0], [100, 20, 18, 30, 50], pushed);
    }
}

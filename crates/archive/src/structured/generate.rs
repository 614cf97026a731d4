//! From a model to a window in codes and times.
//!
//! Everything is drawn for the whole window at once, group by group, so that decks can be even:
//! which traces there are, then column after column, then the times. See [`super::deck`].

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rustc_hash::FxHashMap;

use super::calibration::Map;
use super::codes::Codes;
use super::coordinates::Placer;
use super::deck::{Deck, Scratch, shuffle, stream};
use super::features::Feature;
use super::mend::Mender;
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
    pub(crate) const VALUE: u32 = 7;
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
struct Groups {
    /// (Node, spans), by position and node.
    all: Vec<(u32, Vec<u32>)>,
}

struct Draws {
    scratch: Scratch,
    leaves: Vec<u32>,
    /// What was drawn.
    codes: Vec<u32>,
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
    let mut draws = Draws { scratch: Scratch::default(), leaves: Vec::new(), codes: Vec::new() };
    match pins {
        None => durations(model, seed, &mut generated.codes, &mut draws),
        Some(pins) => generated.codes.duration = pins.iter().map(|pin| pin.2).collect(),
    }
    columns(model, seed, &groups, &mut generated, &mut draws);
    times(model, seed, &groups, &mut generated, &mut draws);
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
    /// One draw of `tree` for each span: calls `set` with the span and the code drawn.
    fn of(
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

/// Rounds in which traces whose duration is off are drawn anew.
const N_ROUNDS: u32 = 8;
/// A duration within one in this many of its target is right.
const CLOSE: u64 = 64;
/// Gaps and tails under way, and the best so far.
struct Times {
    gap: Vec<i64>,
    tail: Vec<i64>,
    best_gap: Vec<i64>,
    best_tail: Vec<i64>,
    /// The duration each trace should have, and by how much its best one is off, as a ratio in
    /// 1/2^20.
    target: Vec<i64>,
    off: Vec<u64>,
    /// What brings the durations of each node to their quantiles.
    maps: Vec<Map>,
}

struct Timer<'m> {
    model: &'m Model,
    decks: Vec<(Option<Deck>, Deck)>,
    inside: Vec<ChaCha8Rng>,
}

fn times(model: &Model, seed: u64, groups: &Groups, generated: &mut Generated, draws: &mut Draws) {
    let n = generated.codes.n_spans();
    let mut times = Times {
        gap: vec![0; n],
        tail: vec![0; n],
        best_gap: vec![0; n],
        best_tail: vec![0; n],
        target: targets(model, seed, &generated.codes),
        off: vec![u64::MAX; generated.codes.n_traces()],
        maps: vec![Map::default(); model.sites.len()],
    };
    let mut timer = Timer::new(model, seed);
    let mut placer = Placer::default();
    timer.draw(&groups.all, &mut generated.codes, &mut times, draws);
    times.best_gap.clone_from(&times.gap);
    times.best_tail.clone_from(&times.tail);
    times.calibrate(model, &generated.codes, &mut placer);
    times.judge(model, &generated.codes, &mut placer);
    for round in 1..N_ROUNDS {
        let codes = &generated.codes;
        let is_open = |span: &u32| times.is_open(codes.trace[*span as usize] as usize);
        let open: Vec<(u32, Vec<u32>)> = groups
            .all
            .iter()
            .map(|(node, spans)| (*node, spans.iter().copied().filter(is_open).collect()))
            .filter(|group: &(u32, Vec<u32>)| !group.1.is_empty())
            .collect();
        timer.draw(&open, &mut generated.codes, &mut times, draws);
        times.judge(model, &generated.codes, &mut placer);
        if round == N_ROUNDS / 2 {
            times.calibrate(model, &generated.codes, &mut placer);
            times.judge_best(model, &generated.codes, &mut placer);
        }
    }
    times.calibrate(model, &generated.codes, &mut placer);
    place(model, seed, generated, &times, &mut placer);
}

/// A duration for each trace inside its bin.
fn targets(model: &Model, seed: u64, codes: &Codes) -> Vec<i64> {
    let mut rng = stream(seed, purpose::TARGET, 0, 0);
    let target = |trace: usize| {
        let entry = model.topology.spans(codes.label[trace]).entry() as usize;
        let bin = usize::from(codes.duration[trace]).saturating_sub(1);
        model.durations[entry].value(bin, rng.next_u32()).max(1)
    };
    (0..codes.n_traces()).map(target).collect()
}

impl<'m> Timer<'m> {
    fn new(model: &'m Model, seed: u64) -> Self {
        let deck = |purpose, node: usize, tree: &Tree| {
            Deck::new(stream(seed, purpose, node as u32, 0), tree.leaves.len())
        };
        let nodes = model.nodes.iter().enumerate();
        let decks = nodes.map(|(node, conditionals)| {
            let gap = conditionals.gap.as_ref();
            let gap = gap.map(|tree| deck(purpose::GAP, node, tree));
            (gap, deck(purpose::TAIL, node, &conditionals.tail))
        });
        let decks = decks.collect();
        let inside =
            (0..model.sites.len()).map(|node| stream(seed, purpose::VALUE, node as u32, 0));
        Self { model, decks, inside: inside.collect() }
    }

    /// Gap and tail of all spans of some groups.
    fn draw(
        &mut self,
        groups: &[(u32, Vec<u32>)],
        codes: &mut Codes,
        times: &mut Times,
        draws: &mut Draws,
    ) {
        let model = self.model;
        for (node, spans) in groups {
            let node = *node as usize;
            let conditionals = &model.nodes[node];
            let first = spans[0];
            let is_root = codes.offsets[codes.trace[first as usize] as usize] == first;
            let (gap_deck, tail_deck) = &mut self.decks[node];
            let inside = &mut self.inside[node];
            if let (Some(tree), Some(deck), false) = (&conditionals.gap, gap_deck, is_root) {
                draws.of(deck, tree, spans, |span, asked| {
                    codes.feature(&model.topology, &model.layout, span as usize, asked)
                });
                for (&span, &code) in spans.iter().zip(&draws.codes) {
                    let code = (code as u16).max(1);
                    codes.gap[span as usize] = code;
                    times.gap[span as usize] =
                        model.gaps[node].value(usize::from(code) - 1, inside.next_u32());
                }
            }
            draws.of(tail_deck, &conditionals.tail, spans, |span, asked| {
                codes.feature(&model.topology, &model.layout, span as usize, asked)
            });
            for (&span, &code) in spans.iter().zip(&draws.codes) {
                let code = (code as u16).max(1);
                codes.tail[span as usize] = code;
                times.tail[span as usize] =
                    model.tails[node].value(usize::from(code) - 1, inside.next_u32());
            }
        }
    }
}

impl Times {
    /// Whether a trace's duration is still off.
    fn is_open(&self, trace: usize) -> bool {
        self.off[trace] > (1 << 20) + (1 << 20) / CLOSE
    }

    /// Keeps what was drawn for each open trace if it is closer to its target.
    fn judge(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        for trace in 0..codes.n_traces() {
            if !self.is_open(trace) {
                continue;
            }
            let shape = model.topology.spans(codes.label[trace]);
            let spans = codes.offsets[trace] as usize..codes.offsets[trace + 1] as usize;
            let (gap, tail) = (&self.gap[spans.clone()], &self.tail[spans.clone()]);
            let finish = finish(shape, &self.maps);
            placer.place(shape, &model.references, |at| (gap[at], tail[at]), finish);
            let off = off(placer.end[0], self.target[trace]);
            if off < self.off[trace] {
                self.off[trace] = off;
                self.best_gap[spans.clone()].copy_from_slice(gap);
                self.best_tail[spans].copy_from_slice(tail);
            }
        }
    }

    /// Measures again how far off each trace is.
    fn judge_best(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        for trace in 0..codes.n_traces() {
            self.place(model, codes, trace, placer);
            self.off[trace] = off(placer.end[0], self.target[trace]);
        }
    }

    /// Places a trace as it is best so far.
    fn place(&self, model: &Model, codes: &Codes, trace: usize, placer: &mut Placer) {
        let shape = model.topology.spans(codes.label[trace]);
        let begin = codes.offsets[trace] as usize;
        let offsets = |at| (self.best_gap[begin + at], self.best_tail[begin + at]);
        placer.place(shape, &model.references, offsets, finish(shape, &self.maps));
    }

    /// Finds the maps of all nodes for what is best so far, nodes without children first.
    fn calibrate(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        let heights = heights(model);
        let top = heights.iter().copied().max().unwrap_or(0);
        self.maps.fill(Map::default());
        for height in 0..=top {
            let wanted = |node: u32| {
                heights[node as usize] == height && !model.quantiles[node as usize].grid.is_empty()
            };
            let mut drawn: Vec<Vec<i64>> = vec![Vec::new(); model.sites.len()];
            for trace in 0..codes.n_traces() {
                let shape = model.topology.spans(codes.label[trace]);
                if !shape.spans.iter().skip(1).any(|span| wanted(span.0)) {
                    continue;
                }
                self.place(model, codes, trace, placer);
                for (at, &(node, _)) in shape.spans.iter().enumerate().skip(1) {
                    if wanted(node) {
                        drawn[node as usize].push(placer.end[at].saturating_sub(placer.start[at]));
                    }
                }
            }
            for (node, durations) in drawn.iter_mut().enumerate().filter(|of| !of.1.is_empty()) {
                durations.sort_unstable();
                self.maps[node] = model.quantiles[node].map(durations);
            }
        }
    }
}

/// How far a duration is off, as the ratio of the larger to the smaller in 1/2^20.
fn off(duration: i64, target: i64) -> u64 {
    let (a, b) = (duration.max(1), target.max(1));
    let off = (i128::from(a.max(b)) << 20) / i128::from(a.min(b));
    u64::try_from(off).unwrap_or(u64::MAX)
}

/// The end of a span: its duration as drawn, mapped. Who waited for its children still does.
fn finish<'a>(shape: &'a Shape, maps: &'a [Map]) -> impl Fn(usize, i64, i64, i64) -> i64 + 'a {
    move |at, start, latest, tail| {
        let drawn = latest.saturating_add(tail);
        let map = &maps[shape.spans[at].0 as usize];
        if at == 0 || map.is_identity() {
            return drawn;
        }
        let end = start.saturating_add(map.of(drawn.saturating_sub(start)));
        if tail >= 0 { end.max(latest) } else { end }
    }
}

/// The most levels that stand below a span of each node in any shape.
fn heights(model: &Model) -> Vec<u16> {
    let mut heights = vec![0_u16; model.sites.len()];
    for shape in &model.topology.shapes {
        let mut below = vec![0_u16; shape.spans.len()];
        for at in (0..shape.spans.len()).rev() {
            let node = shape.spans[at].0 as usize;
            heights[node] = heights[node].max(below[at]);
            let above = below[at] + 1;
            if let Some(parent) = below.get_mut(shape.places[at].parent as usize) {
                *parent = above.max(*parent);
            }
        }
    }
    heights
}

fn place(model: &Model, seed: u64, generated: &mut Generated, times: &Times, placer: &mut Placer) {
    let codes = &generated.codes;
    let starts = starts(model, seed, codes);
    let mut mender = Mender::default();
    for (trace, start) in starts.into_iter().enumerate() {
        let shape = model.topology.spans(codes.label[trace]);
        times.place(model, codes, trace, placer);
        mender.mend(placer, shape, &model.references, times.target[trace]);
        order_siblings(shape, &mut placer.start, &mut placer.end);
        for at in 0..shape.spans.len() {
            generated.start.push(start.saturating_add_signed(placer.start[at]));
            generated.end.push(start.saturating_add_signed(placer.end[at]));
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
fn starts(model: &Model, seed: u64, codes: &Codes) -> Vec<u64> {
    let mut rng = stream(seed, purpose::START, 0, 0);
    let mut starts = vec![0; codes.n_traces()];
    let mut begin = 0;
    while begin < starts.len() {
        let bucket = codes.bucket[begin];
        let n = codes.bucket[begin..].partition_point(|&other| other == bucket);
        let mut order: Vec<u32> = (0..n as u32).collect();
        shuffle(&mut rng, &mut order);
        let from = model.begin_ns.saturating_add(u64::from(bucket) * model.bucket_ns);
        for (at, &place) in order.iter().enumerate() {
            let share = u128::from(place) << 32 | u128::from(rng.next_u32());
            let offset = u128::from(model.bucket_ns) * share / ((n as u128) << 32);
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

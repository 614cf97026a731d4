//! From a model to a window in codes and times.
//!
//! Everything is drawn for the whole window at once, group by group, so that decks can be even:
//! which traces there are, then column after column, then the times. See [`super::deck`].

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rustc_hash::FxHashMap;

use super::codes::Codes;
use super::coordinates::Placer;
use super::deck::{Deck, Scratch, shuffle, stream};
use super::features::Feature;
use super::model::{COPY, Model, TARGET};
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
}

/// A generated window, spans in preorder trace after trace.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) codes: Codes,
    /// Whether a slot's value is that of the slot before.
    pub(crate) copied: Vec<bool>,
    /// What picks a slot's value among those of its code; the same for copies.
    pub(crate) picks: Vec<u32>,
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
    draws: Vec<u32>,
}

pub(crate) fn generate(model: &Model, seed: u64) -> Generated {
    let traces = traces(model, seed);
    let codes = Codes::new(
        &traces,
        &model.topology,
        &model.layout,
        &model.service_of(),
        model.n_buckets(),
    );
    let n_slots = codes.slots.len();
    let picks = vec![0; n_slots];
    let copied = vec![false; n_slots];
    let mut generated = Generated { copied, picks, codes, ..Generated::default() };
    let groups = Groups::of(&generated.codes);
    let mut draws = Draws { scratch: Scratch::default(), leaves: Vec::new(), draws: Vec::new() };
    durations(model, seed, &mut generated.codes, &mut draws);
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
        self.leaves.extend(
            spans.iter().map(|&span| tree.leaf(|asked| feature(span, asked)) as u32),
        );
        deck.draw(&self.leaves, &mut self.scratch, &mut self.draws);
        for (draw, &leaf) in self.draws.iter_mut().zip(&self.leaves) {
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
    for (trace, &code) in draws.draws.iter().enumerate() {
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
                let (code, copied) = match draws.draws[at] as u16 {
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

fn times(
    model: &Model,
    seed: u64,
    groups: &Groups,
    generated: &mut Generated,
    draws: &mut Draws,
) {
    let n = generated.codes.n_spans();
    let mut gap = vec![0_i64; n];
    let mut tail = vec![0_i64; n];
    let deck = |purpose, node: usize, tree: &Tree| {
        Deck::new(stream(seed, purpose, node as u32, 0), tree.leaves.len())
    };
    let mut inside: Vec<_> = (0..model.sites.len())
        .map(|node| stream(seed, purpose::VALUE, node as u32, 0))
        .collect();
    let mut decks: Vec<(Option<Deck>, Deck)> = model
        .nodes
        .iter()
        .enumerate()
        .map(|(node, conditionals)| {
            let gap = conditionals.gap.as_ref();
            let gap = gap.map(|tree| deck(purpose::GAP, node, tree));
            (gap, deck(purpose::TAIL, node, &conditionals.tail))
        })
        .collect();
    for (node, spans) in &groups.all {
        let node = *node as usize;
        let conditionals = &model.nodes[node];
        let codes = &mut generated.codes;
        let is_root = spans.first().is_some_and(|&span| {
            codes.offsets[codes.trace[span as usize] as usize] == span
        });
        let (gap_deck, tail_deck) = &mut decks[node];
        if let (Some(tree), Some(deck), false) = (&conditionals.gap, gap_deck, is_root) {
            draws.of(deck, tree, spans, |span, asked| {
                codes.feature(&model.topology, &model.layout, span as usize, asked)
            });
            for (&span, &code) in spans.iter().zip(&draws.draws) {
                let code = (code as u16).max(1);
                codes.gap[span as usize] = code;
                let u = inside[node].next_u32();
                gap[span as usize] = model.gaps[node].value(usize::from(code) - 1, u);
            }
        }
        draws.of(tail_deck, &conditionals.tail, spans, |span, asked| {
            codes.feature(&model.topology, &model.layout, span as usize, asked)
        });
        for (&span, &code) in spans.iter().zip(&draws.draws) {
            let code = (code as u16).max(1);
            codes.tail[span as usize] = code;
            let u = inside[node].next_u32();
            tail[span as usize] = model.tails[node].value(usize::from(code) - 1, u);
        }
    }
    place(model, seed, generated, &gap, &tail);
}

fn place(model: &Model, seed: u64, generated: &mut Generated, gap: &[i64], tail: &[i64]) {
    let codes = &generated.codes;
    let starts = starts(model, seed, codes);
    let mut placer = Placer::default();
    for trace in 0..codes.n_traces() {
        let shape = model.topology.spans(codes.label[trace]);
        let begin = codes.offsets[trace] as usize;
        placer.place(
            shape,
            &model.references,
            |at| (gap[begin + at], tail[begin + at]),
            |_, _, latest, tail| latest.saturating_add(tail),
        );
        for at in 0..shape.spans.len() {
            generated.start.push(starts[trace].saturating_add_signed(placer.start[at]));
            generated.end.push(starts[trace].saturating_add_signed(placer.end[at]));
        }
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

//! The times of a generated window: drawn, drawn anew where a trace misses its duration, then in turns
//! mended to the durations of traces and brought to the quantiles of their nodes, placed.
//!
//! Either alone bends what the other asks for. In turns they come to agree, as they did in the window:
//! there the durations of traces and those of nodes were of the same spans.

use rand_chacha::rand_core::Rng as _;

use super::calibration::Map;
use super::clock::{Clock, Course};
use super::codes::Codes;
use super::coordinates::Placer;
use super::coupling::{Coupling, Numbers};
use super::deck::{Deck, stream};
use super::features::Kind;
use super::generate::{Draws, Generated, Groups, order_siblings, purpose, starts};
use super::mend::Mender;
use super::model::Model;
use super::topology::{Shape, Topology};
use super::tree::{Step, Tree};

/// Rounds in which traces whose duration is off are drawn anew.
///
/// Few: who keeps the best of many draws no longer draws from what was learnt, and parents and children
/// lose what they had in common.
const N_ROUNDS: u32 = 4;
/// Turns in which traces are mended and nodes are brought to their quantiles.
const N_TURNS: u32 = 4;
/// Passes over a window in which the maps of its call sites are found, at most: how deep traces are must not
/// decide how long a file takes. Recordings at hand need 16.
const N_LEVELS_MAX: u32 = 32;
/// A duration within one in this many of its target is right.
const CLOSE: u64 = 64;

/// A gap and a tail of each span, as numbers and as codes.
#[derive(Clone, Default)]
struct Drawn {
    gap: Vec<i64>,
    tail: Vec<i64>,
}

/// Gaps and tails as they are, and as they were before the round.
struct Times {
    now: Drawn,
    before: Drawn,
    gap_before: Vec<u16>,
    tail_before: Vec<u16>,
    /// The duration each trace should have, and by how much it is off, as a ratio in 1/2^20.
    target: Vec<i64>,
    off: Vec<u64>,
    /// What brings the durations of each node to their quantiles.
    maps: Vec<Map>,
}

struct Timer<'m> {
    model: &'m Model,
    decks: Vec<(Option<Deck>, Deck)>,
    /// If a tree asks what is left of a trace's duration.
    clock: Option<Clock>,
}

pub(crate) fn times(
    model: &Model,
    seed: u64,
    groups: &Groups,
    generated: &mut Generated,
    draws: &mut Draws,
) {
    let codes = &mut generated.codes;
    let n = codes.n_spans();
    let mut times = Times {
        now: Drawn { gap: vec![0; n], tail: vec![0; n] },
        before: Drawn::default(),
        gap_before: Vec::new(),
        tail_before: Vec::new(),
        target: targets(model, seed, codes),
        off: vec![u64::MAX; codes.n_traces()],
        maps: vec![Map::default(); model.sites.len()],
    };
    let mut timer = Timer::new(model, seed, codes);
    let mut placer = Placer::default();
    timer.draw(&groups.all, codes, &mut times, draws);
    times.keep(codes);
    times.calibrate(model, codes, &mut placer);
    times.measure(model, codes, &mut placer);
    for round in 1..N_ROUNDS {
        let is_open = |span: &u32| times.is_open(codes.trace[*span as usize] as usize);
        let open: Vec<(u32, Vec<u32>)> = groups
            .all
            .iter()
            .map(|(node, spans)| (*node, spans.iter().copied().filter(is_open).collect()))
            .filter(|group: &(u32, Vec<u32>)| !group.1.is_empty())
            .collect();
        timer.draw(&open, codes, &mut times, draws);
        times.judge(model, codes, &mut placer);
        if round == N_ROUNDS / 2 {
            times.calibrate(model, codes, &mut placer);
            times.measure(model, codes, &mut placer);
        }
    }
    times.calibrate(model, codes, &mut placer);
    for _ in 0..N_TURNS {
        times.mend(model, codes, &mut placer);
        times.calibrate(model, codes, &mut placer);
    }
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
    fn new(model: &'m Model, seed: u64, codes: &mut Codes) -> Self {
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
        let trees = model.nodes.iter().flat_map(|node| node.gap.iter().chain([&node.tail]));
        let asks = trees.flat_map(|tree| &tree.steps).any(|step| {
            let Step::Split { feature, .. } = step else { return false };
            matches!(feature.kind, Kind::LeftBefore | Kind::LeftAtStart)
        });
        let clock = asks.then(|| {
            codes.left_gap = vec![0; codes.n_spans()];
            codes.left_tail = vec![0; codes.n_spans()];
            Clock::new(codes.n_spans())
        });
        Self { model, decks, clock }
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
            let at = (spans[0] - codes.offsets[codes.trace[spans[0] as usize] as usize]) as usize;
            self.pass(codes, times, spans, (at, Kind::LeftBefore));
            let (gap_deck, _) = &mut self.decks[node];
            if let (Some(tree), Some(deck), 1..) = (&conditionals.gap, gap_deck, at) {
                let drawn = (deck, tree, conditionals.gap_coupling);
                draw_coupled(model, codes, times, draws, drawn, spans);
                for ((&span, &code), &inside) in spans.iter().zip(&draws.codes).zip(&draws.inside) {
                    let code = (code as u16).max(1);
                    codes.gap[span as usize] = code;
                    times.now.gap[span as usize] =
                        model.gaps[node].value(usize::from(code) - 1, inside);
                }
            }
            self.pass(codes, times, spans, (at, Kind::LeftAtStart));
            let (_, tail_deck) = &mut self.decks[node];
            let drawn = (tail_deck, &conditionals.tail, conditionals.tail_coupling);
            draw_coupled(model, codes, times, draws, drawn, spans);
            for ((&span, &code), &inside) in spans.iter().zip(&draws.codes).zip(&draws.inside) {
                let code = (code as u16).max(1);
                codes.tail[span as usize] = code;
                times.now.tail[span as usize] =
                    model.tails[node].value(usize::from(code) - 1, inside);
            }
        }
    }

    /// Brings the clock to where spans at a position begin, before or after their gap.
    fn pass(&mut self, codes: &mut Codes, times: &Times, spans: &[u32], (at, kind): (usize, Kind)) {
        let Some(clock) = &mut self.clock else { return };
        for &span in spans {
            let span = span as usize;
            let trace = codes.trace[span] as usize;
            let shape = self.model.topology.spans(codes.label[trace]);
            let references = &self.model.references[..];
            let course = Course { shape, begin: span - at, references, tails: &times.now.tail };
            let target = times.target[trace];
            if kind == Kind::LeftBefore {
                let from = clock.reach(&course, at, finish(shape, &times.maps));
                codes.left_gap[span] = clock.left(span, target, from);
            } else {
                let start = clock.enter(&course, at, times.now.gap[span]);
                codes.left_tail[span] = clock.left(span, target, start);
            }
        }
    }
}

/// One draw of a gap or tail for each span.
fn draw_coupled(
    model: &Model,
    codes: &Codes,
    times: &Times,
    draws: &mut Draws,
    drawn: (&mut Deck, &Tree, Coupling),
    spans: &[u32],
) {
    let numbers = times.numbers(model);
    let feature =
        |span: u32, asked| codes.feature(&model.topology, &model.layout, span as usize, asked);
    draws.coupled(drawn, spans, feature, |key, span| numbers.of(codes, key, span as usize));
}

impl Times {
    fn numbers<'a>(&'a self, model: &'a Model) -> Numbers<'a> {
        let (gap, tail) = (&self.now.gap[..], &self.now.tail[..]);
        Numbers { topology: &model.topology, gap, tail, duration: &self.target }
    }

    /// Whether a trace's duration is still off.
    fn is_open(&self, trace: usize) -> bool {
        self.off[trace] > (1 << 20) + (1 << 20) / CLOSE
    }

    /// Remembers everything as it is.
    fn keep(&mut self, codes: &Codes) {
        self.before.clone_from(&self.now);
        self.gap_before.clone_from(&codes.gap);
        self.tail_before.clone_from(&codes.tail);
    }

    /// Keeps what was drawn for each open trace if it is closer to its target, else takes it back.
    fn judge(&mut self, model: &Model, codes: &mut Codes, placer: &mut Placer) {
        for trace in 0..codes.n_traces() {
            if !self.is_open(trace) {
                continue;
            }
            self.place(model, codes, trace, placer);
            let off = off(placer.end[0], self.target[trace]);
            let spans = codes.offsets[trace] as usize..codes.offsets[trace + 1] as usize;
            let is_better = off < self.off[trace];
            if is_better {
                self.off[trace] = off;
            }
            let (now, before) = (&mut self.now, &mut self.before);
            settle(&mut now.gap[spans.clone()], &mut before.gap[spans.clone()], is_better);
            settle(&mut now.tail[spans.clone()], &mut before.tail[spans.clone()], is_better);
            let (gap, tail) = (&mut self.gap_before, &mut self.tail_before);
            settle(&mut codes.gap[spans.clone()], &mut gap[spans.clone()], is_better);
            settle(&mut codes.tail[spans.clone()], &mut tail[spans], is_better);
        }
    }

    /// Measures again how far off each trace is.
    fn measure(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        for trace in 0..codes.n_traces() {
            self.place(model, codes, trace, placer);
            self.off[trace] = off(placer.end[0], self.target[trace]);
        }
    }

    /// Places a trace.
    fn place(&self, model: &Model, codes: &Codes, trace: usize, placer: &mut Placer) {
        let shape = model.topology.spans(codes.label[trace]);
        let begin = codes.offsets[trace] as usize;
        let offsets = |at| (self.now.gap[begin + at], self.now.tail[begin + at]);
        placer.place(shape, &model.references, offsets, finish(shape, &self.maps));
    }

    /// Brings each trace to its duration, as far as its parts can move, and remembers its gaps and
    /// tails so.
    fn mend(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        let mut mender = Mender::default();
        for trace in 0..codes.n_traces() {
            let shape = model.topology.spans(codes.label[trace]);
            self.place(model, codes, trace, placer);
            let room = room(model, codes, &self.now, trace);
            mender.mend(placer, (shape, &model.references), self.target[trace], room);
            let (gap, tail) = mender.measure(placer, shape, &model.references);
            let begin = codes.offsets[trace] as usize;
            self.now.gap[begin..begin + gap.len()].copy_from_slice(gap);
            self.now.tail[begin..begin + tail.len()].copy_from_slice(tail);
        }
    }

    /// Finds the maps of all nodes for what is best so far, nodes without children first.
    fn calibrate(&mut self, model: &Model, codes: &Codes, placer: &mut Placer) {
        let levels = levels(&model.topology, model.sites.len());
        let top = levels.iter().copied().max().unwrap_or(0);
        self.maps.fill(Map::default());
        for level in 0..=top {
            let wanted = |node: u32| {
                levels[node as usize] == level && !model.quantiles[node as usize].grid.is_empty()
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

/// Keeps what is there now, or takes it back.
fn settle<T: Copy>(now: &mut [T], before: &mut [T], keep: bool) {
    if keep {
        before.copy_from_slice(now);
    } else {
        now.copy_from_slice(before);
    }
}

/// How far a duration is off, as the ratio of the larger to the smaller in 1/2^20.
fn off(duration: i64, target: i64) -> u64 {
    let (a, b) = (duration.max(1), target.max(1));
    let off = (i128::from(a.max(b)) << 20) / i128::from(a.min(b));
    u64::try_from(off).unwrap_or(u64::MAX)
}

/// How far the gap or tail of a trace's span is from the borders of its bin.
fn room<'a>(
    model: &'a Model,
    codes: &'a Codes,
    drawn: &'a Drawn,
    trace: usize,
) -> impl Fn(usize, bool) -> (i64, i64) + 'a {
    let begin = codes.offsets[trace] as usize;
    move |at, is_gap| {
        let span = begin + at;
        let node = codes.node[span] as usize;
        let (bins, code, value) = if is_gap {
            (&model.gaps[node], codes.gap[span], drawn.gap[span])
        } else {
            (&model.tails[node], codes.tail[span], drawn.tail[span])
        };
        let (low, high) = bins.bounds(usize::from(code).saturating_sub(1));
        (value.saturating_sub(low), high.saturating_sub(value))
    }
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

/// The pass in which the map of each node is found: after those of all that stands below it. Where traces
/// are deeper than there are passes, nodes above each other share one.
fn levels(topology: &Topology, n_nodes: usize) -> Vec<u32> {
    let mut levels = vec![0_u32; n_nodes];
    for shape in &topology.shapes {
        let mut below = vec![0_u32; shape.spans.len()];
        for at in (0..shape.spans.len()).rev() {
            let node = shape.spans[at].0 as usize;
            levels[node] = levels[node].max(below[at]);
            let above = below[at] + 1;
            if let Some(parent) = below.get_mut(shape.places[at].parent as usize) {
                *parent = above.max(*parent);
            }
        }
    }
    let top = levels.iter().copied().max().unwrap_or(0);
    if top >= N_LEVELS_MAX {
        for level in &mut levels {
            *level = *level * (N_LEVELS_MAX - 1) / top;
        }
    }
    levels
}

fn place(model: &Model, seed: u64, generated: &mut Generated, times: &Times, placer: &mut Placer) {
    let codes = &generated.codes;
    let starts = starts(model, seed, codes);
    let mut mender = Mender::default();
    for (trace, start) in starts.into_iter().enumerate() {
        let shape = model.topology.spans(codes.label[trace]);
        times.place(model, codes, trace, placer);
        let room = room(model, codes, &times.now, trace);
        mender.end(placer, (shape, &model.references), times.target[trace], room);
        order_siblings(shape, &mut placer.start, &mut placer.end);
        for at in 0..shape.spans.len() {
            generated.start.push(start.saturating_add_signed(placer.start[at]));
            generated.end.push(start.saturating_add_signed(placer.end[at]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels of a chain of this many nodes, the deepest one first.
    fn of_chain(n: u32) -> Vec<u32> {
        let chain = (0..n).map(|depth| (n - 1 - depth, depth as u16)).collect();
        levels(&Topology::new(vec![chain], Vec::new()), n as usize)
    }

    #[test]
    fn who_stands_above_is_mapped_later() {
        assert_eq!(of_chain(4), [0, 1, 2, 3]);
        assert!(of_chain(N_LEVELS_MAX).is_sorted_by(|below, above| below < above));
    }

    /// Scenario: a file whose traces are as deep as limits allow. Every pass goes over the whole window.
    #[test]
    fn depth_does_not_decide_how_often_a_window_is_gone_over() {
        let levels = of_chain(256);
        assert!(levels.is_sorted());
        assert!(levels.iter().all(|level| *level < N_LEVELS_MAX), "{levels:?}");
        // All passes are made use of.
        assert_eq!(levels[255], N_LEVELS_MAX - 1);
    }
}

//! When spans started and ended, each relative to what happened just before: a start to the parent's
//! start or the previous sibling's end, an end to the end of the last child.
//!
//! Which of them is nearest is learnt per edge while coding. Children that mostly start after their
//! parent ended are placed after it.

use super::grids::{Grids, Rounding};
use super::{Broken, NONE, State, Trace};
use crate::entropy::{Coder, Costs, hash};

/// Clocks tick in these, ns. What is a multiple of a coarser one is coded in that one.
pub(super) const UNITS: [u64; 5] = [1, 100, 1_000, 1_000_000, 1_000_000_000];

const SET_UNIT: u32 = 0x40;
const SET_START: u32 = 0x48;
const SET_END: u32 = 0x50;
const SET_EVENT: u32 = 0x58;

/// What is known of an edge (parent node, child node).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    starts: Costs,
    /// Class of the last start's error.
    class: u32,
    unit: u32,
    /// How often the child started before its parent ended, less how often after.
    nested: i32,
}

/// What is known of the ends of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    costs: Costs,
    class: u32,
    unit: u32,
}

/// Where starts of traces lie in near-lossless files.
const FINE_NS: i64 = 1_000_000;

/// A duration that gaps and tails in their bins would bend by more than one in this many is coded itself.
const DURATION_SHARE: u64 = 20;

/// How close a time must come in near-lossless files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    /// Within half a millisecond.
    Fine,
    /// Within the bin of its distance from the reference, as starts have them.
    Start,
    /// Likewise, as ends have them.
    End,
}

/// How a time is coded.
#[derive(Clone, Copy, Debug)]
struct Step {
    set: u32,
    unit: u32,
    reference: u64,
    precision: Precision,
}

/// A span whose children are being placed.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: u32,
    /// The next child to look at.
    child: u32,
    /// The last child placed.
    sibling: u32,
    /// Latest end of the children that the span waits for.
    latest: u64,
    /// The same of times as given; a writer's only.
    latest_given: u64,
    /// Whether the span's own end is known, and the late children are being placed.
    has_ended: bool,
    class: u32,
}

/// The coarsest unit that a time is a multiple of.
pub(super) fn unit_of(time: u64) -> u32 {
    (1..UNITS.len()).rev().find(|&unit| time.is_multiple_of(UNITS[unit])).unwrap_or(0) as u32
}

impl State {
    /// Codes the times of a trace whose shape, resources and layouts are known.
    pub(super) fn times<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
    ) -> Result<(), Broken> {
        let children = Children::of(trace);
        let mut last_root = NONE;
        for root in 0..trace.node.len() as u32 {
            if trace.parent[root as usize] == NONE {
                self.place(coder, trace, &children, (root, last_root));
                last_root = root;
            }
        }
        self.last_start = trace.start.first().copied().unwrap_or(0);
        self.learn_nesting(trace);
        if coder.is_overrun() { Err(Broken("the content ends inside a trace")) } else { Ok(()) }
    }

    fn place<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        children: &Children,
        (root, last_root): (u32, u32),
    ) {
        let mut stack = vec![self.enter(coder, trace, children, (root, last_root, false))];
        while let Some(frame) = stack.last_mut() {
            let at = frame.at;
            let child = frame.child;
            if child == NONE {
                if frame.has_ended {
                    stack.pop();
                    continue;
                }
                let done = *frame;
                frame.has_ended = true;
                frame.child = children.first[at as usize];
                frame.sibling = NONE;
                self.end(coder, trace, &done);
                let end = trace.end[at as usize];
                let is_waited_for = stack.len() > 1 && !stack[stack.len() - 2].has_ended;
                if is_waited_for {
                    let above = stack.len() - 2;
                    let given = trace.given[at as usize].1;
                    stack[above].latest = stack[above].latest.max(end);
                    stack[above].latest_given = stack[above].latest_given.max(given);
                }
                continue;
            }
            frame.child = children.next[child as usize];
            if self.is_late(trace, child) == frame.has_ended {
                let sibling = std::mem::replace(&mut frame.sibling, child);
                let late = frame.has_ended;
                stack.push(self.enter(coder, trace, children, (child, sibling, late)));
            }
        }
    }

    /// Whether the child is placed after its parent's end.
    fn is_late(&self, trace: &Trace, child: u32) -> bool {
        self.edges.get(&edge_key(trace, child)).is_some_and(|edge| edge.nested < 0)
    }

    /// Codes the start of a span.
    fn enter<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        children: &Children,
        (at, sibling, is_late): (u32, u32, bool),
    ) -> Frame {
        let i = at as usize;
        let parent = trace.parent[i];
        let family = (parent, sibling, is_late);
        let predictions = self.starts(|at| trace.coded(at), family);
        let key = edge_key(trace, at);
        let mut edge = self.edges.get(&key).copied().unwrap_or_default();
        let best = edge.starts.best(predictions.len());
        let kind = hash(hash(0xc0, key), best as u32 + 4 * u32::from(is_late));
        let given = trace.given[i].0;
        let unit = self.unit(coder, (kind, trace.node[i]), &mut edge.unit, given);
        let (node, layout) = (trace.node[i], trace.layout[i]);
        let near = hash(hash(kind, trace.node_of(sibling)), unit);
        let contexts = [
            near,
            hash(hash(near, layout), 1),
            hash(hash(hash(kind, edge.class), unit), 2),
            hash(hash(hash(near, self.class_in_trace), node), 3),
            hash(hash(hash(kind, unit), trace.resource[i]), 4),
        ];
        let is_first = parent == NONE && sibling == NONE;
        let precision = if is_first { Precision::Fine } else { Precision::Start };
        let step = Step { set: SET_START, unit, reference: predictions[best], precision };
        let target = match self.rounds_as_given() {
            Some(_) if !is_first => {
                let real = self.starts(|at| trace.given.get(at as usize).copied(), family);
                predictions[best].wrapping_add(given.wrapping_sub(real[best]))
            }
            _ => given,
        };
        let (mut start, class) = self.time(coder, &contexts, step, target);
        if let (Some(_), Some(before)) = (self.rounds_as_given(), trace.coded(trace.sibling[i])) {
            // Children stand in order of their starts, and bins may join two.
            start = start.max(before.0.saturating_add(1));
        }
        trace.start[i] = start;
        edge.class = class;
        self.class_in_trace = class;
        edge.starts.learn(start.cast_signed(), &predictions.map(u64::cast_signed));
        self.edges.insert(key, edge);
        let child = children.first[i];
        let latest_given = given;
        Frame { at, child, sibling: NONE, latest: start, latest_given, has_ended: false, class }
    }

    /// The bins, if distances from times as given are rounded.
    fn rounds_as_given(&self) -> Option<&Grids> {
        self.grids.as_ref().filter(|grids| grids.rounding == Rounding::AsGiven)
    }

    /// Times near which a span may start, from the start and end of others.
    fn starts(
        &self,
        times: impl Fn(u32) -> Option<(u64, u64)>,
        (parent, sibling, is_late): (u32, u32, bool),
    ) -> [u64; 3] {
        let start_of = |at: u32| times(at).map(|times| times.0);
        let end_of = |at: u32| times(at).map(|times| times.1);
        let base = if is_late { end_of(parent) } else { start_of(parent) };
        let base = base.or_else(|| start_of(sibling)).unwrap_or(self.last_start);
        [base, end_of(sibling).unwrap_or(base), start_of(sibling).unwrap_or(base)]
    }

    /// Codes the end of a span whose children that it waits for have ended.
    fn end<C: Coder>(&mut self, coder: &mut C, trace: &mut Trace, frame: &Frame) {
        let i = frame.at as usize;
        let (node, layout, start) = (trace.node[i], trace.layout[i], trace.start[i]);
        let last_end = trace.end.get(frame.sibling as usize).copied().unwrap_or(start);
        let predictions = [frame.latest, start, last_end];
        let last_child = trace.node_of(frame.sibling);
        let key = hash(hash(0xd0, node), last_child);
        let mut ends = self.ends.get(&key).copied().unwrap_or_default();
        let best = ends.costs.best(predictions.len());
        let kind = hash(key, best as u32);
        let given = trace.given[i].1;
        let unit = self.unit(coder, (kind, node), &mut ends.unit, given);
        let near = hash(kind, unit);
        let contexts = [
            near,
            hash(hash(near, layout), 1),
            hash(hash(near, ends.class), 2),
            hash(hash(near, frame.class), 3),
            hash(hash(near, trace.resource[i]), 4),
            hash(hash(near, self.class_in_trace), 5),
        ];
        let precision = Precision::End;
        let step = Step { set: SET_END, unit, reference: predictions[best], precision };
        let target = match self.rounds_as_given() {
            Some(grids) => end_wanted(grids, trace, frame, (best, predictions[best])),
            None => given,
        };
        let (mut end, class) = self.time(coder, &contexts, step, target);
        if self.rounds_as_given().is_some() {
            end = end.max(start);
        }
        trace.end[i] = end;
        ends.class = class;
        self.class_in_trace = class;
        ends.costs.learn(end.cast_signed(), &predictions.map(u64::cast_signed));
        self.ends.insert(key, ends);
    }

    /// Codes the time of an event of span `i`; the last one of the span was at `last`.
    pub(super) fn event<C: Coder>(
        &mut self,
        coder: &mut C,
        (trace, i): (&Trace, usize),
        (column, last): (u32, u64),
        given: u64,
    ) -> u64 {
        let node = trace.node[i];
        let key = hash(hash(0xe0, column), node);
        let predictions = [trace.end[i], last];
        let mut ends = self.ends.get(&key).copied().unwrap_or_default();
        let best = ends.costs.best(predictions.len());
        let kind = hash(key, best as u32);
        let unit = self.unit(coder, (kind, node), &mut ends.unit, given);
        let near = hash(kind, unit);
        let contexts =
            [near, hash(hash(near, ends.class), 1), hash(hash(near, trace.layout[i]), 2)];
        let precision = Precision::End;
        let step = Step { set: SET_EVENT, unit, reference: predictions[best], precision };
        let target = match self.rounds_as_given() {
            Some(_) => trace.start[i].wrapping_add(given.wrapping_sub(trace.given[i].0)),
            None => given,
        };
        let (time, class) = self.time(coder, &contexts, step, target);
        ends.class = class;
        ends.costs.learn(time.cast_signed(), &predictions.map(u64::cast_signed));
        self.ends.insert(key, ends);
        time
    }

    /// Codes a time by its distance from a reference. Returns it as a reader will have it, and the
    /// class of the distance.
    fn time<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        step: Step,
        given: u64,
    ) -> (u64, u32) {
        let Some(grids) = &self.grids else {
            let scale = UNITS[step.unit as usize];
            let reference = (step.reference / scale).cast_signed();
            let wanted = (given / scale).cast_signed().wrapping_sub(reference);
            let (error, class) = self.model.time(coder, contexts, step.set, wanted);
            let time = reference.wrapping_add(error).cast_unsigned().wrapping_mul(scale);
            return (time, class);
        };
        let wanted = given.wrapping_sub(step.reference).cast_signed();
        if step.precision == Precision::Fine {
            let wanted = wanted.wrapping_add(FINE_NS / 2).div_euclid(FINE_NS);
            let (steps, class) = self.model.signed(coder, contexts, (step.set, 3), wanted);
            let distance = steps.wrapping_mul(FINE_NS).cast_unsigned();
            return (step.reference.wrapping_add(distance), class);
        }
        let grid = if step.precision == Precision::Start { &grids.starts } else { &grids.ends };
        let code = grids.code(grid, wanted);
        let code = self.model.index(coder, contexts, (step.set, 3), code) & 0xfff;
        let distance = grids.distance(grid, code).cast_unsigned();
        (step.reference.wrapping_add(distance), code / 3)
    }

    fn unit<C: Coder>(
        &mut self,
        coder: &mut C,
        (kind, node): (u32, u32),
        last: &mut u32,
        time: u64,
    ) -> u32 {
        if self.grids.is_some() {
            return 0;
        }
        let contexts = [hash(hash(0xf0, node), *last), hash(0xf1, kind)];
        let unit = self.model.nibble(coder, &contexts, SET_UNIT, unit_of(time));
        *last = unit.min(UNITS.len() as u32 - 1);
        *last
    }

    fn learn_nesting(&mut self, trace: &Trace) {
        for i in 0..trace.node.len() as u32 {
            let parent = trace.parent[i as usize];
            if parent != NONE {
                let is_late = trace.start[i as usize] >= trace.end[parent as usize];
                let edge = self.edges.entry(edge_key(trace, i)).or_default();
                edge.nested = (edge.nested + if is_late { -1 } else { 1 }).clamp(-50, 50);
            }
        }
    }
}

/// The end that a writer codes: as far from its reference as the given one is, unless the duration would
/// be off by too much; then the given duration behind the start as it is read.
fn end_wanted(grids: &Grids, trace: &Trace, frame: &Frame, (best, reference): (usize, u64)) -> u64 {
    let i = frame.at as usize;
    let (given_start, given_end) = trace.given[i];
    let last_end = trace.given.get(frame.sibling as usize).map_or(given_start, |times| times.1);
    let given = [frame.latest_given, given_start, last_end][best];
    let distance = given_end.wrapping_sub(given);
    let code = grids.code(&grids.ends, distance.cast_signed());
    let read = reference.wrapping_add(grids.distance(&grids.ends, code).cast_unsigned());
    let duration = given_end.saturating_sub(given_start);
    let duration_read = read.saturating_sub(trace.start[i]);
    if duration_read.abs_diff(duration) <= duration / DURATION_SHARE {
        reference.wrapping_add(distance)
    } else {
        trace.start[i].wrapping_add(duration)
    }
}

fn edge_key(trace: &Trace, child: u32) -> u32 {
    let parent = trace.parent[child as usize];
    hash(hash(trace.node[child as usize], 0xed), trace.node_of(parent))
}

/// Children of each span in order, as chains.
#[derive(Debug)]
struct Children {
    first: Vec<u32>,
    next: Vec<u32>,
}

impl Children {
    fn of(trace: &Trace) -> Self {
        let n = trace.node.len();
        let mut children = Self { first: vec![NONE; n], next: vec![NONE; n] };
        for i in (0..n as u32).rev() {
            let parent = trace.parent[i as usize];
            if parent != NONE {
                children.next[i as usize] = children.first[parent as usize];
                children.first[parent as usize] = i;
            }
        }
        children
    }
}

//! Brings a placed trace to the duration it should have, where drawing anew did not.
//!
//! First the gaps and tails of the critical path move inside their bins, each by its share of the room
//! they have: that leaves the distribution of every call site as it was learnt. What little is missing
//! then the root takes. Where much is missing, one slow part is nearly always what made the trace long
//! or short, so the largest part takes it: multiplying everything would bend the durations of all
//! nodes, and leaving it to the root alone would tear the root from its children.
//!
//! At the very end nothing moves that need not: the root ends when it should, and only where its
//! children last longer they are made shorter.

use super::coordinates::{Placer, Reference};
use super::topology::{NONE, Shape};

/// Times that the parts are moved inside their bins: what is critical changes with them.
const N_SPREADS: usize = 4;
/// Parts that are changed beyond their bins at most.
const N_PARTS_MAX: usize = 4;
/// The same at the end.
const N_LAST: usize = 2;
/// A duration that is off by more than one in this many is mended beyond bins.
const CLOSE: i64 = 8;
/// A duration within one in this many is right.
const EXACT: i64 = 1024;

/// Scratch of [`Mender::mend`].
#[derive(Debug, Default)]
pub(crate) struct Mender {
    gap: Vec<i64>,
    tail: Vec<i64>,
    /// By how much gap and tail of each span were moved inside their bins.
    moved: Vec<[i64; 2]>,
    parts: Vec<Part>,
    stack: Vec<u32>,
}

/// A gap or tail that may move, and how far.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: usize,
    is_gap: bool,
    room: i64,
}

/// A shape and what its gaps are measured from.
type Form<'a> = (&'a Shape, &'a [Reference]);

impl Mender {
    /// Changes the times in `placer` so that the root lasts `target`, if it can be. `room` tells how
    /// far the gap or tail of a span is above the lower and below the upper border of its bin.
    pub(crate) fn mend(
        &mut self,
        placer: &mut Placer,
        (shape, references): Form<'_>,
        target: i64,
        room: impl Fn(usize, bool) -> (i64, i64),
    ) {
        let is_right = |end: i64| (target - end).abs() <= target / EXACT || shape.spans.len() < 2;
        self.begin(shape);
        for _ in 0..N_SPREADS {
            if is_right(placer.end[0]) || !self.spread(placer, shape, references, target, &room) {
                break;
            }
        }
        for _ in 0..N_PARTS_MAX {
            let missing = target - placer.end[0];
            if is_right(placer.end[0]) || missing.abs() <= target.min(placer.end[0]) / CLOSE {
                break;
            }
            if !self.change_largest(placer, shape, references, target) {
                break;
            }
        }
        end_root(placer, shape, references, target);
    }

    /// The same, but that only traces whose children last longer than they should have them changed.
    pub(crate) fn end(
        &mut self,
        placer: &mut Placer,
        (shape, references): Form<'_>,
        target: i64,
        room: impl Fn(usize, bool) -> (i64, i64),
    ) {
        self.begin(shape);
        for turn in 0..2 * N_LAST {
            let latest = latest_child(placer, shape, references);
            let is_beyond_bins = turn >= N_LAST;
            let enough = if is_beyond_bins { target / CLOSE } else { 0 };
            if latest - target <= enough {
                break;
            }
            placer.end[0] = latest;
            if is_beyond_bins {
                self.change_largest(placer, shape, references, target);
            } else {
                self.spread(placer, shape, references, target, &room);
            }
        }
        end_root(placer, shape, references, target);
    }

    fn begin(&mut self, shape: &Shape) {
        self.moved.clear();
        self.moved.resize(shape.spans.len(), [0; 2]);
    }

    /// Lets the largest part of the critical path take what is missing; false if there is none.
    fn change_largest(
        &mut self,
        placer: &mut Placer,
        shape: &Shape,
        references: &[Reference],
        target: i64,
    ) -> bool {
        let missing = target - placer.end[0];
        self.measure(placer, shape, references);
        let Some((span, is_gap)) = self.largest(placer, shape, references) else { return false };
        let part = if is_gap { &mut self.gap[span] } else { &mut self.tail[span] };
        *part = part.saturating_add(missing).max(0);
        self.place(placer, shape, references);
        true
    }

    /// Moves the parts of the critical path inside their bins; false if none can.
    fn spread(
        &mut self,
        placer: &mut Placer,
        shape: &Shape,
        references: &[Reference],
        target: i64,
        room: &impl Fn(usize, bool) -> (i64, i64),
    ) -> bool {
        self.measure(placer, shape, references);
        let missing = i128::from(target) - i128::from(placer.end[0]);
        let mut parts = std::mem::take(&mut self.parts);
        let moved = std::mem::take(&mut self.moved);
        parts.clear();
        self.critical(placer, shape, references, |at, is_gap, length| {
            let (down, up) = room(at, is_gap);
            let moved = moved[at][usize::from(is_gap)];
            let room =
                if missing > 0 { up.saturating_sub(moved) } else { down.saturating_add(moved) };
            // The outermost bins are wide: a part at most doubles.
            let room = room.min(length);
            if room > 0 {
                parts.push(Part { at, is_gap, room });
            }
        });
        (self.parts, self.moved) = (parts, moved);
        let all: i128 = self.parts.iter().map(|part| i128::from(part.room)).sum();
        if all == 0 {
            return false;
        }
        let wanted = missing.clamp(-all, all);
        for &Part { at, is_gap, room } in &self.parts {
            let share = (i128::from(room) * wanted / all) as i64;
            let part = if is_gap { &mut self.gap[at] } else { &mut self.tail[at] };
            *part = part.saturating_add(share);
            self.moved[at][usize::from(is_gap)] += share;
        }
        self.place(placer, shape, references);
        true
    }

    fn place(&self, placer: &mut Placer, shape: &Shape, references: &[Reference]) {
        let end = |_: usize, _: i64, latest: i64, tail: i64| latest.saturating_add(tail);
        placer.place(shape, references, |at| (self.gap[at], self.tail[at]), end);
    }

    /// Gaps and tails of the times as they are.
    pub(crate) fn measure(
        &mut self,
        placer: &Placer,
        shape: &Shape,
        references: &[Reference],
    ) -> (&[i64], &[i64]) {
        let n = shape.spans.len();
        self.gap.clear();
        self.gap.resize(n, 0);
        let mut last_end = placer.start.clone();
        let mut latest = placer.start.clone();
        for (at, place) in shape.places.iter().enumerate().skip(1) {
            let parent = place.parent as usize;
            let from = match references[place.edge as usize] {
                Reference::Parallel => placer.start[parent],
                Reference::Sequence => last_end[parent],
                Reference::Async => placer.end[parent],
            };
            self.gap[at] = placer.start[at] - from;
            if references[place.edge as usize] != Reference::Async {
                last_end[parent] = placer.end[at];
                latest[parent] = latest[parent].max(placer.end[at]);
            }
        }
        self.tail.clear();
        self.tail.extend((0..n).map(|at| placer.end[at] - latest[at]));
        (&self.gap, &self.tail)
    }

    /// The largest gap or tail on the critical path.
    fn largest(
        &mut self,
        placer: &Placer,
        shape: &Shape,
        references: &[Reference],
    ) -> Option<(usize, bool)> {
        let mut best: Option<(i64, usize, bool)> = None;
        self.critical(placer, shape, references, |at, is_gap, length| {
            if length > best.map_or(0, |best| best.0) {
                best = Some((length, at, is_gap));
            }
        });
        best.map(|(_, at, is_gap)| (at, is_gap))
    }

    /// Calls `part` for each gap and tail on the critical path: position, whether it is a gap, length.
    fn critical(
        &mut self,
        placer: &Placer,
        shape: &Shape,
        references: &[Reference],
        mut part: impl FnMut(usize, bool, i64),
    ) {
        let is_inner = |at: usize| references[shape.places[at].edge as usize] != Reference::Async;
        self.stack.clear();
        self.stack.push(0);
        while let Some(at) = self.stack.pop() {
            let at = at as usize;
            part(at, false, self.tail[at]);
            if at > 0 {
                part(at, true, self.gap[at]);
                if references[shape.places[at].edge as usize] == Reference::Sequence {
                    let mut before = shape.places[at].sibling;
                    while before != NONE && !is_inner(before as usize) {
                        before = shape.places[before as usize].sibling;
                    }
                    self.stack.extend((before != NONE).then_some(before));
                }
            }
            let children = placer.children(shape, at).filter(|&child| is_inner(child));
            let last = children.max_by_key(|&child| (placer.end[child], child));
            self.stack.extend(last.map(|child| child as u32));
        }
    }
}

/// When the last child ends that the root waits for; 0 if it waits for none.
fn latest_child(placer: &Placer, shape: &Shape, references: &[Reference]) -> i64 {
    let children = shape.places.iter().zip(&placer.end).skip(1);
    let inner = children.filter(|(place, _)| {
        place.parent == 0 && references[place.edge as usize] != Reference::Async
    });
    inner.map(|(_, end)| *end).max().unwrap_or(0)
}

/// Ends the root when it should, or with its last child.
fn end_root(placer: &mut Placer, shape: &Shape, references: &[Reference], target: i64) {
    let latest = latest_child(placer, shape, references);
    placer.end[0] = target.max(latest.min(placer.end[0])).max(1);
}

#[cfg(test)]
mod tests {
    use super::super::topology::Topology;
    use super::*;

    /// A root that waits for two children, one after the other, of 1000 and 100.
    fn mended(target: i64, room: (i64, i64), is_end: bool) -> Vec<i64> {
        let topology = Topology::new(vec![vec![(0, 0), (1, 1), (1, 1)]], Vec::new());
        let shape = &topology.shapes[0];
        let mut placer = Placer::default();
        let offsets = |at: usize| [(0, 10), (10, 1000), (0, 100)][at];
        let references = [Reference::Sequence];
        placer.place(shape, &references, offsets, |_, _, latest, tail| latest + tail);
        assert_eq!(placer.end, [1120, 1010, 1110]);
        let room = |at: usize, is_gap: bool| if at == 0 || is_gap { (0, 0) } else { room };
        let mut mender = Mender::default();
        if is_end {
            mender.end(&mut placer, (shape, &references), target, room);
        } else {
            mender.mend(&mut placer, (shape, &references), target, room);
        }
        placer.end
    }

    #[test]
    fn parts_move_inside_their_bins_in_proportion() {
        assert_eq!(mended(1160, (0, 100), false), [1160, 1030, 1150]);
        assert_eq!(mended(1080, (100, 0), false), [1080, 990, 1070]);
    }

    #[test]
    fn the_root_takes_what_little_is_missing() {
        assert_eq!(mended(1200, (0, 20), false), [1200, 1030, 1150]);
        assert_eq!(mended(1200, (0, 0), false), [1200, 1010, 1110]);
        // It waits for its children.
        assert_eq!(mended(1100, (0, 0), false), [1110, 1010, 1110]);
    }

    #[test]
    fn the_slow_part_takes_a_large_difference() {
        assert_eq!(mended(2000, (0, 0), false), [2000, 1890, 1990]);
        assert_eq!(mended(5000, (0, 0), false), [5000, 4890, 4990]);
        assert_eq!(mended(500, (0, 0), false), [500, 390, 490]);
    }

    #[test]
    fn at_the_end_the_root_takes_what_it_can() {
        assert_eq!(mended(5000, (0, 9999), true), [5000, 1010, 1110]);
        assert_eq!(mended(1115, (500, 0), true), [1115, 1010, 1110]);
    }

    #[test]
    fn at_the_end_children_that_last_longer_are_made_shorter() {
        assert_eq!(mended(1000, (100, 0), true), [1000, 955, 1000]);
        // Less than an eighth stays where bins have no room.
        assert_eq!(mended(1000, (0, 0), true), [1110, 1010, 1110]);
        assert_eq!(mended(600, (0, 0), true), [600, 500, 600]);
    }
}

//! Brings a placed trace to the duration it should have, where drawing anew did not.
//!
//! What makes a trace long or short is nearly always one slow part of its critical path, so the
//! largest part takes the difference: multiplying everything would bend the durations of all nodes,
//! and leaving it to the root alone would tear the root from its children.

use super::coordinates::{Placer, Reference};
use super::topology::{NONE, Shape};

/// Times of all spans are first multiplied by at most one in this many more or less.
const STRETCH: i64 = 64;
/// Parts that are changed at most.
const N_PARTS_MAX: usize = 4;

/// Scratch of [`Mender::mend`].
#[derive(Debug, Default)]
pub(crate) struct Mender {
    gap: Vec<i64>,
    tail: Vec<i64>,
    stack: Vec<u32>,
}

impl Mender {
    /// Changes the times in `placer` so that the root lasts `target`, if it can be.
    pub(crate) fn mend(
        &mut self,
        placer: &mut Placer,
        shape: &Shape,
        references: &[Reference],
        target: i64,
    ) {
        stretch(placer, target);
        for _ in 0..N_PARTS_MAX {
            let missing = target - placer.end[0];
            if missing.abs() <= target / 1024 || shape.spans.len() < 2 {
                break;
            }
            self.measure(placer, shape, references);
            let Some((span, is_gap)) = self.largest(placer, shape, references) else { break };
            let part = if is_gap { &mut self.gap[span] } else { &mut self.tail[span] };
            *part = part.saturating_add(missing).max(0);
            let (gap, tail) = (&self.gap, &self.tail);
            let end = |_: usize, _: i64, latest: i64, tail: i64| latest.saturating_add(tail);
            placer.place(shape, references, |at| (gap[at], tail[at]), end);
        }
        let children = shape.places.iter().zip(&placer.end).skip(1);
        let inner = children.filter(|(place, _)| {
            place.parent == 0 && references[place.edge as usize] != Reference::Async
        });
        let latest = inner.map(|(_, end)| *end).max().unwrap_or(0);
        placer.end[0] = target.max(latest.min(placer.end[0])).max(1);
    }

    /// Gaps and tails of the times as they are.
    fn measure(&mut self, placer: &Placer, shape: &Shape, references: &[Reference]) {
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
    }

    /// The largest gap or tail on the critical path.
    fn largest(
        &mut self,
        placer: &Placer,
        shape: &Shape,
        references: &[Reference],
    ) -> Option<(usize, bool)> {
        let is_inner = |at: usize| references[shape.places[at].edge as usize] != Reference::Async;
        let mut best: Option<(i64, usize, bool)> = None;
        let mut offer = |length: i64, at: usize, is_gap: bool| {
            if length > best.map_or(0, |best| best.0) {
                best = Some((length, at, is_gap));
            }
        };
        self.stack.clear();
        self.stack.push(0);
        while let Some(at) = self.stack.pop() {
            let at = at as usize;
            offer(self.tail[at], at, false);
            if at > 0 {
                offer(self.gap[at], at, true);
                if references[shape.places[at].edge as usize] == Reference::Sequence {
                    let mut before = shape.places[at].sibling;
                    while before != NONE && !is_inner(before as usize) {
                        before = shape.places[before as usize].sibling;
                    }
                    self.stack.extend((before != NONE).then_some(before));
                }
            }
            let depth = shape.spans[at].1;
            let below = (at + 1..shape.spans.len()).take_while(|&c| shape.spans[c].1 > depth);
            let children = below.filter(|&c| shape.spans[c].1 == depth + 1 && is_inner(c));
            let last = children.max_by_key(|&child| (placer.end[child], child));
            self.stack.extend(last.map(|child| child as u32));
        }
        best.map(|(_, at, is_gap)| (at, is_gap))
    }
}

fn stretch(placer: &mut Placer, target: i64) {
    let total = placer.end[0].max(1);
    let wanted = target.clamp(total - total / STRETCH, total.saturating_add(total / STRETCH));
    let scale = |time: i64| {
        let scaled = i128::from(time) * i128::from(wanted) / i128::from(total);
        scaled.min(i128::from(i64::MAX) - 1) as i64
    };
    for (start, end) in placer.start.iter_mut().zip(&mut placer.end) {
        *start = scale(*start);
        *end = scale(*end).max(*start + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::Topology;
    use super::*;

    #[test]
    fn the_slow_part_takes_the_difference() {
        let spans = vec![(0, 0), (1, 1), (1, 1)];
        let topology = Topology::new(vec![spans], Vec::new());
        let shape = &topology.shapes[0];
        for (target, ends) in [(2000, [2000, 1890, 1990]), (5000, [5000, 4890, 4990])] {
            let mut placer = Placer::default();
            let offsets = |at: usize| [(0, 10), (10, 1000), (0, 100)][at];
            let references = [Reference::Sequence];
            placer.place(shape, &references, offsets, |_, _, latest, tail| latest + tail);
            assert_eq!(placer.end, [1120, 1010, 1110]);
            Mender::default().mend(&mut placer, shape, &references, target);
            for (end, expected) in placer.end.iter().zip(ends) {
                assert!((end - expected).abs() < 40, "{:?}", placer.end);
            }
        }
    }
}

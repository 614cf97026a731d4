//! How much of a trace's duration is left when a span's turn comes.
//!
//! Spans are drawn in preorder, so that all that a span waits for is known by then. What is left was
//! a feature of gap and tail in files written for version 2 of the rules of generation, and is only
//! for them. Trees are not offered it any more: what made up for what others had drawn was never
//! seen in the window, and it cost up to a twenty-fifth of the bytes.

use super::coordinates::Reference;
use super::topology::{NONE, Shape};

/// Where the spans of a window stand while they are drawn, relative to the start of their trace.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    start: Vec<i64>,
    latest: Vec<i64>,
    last_end: Vec<i64>,
    /// Whether the root's end does not wait for a span.
    is_async: Vec<bool>,
}

/// A trace under way: its shape, its first span, and what its gaps are measured from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) begin: usize,
    pub(crate) references: &'a [Reference],
    /// Tails of all spans of the window.
    pub(crate) tails: &'a [i64],
}

/// Less than one in this many of a trace's duration is as good as nothing: what was drawn before is off
/// by that much, and a span that goes by the difference would go by chance.
const SHARE: i64 = 8;

/// What is left of `all` in eighths of octaves, 0 for next to nothing.
pub(crate) fn left_code(left: i64, all: i64) -> u16 {
    if left.saturating_mul(SHARE) < all {
        return 0;
    }
    match u64::try_from(left) {
        Ok(left) if left > 0 => {
            let octave = left.ilog2();
            let eighth = (u128::from(left) << 3 >> octave) as u16 & 7;
            1 + octave as u16 * 8 + eighth
        }
        _ => 0,
    }
}

impl Clock {
    pub(crate) fn new(n_spans: usize) -> Self {
        let zeros = || vec![0; n_spans];
        let is_async = vec![false; n_spans];
        Self { start: zeros(), latest: zeros(), last_end: zeros(), is_async }
    }

    /// Where the gap of the span at a position begins. Positions of a trace come in order, each
    /// after the one before was entered; `finish` is that of [`super::coordinates::Placer::place`].
    pub(crate) fn reach(
        &mut self,
        course: &Course<'_>,
        at: usize,
        finish: impl Fn(usize, i64, i64, i64) -> i64,
    ) -> i64 {
        let place = course.shape.places[at];
        if place.parent == NONE {
            return 0;
        }
        let parent = place.parent as usize;
        let mut open = at - 1;
        while open != parent {
            let span = course.begin + open;
            let end = finish(open, self.start[span], self.latest[span], course.tails[span]);
            let end = end.max(self.start[span].saturating_add(1));
            let place = course.shape.places[open];
            open = place.parent as usize;
            if course.references[place.edge as usize] != Reference::Async {
                let above = course.begin + open;
                self.last_end[above] = end;
                self.latest[above] = self.latest[above].max(end);
            }
        }
        let parent = course.begin + parent;
        let reference = course.references[place.edge as usize];
        self.is_async[course.begin + at] = self.is_async[parent] || reference == Reference::Async;
        match reference {
            Reference::Sequence => self.last_end[parent],
            // The end of a parent is not known yet.
            Reference::Parallel | Reference::Async => self.start[parent],
        }
    }

    /// The code of what is left of `target` for a span that was reached.
    pub(crate) fn left(&self, span: usize, target: i64, from: i64) -> u16 {
        if self.is_async[span] { 0 } else { left_code(target.saturating_sub(from), target) }
    }

    /// Starts the span at a position, as [`super::coordinates::Placer`] does; returns where.
    pub(crate) fn enter(&mut self, course: &Course<'_>, at: usize, gap: i64) -> i64 {
        let place = course.shape.places[at];
        let mut start = 0;
        if place.parent != NONE {
            let parent = course.begin + place.parent as usize;
            let from = match course.references[place.edge as usize] {
                Reference::Parallel => self.start[parent],
                Reference::Sequence => self.last_end[parent],
                Reference::Async => self.latest[parent].saturating_add(course.tails[parent]),
            };
            let earliest = match place.sibling {
                NONE => self.start[parent],
                sibling => self.start[course.begin + sibling as usize].saturating_add(1),
            };
            start = from.saturating_add(gap).max(earliest);
        }
        let span = course.begin + at;
        (self.start[span], self.latest[span], self.last_end[span]) = (start, start, start);
        start
    }
}

//! Walks over the parents of a closed trace without recursion and without allocation in steady
//! state: who stands at the top, and children before parents.
//!
//! Parents come by position and are not trusted: positions outside the trace count as none, and a
//! cycle is cut where the walk meets itself.

use spanwise_model::ClosedSpan;

/// Scratch memory of the walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    /// Position of the parent, or `NONE`.
    parents: Vec<u32>,
    /// Position of the outermost ancestor, the span itself if it has none.
    tops: Vec<u32>,
    depths: Vec<u32>,
    /// Positions, the shallowest first.
    order: Vec<u32>,
    /// Where in `order` the spans of a depth begin.
    begins: Vec<u32>,
    path: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Family {
    /// Walks a trace; the results stay until the next call. Time is linear in the spans.
    pub(crate) fn walk(&mut self, spans: &[ClosedSpan]) {
        self.parents.clear();
        let in_trace =
            |parent: i32| u32::try_from(parent).ok().filter(|&p| (p as usize) < spans.len());
        self.parents.extend(spans.iter().map(|span| in_trace(span.parent).unwrap_or(NONE)));
        self.tops.clear();
        self.tops.resize(spans.len(), NONE);
        self.depths.clear();
        self.depths.resize(spans.len(), 0);
        for span in 0..spans.len() as u32 {
            self.climb(span);
        }
        self.sort();
    }

    /// Sorts positions by depth, by counting.
    fn sort(&mut self) {
        let n_depths = self.depths.iter().max().map_or(0, |&depth| depth as usize + 1);
        self.begins.clear();
        self.begins.resize(n_depths + 1, 0);
        for &depth in &self.depths {
            self.begins[depth as usize + 1] += 1;
        }
        for depth in 0..n_depths {
            self.begins[depth + 1] += self.begins[depth];
        }
        self.order.clear();
        self.order.resize(self.depths.len(), 0);
        for (span, &depth) in (0_u32..).zip(&self.depths) {
            let place = &mut self.begins[depth as usize];
            self.order[*place as usize] = span;
            *place += 1;
        }
    }

    /// Position of the outermost ancestor of a span.
    pub(crate) fn top(&self, span: usize) -> usize {
        self.tops[span] as usize
    }

    /// (span, its parent), every span that has a parent after all its own children.
    pub(crate) fn upwards(&self) -> impl Iterator<Item = (usize, usize)> {
        let parent = |&span: &u32| self.parents[span as usize];
        let has_parent = move |span: &&u32| parent(span) != NONE;
        self.order
            .iter()
            .rev()
            .filter(has_parent)
            .map(move |span| (*span as usize, parent(span) as usize))
    }

    /// Finds top and depth of a span and of all its ancestors.
    fn climb(&mut self, span: u32) {
        /// Marks spans on the path being climbed.
        const ON_PATH: u32 = u32::MAX - 1;
        self.path.clear();
        let mut here = span;
        while self.tops[here as usize] == NONE {
            self.tops[here as usize] = ON_PATH;
            self.path.push(here);
            let parent = self.parents[here as usize];
            if parent == NONE {
                break;
            }
            if self.tops[parent as usize] == ON_PATH {
                self.parents[here as usize] = NONE;
                break;
            }
            here = parent;
        }
        while let Some(span) = self.path.pop() {
            let parent = self.parents[span as usize];
            let (top, depth) = match parent {
                NONE => (span, 0),
                _ => (self.tops[parent as usize], self.depths[parent as usize] + 1),
            };
            self.tops[span as usize] = top;
            self.depths[span as usize] = depth;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use spanwise_model::Batch;

    use super::*;

    fn spans(parents: &[i32]) -> Vec<ClosedSpan> {
        let batch = Arc::new(Batch::default());
        let span = |&parent: &i32| ClosedSpan {
            batch: Arc::clone(&batch),
            span_idx: 0,
            parent,
            self_ns: 0,
            own_ns: 0,
            gap_ns: None,
            kept_early: false,
        };
        parents.iter().map(span).collect()
    }

    fn check(parents: &[i32], tops: &[usize], upwards: &[(usize, usize)]) {
        let spans = spans(parents);
        let mut family = Family::default();
        family.walk(&spans);
        let found: Vec<_> = (0..spans.len()).map(|i| family.top(i)).collect();
        assert_eq!(found, tops, "{parents:?}");
        assert_eq!(family.upwards().collect::<Vec<_>>(), upwards, "{parents:?}");
    }

    #[test]
    fn children_come_before_their_parents() {
        check(&[], &[], &[]);
        check(&[-1], &[0], &[]);
        check(&[1, 2, -1, 2], &[2, 2, 2, 2], &[(0, 1), (3, 2), (1, 2)]);
        check(&[-1, -1, 1], &[0, 1, 1], &[(2, 1)]);
    }

    #[test]
    fn parents_that_cannot_be_are_none() {
        check(&[7, -9], &[0, 1], &[]);
        check(&[0], &[0], &[]);
        check(&[1, 0], &[1, 1], &[(0, 1)]);
        check(&[1, 2, 0, 0], &[2, 2, 2, 2], &[(3, 0), (0, 1), (1, 2)]);
    }

    proptest! {
        #[test]
        fn any_parents_give_an_order_with_every_child_before_its_parent(
            parents in proptest::collection::vec(-3_i32..40, 0..40),
        ) {
            let mut family = Family::default();
            family.walk(&spans(&parents));
            let mut is_done = vec![false; parents.len()];
            for (child, parent) in family.upwards() {
                prop_assert_eq!(usize::try_from(parents[child])?, parent);
                prop_assert!(!is_done[child] && !is_done[parent]);
                prop_assert_eq!(family.top(child), family.top(parent));
                is_done[child] = true;
            }
            // Who has no parent in the order is the top of its tree.
            for span in (0..parents.len()).filter(|&span| !is_done[span]) {
                prop_assert_eq!(family.top(span), span);
            }
        }
    }
}

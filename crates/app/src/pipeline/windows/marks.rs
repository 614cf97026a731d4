//! Which traces of a window are kept as they are.

use rustc_hash::{FxHashMap, FxHashSet};
use spanwise_model::TraceId;

/// Marked traces of the open window. As many as the window has traces at most.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marked: FxHashMap<TraceId, Mark>,
    /// Those chosen in the window before: what still comes of them belongs to them.
    before: FxHashSet<TraceId>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Share of traces at least as unusual: less is more so.
    tail: f64,
    n_bytes: u64,
}

impl Marks {
    /// A trace, or a part of one, with its tail if it is marked.
    pub(super) fn see(&mut self, id: TraceId, tail: Option<f64>, n_bytes: u64) {
        let tail = if self.before.contains(&id) { Some(0.0) } else { tail };
        if let Some(mark) = self.marked.get_mut(&id) {
            mark.n_bytes += n_bytes;
            mark.tail = tail.map_or(mark.tail, |tail| mark.tail.min(tail));
        } else if let Some(tail) = tail {
            self.marked.insert(id, Mark { tail, n_bytes });
        }
    }

    /// Marked traces so far.
    pub(super) fn len(&self) -> usize {
        self.marked.len()
    }

    /// The most unusual ones that fit into `n_bytes` together, sorted by id; begins anew.
    pub(super) fn choose(&mut self, n_bytes: u64) -> Vec<TraceId> {
        let mut marked: Vec<(TraceId, Mark)> = self.marked.drain().collect();
        // Ties by id: the order of a map is no order.
        marked.sort_unstable_by(|(a, mark_a), (b, mark_b)| {
            mark_a.tail.total_cmp(&mark_b.tail).then(a.cmp(b))
        });
        let mut left = n_bytes;
        let mut chosen = Vec::new();
        for (id, mark) in marked {
            if let Some(after) = left.checked_sub(mark.n_bytes) {
                left = after;
                chosen.push(id);
            }
        }
        chosen.sort_unstable();
        self.before = chosen.iter().copied().collect();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> TraceId {
        TraceId([n; 16])
    }

    #[test]
    fn the_most_unusual_that_fit_are_chosen() {
        let mut marks = Marks::default();
        for (n, tail) in [(1, Some(0.5)), (2, None), (3, Some(0.001)), (4, Some(1.0))] {
            marks.see(id(n), tail, 40);
        }
        assert_eq!(marks.len(), 3);
        assert_eq!(marks.choose(100), [id(1), id(3)]);
        assert_eq!((marks.len(), marks.choose(100)), (0, vec![]));
    }

    #[test]
    fn parts_count_together_and_what_comes_later_follows() {
        let mut marks = Marks::default();
        marks.see(id(1), Some(0.5), 40);
        marks.see(id(1), None, 40);
        marks.see(id(2), Some(0.6), 40);
        assert_eq!(marks.choose(79), [id(2)], "both parts of the other are too much");
        marks.see(id(2), None, 40);
        marks.see(id(3), Some(0.0), 40);
        assert_eq!(marks.choose(40), [id(2)]);
    }
}

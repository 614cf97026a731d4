//! Shapes, error patterns, and what follows from them for each span.
//!
//! A shape is the preorder sequence of (node, depth); a label is a shape with the positions of its
//! error spans. Everything a conditional may ask about structure is derived here, from either side,
//! and costs no bytes.

use rustc_hash::FxHashMap;

/// No such position.
pub(crate) const NONE: u32 = u32::MAX;
/// Earlier siblings of the same node are counted up to this.
const SLOT_MAX: u16 = 7;

/// The structure of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Node and depth of each span.
    pub(crate) spans: Vec<(u32, u16)>,
    /// Derived for each span: see [`Place`].
    pub(crate) places: Vec<Place>,
}

/// Where a span stands in its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position of the parent.
    pub(crate) parent: u32,
    /// Position of the previous child of the parent.
    pub(crate) sibling: u32,
    /// Position of the previous span of the same node.
    pub(crate) same: u32,
    /// Earlier children of the parent with the same node, at most 7.
    pub(crate) slot: u16,
    /// Number of (node, nodes of its children) among all shapes.
    pub(crate) production: u32,
    /// Number of (node of the parent, node) among all shapes, or [`NONE`] for the root.
    pub(crate) edge: u32,
}

/// A shape with errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) shape: u32,
    /// Positions of the error spans, ascending, at least one.
    pub(crate) positions: Vec<u32>,
    /// Derived for each span: see [`Marks`].
    pub(crate) marks: Vec<Marks>,
}

/// What errors mean for one span.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) error: bool,
    pub(crate) child_error: bool,
    pub(crate) parent_error: bool,
    pub(crate) root_error: bool,
    /// Errors among earlier siblings, at most 2.
    pub(crate) siblings: u16,
}

/// The dictionary of structures. A *label* below the number of shapes is that shape without errors,
/// one above it a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) n_productions: u32,
    /// (Node of the parent, node) of each edge.
    pub(crate) edges: Vec<(u32, u32)>,
}

impl Topology {
    /// Derives places and marks; shapes are trees in preorder, positions inside their shape.
    pub(crate) fn new(shapes: Vec<Vec<(u32, u16)>>, failures: Vec<(u32, Vec<u32>)>) -> Self {
        let mut numbers = Numbers::default();
        let shapes: Vec<Shape> =
            shapes.into_iter().map(|spans| shape(spans, &mut numbers)).collect();
        let failures = failures
            .into_iter()
            .map(|(shape, positions)| {
                let marks = marks(&shapes[shape as usize], &positions);
                Failure { shape, positions, marks }
            })
            .collect();
        let n_productions = numbers.productions.len() as u32;
        Self { shapes, failures, n_productions, edges: numbers.edges }
    }

    /// The shape of a label.
    pub(crate) fn shape_of(&self, label: u32) -> u32 {
        match label.checked_sub(self.shapes.len() as u32) {
            None => label,
            Some(failure) => self.failures[failure as usize].shape,
        }
    }

    pub(crate) fn spans(&self, label: u32) -> &Shape {
        &self.shapes[self.shape_of(label) as usize]
    }

    /// What errors mean for a span of a label.
    pub(crate) fn marks(&self, label: u32, position: usize) -> Marks {
        match (label as usize).checked_sub(self.shapes.len()) {
            None => Marks::default(),
            Some(failure) => self.failures[failure].marks[position],
        }
    }

    pub(crate) fn is_failure(&self, label: u32) -> bool {
        label as usize >= self.shapes.len()
    }

    pub(crate) fn n_labels(&self) -> usize {
        self.shapes.len() + self.failures.len()
    }
}

impl Shape {
    /// The node of the second span, or of the first if there is only one.
    pub(crate) fn entry(&self) -> u32 {
        self.spans.get(1).or(self.spans.first()).map_or(0, |span| span.0)
    }
}

/// Numbers given out while shapes are read.
#[derive(Default)]
struct Numbers {
    productions: FxHashMap<Vec<u32>, u32>,
    edge_ids: FxHashMap<(u32, u32), u32>,
    edges: Vec<(u32, u32)>,
}

fn shape(spans: Vec<(u32, u16)>, numbers: &mut Numbers) -> Shape {
    let n = spans.len();
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut places = Vec::with_capacity(n);
    let mut path: Vec<u32> = Vec::new();
    let mut last_of_node = FxHashMap::default();
    for (at, &(node, depth)) in spans.iter().enumerate() {
        path.truncate(usize::from(depth));
        let parent = path.last().copied().unwrap_or(NONE);
        path.push(at as u32);
        let mut place =
            Place { parent, sibling: NONE, same: NONE, slot: 0, production: 0, edge: NONE };
        if let Some(siblings) = children.get_mut(parent as usize) {
            place.sibling = siblings.last().copied().unwrap_or(NONE);
            let alike = siblings.iter().filter(|&&sibling| spans[sibling as usize].0 == node);
            place.slot = (alike.count() as u16).min(SLOT_MAX);
            siblings.push(at as u32);
            let edge = (spans[parent as usize].0, node);
            let edges = &mut numbers.edges;
            place.edge = *numbers.edge_ids.entry(edge).or_insert_with(|| {
                edges.push(edge);
                edges.len() as u32 - 1
            });
        }
        place.same = last_of_node.insert(node, at as u32).unwrap_or(NONE);
        places.push(place);
    }
    for (at, place) in places.iter_mut().enumerate() {
        let mut key = vec![spans[at].0];
        key.extend(children[at].iter().map(|&child| spans[child as usize].0));
        let next = numbers.productions.len() as u32;
        place.production = *numbers.productions.entry(key).or_insert(next);
    }
    Shape { spans, places }
}

fn marks(shape: &Shape, positions: &[u32]) -> Vec<Marks> {
    let mut marks = vec![Marks::default(); shape.spans.len()];
    for &position in positions {
        marks[position as usize].error = true;
    }
    let mut errors_below = vec![0_u16; shape.spans.len()];
    for at in 0..shape.spans.len() {
        marks[at].root_error = marks[0].error;
        let parent = shape.places[at].parent as usize;
        if let Some(parent_marks) = marks.get(parent).copied() {
            marks[at].parent_error = parent_marks.error;
            marks[at].siblings = errors_below[parent].min(2);
            errors_below[parent] += u16::from(marks[at].error);
        }
    }
    for (mark, n) in marks.iter_mut().zip(errors_below) {
        mark.child_error = n > 0;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_from_preorder() {
        let spans = vec![(0, 0), (1, 1), (2, 2), (1, 1), (1, 1)];
        let topology = Topology::new(vec![spans], vec![(0, vec![1, 3])]);
        let places = &topology.shapes[0].places;
        let parents: Vec<u32> = places.iter().map(|place| place.parent).collect();
        assert_eq!(parents, [NONE, 0, 1, 0, 0]);
        assert_eq!((places[4].sibling, places[4].same, places[4].slot), (3, 3, 2));
        assert_eq!(topology.n_productions, 4);
        let marks = topology.marks(1, 4);
        assert_eq!((marks.siblings, marks.error, marks.parent_error), (2, false, false));
        assert!(topology.marks(1, 0).child_error && !topology.marks(0, 0).child_error);
    }
}

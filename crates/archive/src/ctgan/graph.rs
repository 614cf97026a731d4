//! Topologies as graphs: chains to fill, and what a graph convolution sees of them.
//!
//! Graphs of the paper are DAGs with any number of roots; shapes of an archive are trees, which are
//! the common case of it. A chain is a path of at most C nodes whose head is filled before it; each
//! edge lies in exactly one.

use crate::structured::Shape;

/// No parent.
const NONE: u32 = u32::MAX;

/// A directed acyclic graph whose nodes are numbered so that parents come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// Parents of each node, ascending; none for roots.
    parents: Vec<Vec<u32>>,
    children: Vec<Vec<u32>>,
}

/// A head that is filled and the nodes that are filled after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) head: u32,
    /// At least one, each a child of the one before.
    pub(crate) tails: Vec<u32>,
}

impl Graph {
    /// Of parents by node; each is smaller than its node.
    pub(crate) fn new(parents: Vec<Vec<u32>>) -> Self {
        let mut children = vec![Vec::new(); parents.len()];
        for (node, of_node) in parents.iter().enumerate() {
            for &parent in of_node {
                assert!((parent as usize) < node, "a parent comes after its child");
                children[parent as usize].push(node as u32);
            }
        }
        Self { parents, children }
    }

    /// Of a shape, which is a tree.
    pub(crate) fn of_shape(shape: &Shape) -> Self {
        let parent = |place: u32| if place == NONE { Vec::new() } else { vec![place] };
        Self::new(shape.places.iter().map(|place| parent(place.parent)).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    /// Nodes without parents.
    pub(crate) fn roots(&self) -> impl Iterator<Item = u32> {
        (0..self.len() as u32).filter(|&node| self.parents[node as usize].is_empty())
    }

    /// Chains of at most `length` nodes, in the order in which they are filled: heads are roots or
    /// filled by an earlier chain. A node that several chains reach is filled by each of them, the
    /// last one's metadata stay.
    pub(crate) fn chains(&self, length: usize) -> Vec<Chain> {
        let mut chains: Vec<Chain> = Vec::new();
        // Edges from a node that are taken, by place among its children.
        let mut taken: Vec<Vec<bool>> =
            self.children.iter().map(|c| vec![false; c.len()]).collect();
        for head in 0..self.len() as u32 {
            while let Some(first) = free(&mut taken[head as usize]) {
                let mut chain = Chain { head, tails: vec![self.children[head as usize][first]] };
                while chain.tails.len() + 1 < length {
                    let last = chain.tails[chain.tails.len() - 1] as usize;
                    let Some(next) = free(&mut taken[last]) else { break };
                    chain.tails.push(self.children[last][next]);
                }
                chains.push(chain);
            }
        }
        chains
    }

    /// Neighbours of a node in both directions.
    fn neighbours(&self, node: usize) -> impl Iterator<Item = usize> {
        let both = self.parents[node].iter().chain(&self.children[node]);
        both.map(|&neighbour| neighbour as usize)
    }

    /// Neighbours and the node itself.
    fn degree(&self, node: usize) -> f32 {
        (self.parents[node].len() + self.children[node].len() + 1) as f32
    }

    /// The weight of each node in the embedding of one node by a graph convolution, X' = D^-1/2 (A + I)
    /// D^-1/2 X W + b over edges in both directions. Linear in X: these weights times the features of
    /// the nodes are all that the layer needs to see.
    pub(crate) fn embedding(&self, node: u32) -> impl Iterator<Item = (u32, f32)> {
        let node = node as usize;
        let own = (node as u32, 1.0 / self.degree(node));
        let cross = move |other: usize| {
            (other as u32, 1.0 / (self.degree(node) * self.degree(other)).sqrt())
        };
        std::iter::once(own).chain(self.neighbours(node).map(cross))
    }

    /// The weight of each node in the mean of all embeddings.
    pub(crate) fn mean_embedding(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        for node in 0..self.len() as u32 {
            for (other, weight) in self.embedding(node) {
                weights[other as usize] += weight / self.len() as f32;
            }
        }
        weights
    }
}

/// Takes the first edge that is free.
fn free(taken: &mut [bool]) -> Option<usize> {
    let first = taken.iter().position(|taken| !taken)?;
    taken[first] = true;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(graph: &Graph, length: usize) -> Vec<Vec<u32>> {
        let nodes = |chain: Chain| [vec![chain.head], chain.tails].concat();
        graph.chains(length).into_iter().map(nodes).collect()
    }

    fn tree() -> Graph {
        Graph::new(vec![vec![], vec![0], vec![1], vec![2], vec![1], vec![0]])
    }

    #[test]
    fn chains_of_two_are_the_edges_of_a_tree() {
        let expected = [[0, 1], [0, 5], [1, 2], [1, 4], [2, 3]];
        assert_eq!(chains(&tree(), 2), expected);
    }

    #[test]
    fn longer_chains_cover_each_edge_once_and_start_where_it_is_filled() {
        assert_eq!(chains(&tree(), 3), [vec![0, 1, 2], vec![0, 5], vec![1, 4], vec![2, 3]]);
        for length in 2..6 {
            let mut filled = [true, false, false, false, false, false];
            let mut edges = Vec::new();
            for chain in chains(&tree(), length) {
                assert!(filled[chain[0] as usize] && chain.len() <= length);
                edges.extend(chain.windows(2).map(|edge| (edge[0], edge[1])));
                for &node in &chain {
                    filled[node as usize] = true;
                }
            }
            edges.sort_unstable();
            assert_eq!(edges, [(0, 1), (0, 5), (1, 2), (1, 4), (2, 3)]);
        }
    }

    #[test]
    fn several_roots_and_merging_chains_fill_every_node() {
        let graph = Graph::new(vec![vec![], vec![], vec![0, 1], vec![2]]);
        assert_eq!(graph.roots().collect::<Vec<_>>(), [0, 1]);
        // Node 2 is filled from 0 and again from 1: the latest metadata win.
        assert_eq!(chains(&graph, 2), [[0, 2], [1, 2], [2, 3]]);
        assert_eq!(chains(&graph, 3), [vec![0, 2, 3], vec![1, 2]]);
    }

    #[test]
    fn the_convolution_is_that_of_the_definition() {
        // Two nodes: A + I is all ones, D is 2, so that every weight is 1/2.
        let pair = Graph::new(vec![vec![], vec![0]]);
        assert_eq!(pair.mean_embedding(), [0.5, 0.5]);
        assert_eq!(pair.embedding(1).collect::<Vec<_>>(), [(1, 0.5), (0, 0.5)]);
        // A star: the root has degree 3 with itself, leaves 2.
        let star = Graph::new(vec![vec![], vec![0], vec![0]]);
        let cross = 1.0 / 6.0_f32.sqrt();
        assert_eq!(star.embedding(2).collect::<Vec<_>>(), [(2, 0.5), (0, cross)]);
        let (root, leaf) = ((1.0 / 3.0 + 2.0 * cross) / 3.0, (0.5 + cross) / 3.0);
        for (own, expected) in star.mean_embedding().iter().zip([root, leaf, leaf]) {
            assert!((own - expected).abs() < 1e-6, "{own} {expected}");
        }
    }
}

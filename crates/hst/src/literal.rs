//! The slow, obvious reference: every observation walks every tree.
//!
//! It knows nothing of intervals, prefix sums or tables; it has the cuts, two masses a node, and
//! loops. Tests hold the step function against it bit by bit, and benchmarks time it as the rival.

use std::sync::Arc;

use crate::score::{SIZE_LIMIT, ScoreKind};
use crate::skeleton::Skeleton;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    latest: u32,
    reference: u32,
}

/// Half-space trees over bins, walked node by node.
#[derive(Clone, Debug)]
pub struct LiteralForest {
    skeleton: Arc<Skeleton>,
    kind: ScoreKind,
    window: u32,
    window_max: u32,
    n_latest: u32,
    n_reference: u32,
    /// Per tree 2^(h+1) - 1 nodes in level order.
    nodes: Vec<Node>,
}

impl LiteralForest {
    /// A forest that flips after `window_first` observations, then after twice as many, and so on
    /// up to every `window_max`. Equal values give windows of one length.
    pub fn new(
        skeleton: &Arc<Skeleton>,
        kind: ScoreKind,
        window_first: u32,
        window_max: u32,
    ) -> Self {
        let n_nodes = skeleton.n_trees() * ((2 << skeleton.height()) - 1);
        Self {
            skeleton: Arc::clone(skeleton),
            kind,
            window: window_first.max(1),
            window_max: window_max.max(1),
            n_latest: 0,
            n_reference: 0,
            nodes: vec![Node::default(); n_nodes],
        }
    }

    /// The score of `bin` against the reference window.
    pub fn score(&self, bin: usize) -> f64 {
        let height = self.skeleton.height();
        let limit = SIZE_LIMIT * f64::from(self.n_reference);
        let mut sum = 0;
        for (cuts, nodes) in self.trees() {
            let mut node = 0;
            for depth in 0..=height {
                let r = nodes[node].reference;
                let ends = depth == height || f64::from(r) < limit;
                match self.kind {
                    ScoreKind::Tan if ends => sum += u64::from(r) << depth,
                    ScoreKind::River => sum += u64::from(r) << depth,
                    ScoreKind::Scale if ends => sum += depth as u64,
                    ScoreKind::Tan | ScoreKind::Scale => {}
                }
                if ends {
                    break;
                }
                node = child(cuts, node, bin);
            }
        }
        let n_reference = f64::from(self.n_reference);
        self.kind.of_sum(sum as f64, self.skeleton.n_trees(), height, n_reference)
    }

    /// Counts `bin` in every node on its path; flips when the window is full.
    pub fn learn(&mut self, bin: usize) {
        let height = self.skeleton.height();
        let (n_cuts, n_nodes) = ((1 << height) - 1, (2 << height) - 1);
        let trees = self.skeleton.cuts().chunks_exact(n_cuts);
        for (cuts, nodes) in trees.zip(self.nodes.chunks_exact_mut(n_nodes)) {
            let mut node = 0;
            nodes[node].latest += 1;
            for _ in 0..height {
                node = child(cuts, node, bin);
                nodes[node].latest += 1;
            }
        }
        self.n_latest += 1;
        if self.n_latest >= self.window {
            self.flip();
        }
    }

    fn flip(&mut self) {
        for node in &mut self.nodes {
            *node = Node { latest: 0, reference: node.latest };
        }
        self.n_reference = self.n_latest;
        self.n_latest = 0;
        self.window = self.window.saturating_mul(2).min(self.window_max);
    }

    fn trees(&self) -> impl Iterator<Item = (&[u16], &[Node])> {
        let height = self.skeleton.height();
        let cuts = self.skeleton.cuts().chunks_exact((1 << height) - 1);
        cuts.zip(self.nodes.chunks_exact((2 << height) - 1))
    }
}

fn child(cuts: &[u16], node: usize, bin: usize) -> usize {
    2 * node + if bin < usize::from(cuts[node]) { 1 } else { 2 }
}

//! Weighted sampling of execution graphs (Las-Casas et al., `SoCC` 2018), the published rival of
//! `SampleHST`, **reconstructed** from its description.
//!
//! Kept of the description: a trace is its execution graph, as counts of who calls whom; graphs are
//! clustered online in a hierarchy; a sample is drawn by going down from the root, every branch as
//! likely as the other, so that graphs unlike most others are drawn more often than they come.
//! Ours: counts become 32 dense features by hashing; a graph goes down to the nearer child and joins
//! the leaf it finds there, or parts from it; no rotations; at most 256 leaves; probabilities are
//! scaled to the budget by filling quotas. Durations and errors play no part in it.

use spanwise_model::ClosedTrace;

use super::quotas::{Stratum, probabilities_of_weights};
use super::verdict::Claim;
use super::words::scattered;
use crate::bits::log2;

const N_FEATURES: usize = 32;
const N_LEAVES_MAX: usize = 256;
/// A graph joins a leaf within this share of its own length.
const SAME: f32 = 0.05;
/// A centre moves by 1/n of the distance, as long as n is below this.
const INERTIA_MAX: f64 = 1000.0;
/// What is left of a weight one trace later: half of it 5,000 traces later.
const KEPT: f64 = 0.999_861_4;
const UNIT_MAX: f64 = 1e60;
/// Traces between two looks at the quotas.
const QUOTAS_EVERY: u32 = 32;

type Point = [f32; N_FEATURES];

#[derive(Clone, Copy, Debug)]
struct Node {
    centre: Point,
    n: f64,
    weight: f64,
    /// Positions of both; `None` for a leaf.
    children: Option<(u32, u32)>,
    probability: f64,
}

/// The hierarchy.
#[derive(Clone, Debug, Default)]
pub(super) struct LasCasas {
    nodes: Vec<Node>,
    n_leaves: usize,
    total: f64,
    unit: f64,
    until_quotas: u32,
    point: Option<Point>,
}

impl LasCasas {
    pub(super) fn new() -> Self {
        Self { unit: 1.0, ..Self::default() }
    }

    /// The probability of a keep.
    pub(super) fn judge(&mut self, trace: &ClosedTrace, budget: f64) -> (f64, Claim) {
        let point = features(trace);
        self.point = Some(point);
        self.until_quotas = self.until_quotas.saturating_sub(1);
        if self.until_quotas == 0 {
            self.until_quotas = QUOTAS_EVERY;
            self.fill_quotas(budget);
        }
        let Some(leaf) = self.leaf(&point).filter(|&leaf| self.fits(leaf, &point)) else {
            return (1.0, Claim::NONE);
        };
        let claim = Claim { bits: 0.0, source: u64::from(leaf), ..Claim::NONE };
        (self.nodes[leaf as usize].probability, claim)
    }

    /// Learns the trace that was judged last.
    pub(super) fn learn(&mut self) {
        let Some(point) = self.point.take() else { return };
        self.unit /= KEPT;
        self.total += self.unit;
        let leaf = match self.leaf(&point) {
            None => self.push(point),
            Some(leaf) if self.fits(leaf, &point) || self.n_leaves >= N_LEAVES_MAX => leaf,
            Some(leaf) => self.part(leaf, point),
        };
        self.nodes[leaf as usize].weight += self.unit;
        self.pull(&point);
        if self.unit > UNIT_MAX {
            for node in &mut self.nodes {
                node.weight /= self.unit;
            }
            (self.total, self.unit) = (self.total / self.unit, 1.0);
        }
    }

    /// The leaf that a point comes to, always to the nearer child.
    fn leaf(&self, point: &Point) -> Option<u32> {
        let mut here = 0;
        while let Some((left, right)) = self.nodes.get(here as usize)?.children {
            here = self.nearer(left, right, point);
        }
        Some(here)
    }

    fn nearer(&self, left: u32, right: u32, point: &Point) -> u32 {
        let distance = |node: u32| square(&self.nodes[node as usize].centre, point);
        if distance(left) <= distance(right) { left } else { right }
    }

    fn fits(&self, leaf: u32, point: &Point) -> bool {
        let length = point.iter().map(|x| x * x).sum::<f32>();
        square(&self.nodes[leaf as usize].centre, point) <= SAME * SAME * length
    }

    fn push(&mut self, centre: Point) -> u32 {
        self.n_leaves += 1;
        self.nodes.push(Node { centre, n: 0.0, weight: 0.0, children: None, probability: 1.0 });
        self.nodes.len() as u32 - 1
    }

    /// Makes a leaf the parent of what it was and of a new leaf; returns the new one.
    fn part(&mut self, leaf: u32, point: Point) -> u32 {
        let new = self.push(point);
        let old = self.nodes.len() as u32;
        self.nodes.push(self.nodes[leaf as usize]);
        self.nodes[leaf as usize].children = Some((old, new));
        new
    }

    /// Moves every centre from the root to the leaf of a point towards it.
    fn pull(&mut self, point: &Point) {
        let mut here = 0;
        loop {
            let node = &mut self.nodes[here as usize];
            node.n = (node.n + 1.0).min(INERTIA_MAX);
            let step = 1.0 / node.n as f32;
            for (centre, x) in node.centre.iter_mut().zip(point) {
                *centre += step * (x - *centre);
            }
            let Some((left, right)) = node.children else { break };
            here = self.nearer(left, right, point);
        }
    }

    /// Every branch is as likely as the other: 2^-depth for each leaf, scaled to the budget.
    fn fill_quotas(&mut self, budget: f64) {
        let mut leaves: Vec<(u32, f64)> = Vec::new();
        let mut waiting = vec![(0_u32, 1.0_f64)];
        while let Some((node, likely)) = waiting.pop() {
            match self.nodes.get(node as usize).map(|node| node.children) {
                Some(Some((left, right))) => {
                    waiting.extend([(left, likely / 2.0), (right, likely / 2.0)]);
                }
                Some(None) => leaves.push((node, likely)),
                None => {}
            }
        }
        let total = self.total.max(f64::MIN_POSITIVE);
        let share = |leaf: u32| self.nodes[leaf as usize].weight / total;
        let strata: Vec<Stratum> = leaves
            .iter()
            .map(|&(leaf, likely)| Stratum { level: likely, share: share(leaf), is_rare: false })
            .collect();
        let probabilities = probabilities_of_weights(&strata, budget);
        for ((leaf, _), p) in leaves.into_iter().zip(probabilities) {
            self.nodes[leaf as usize].probability = p;
        }
    }
}

/// Counts of calls, spread over dense features by hashing, on a logarithmic scale.
fn features(trace: &ClosedTrace) -> Point {
    let mut point = [0.0; N_FEATURES];
    for span in &trace.spans {
        let site = u64::from(span.head().site.0);
        let parent = trace.spans.get(span.parent as usize);
        let caller = parent.map_or(u64::MAX, |parent| u64::from(parent.head().site.0));
        point[(scattered(caller << 32 ^ site) >> 32) as usize % N_FEATURES] += 1.0;
    }
    point.map(|count: f32| log2(1.0 + count))
}

fn square(a: &Point, b: &Point) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

//! `SampleHST` (Gias et al., NOMS 2023), reconstructed.
//!
//! The first page of the paper is what is published to everybody. It fixes: a count-based bag of
//! words per trace; a forest of half-space trees over it; the *distribution* of mass values across
//! the trees characterises a trace; online clustering of these distributions by a variant of mean
//! shift; a trace is kept by its cluster, rather if the cluster's mass is low; a budget below the
//! share of anomalies goes to anomalies alone, one above it to all with a bias to them.
//!
//! **Reconstructed**, and ours: which words there are and how they become few dense features (a
//! path of 8 splits sees 8 features, so of a bag of hundreds of words a new one would go unseen; here
//! a feature is the rarest word of its bucket by document frequency, counts being part of the words);
//! one feature for the slowest span, without which no latency is seen at all; trees, height and windows; the percentiles 10, 30, 50, 70, 90 of the logarithm of mass; bandwidth,
//! merging and fading; which clusters are rare, and how quotas are filled ([`super::quotas`]).

use spanwise_hst::{Construction, Forest, ForestConfig, Limits, ScoreKind};
use spanwise_model::{CallSiteId, ClosedTrace};

use super::clusters::{Clusters, Near, Point};
use super::quotas::{Stratum, probabilities};
use super::signals;
use super::verdict::Claim;
use super::words::{Found, Words};
use crate::bits::log2;
use crate::error::Error;
use crate::evidence::CloseScores;
use crate::snapshot::code::{Reader, Writer};

/// Features that words are spread over, and the one that the latency word has.
const N_BUCKETS: usize = 2;
const N_FEATURES: usize = N_BUCKETS + 1;
/// Range of a feature in bits.
const BITS: f64 = 16.0;
const N_TREES: usize = 32;
const HEIGHT: usize = 8;
/// First and last length of a window in traces; each is twice as long as the one before.
const WINDOWS: (u32, u32) = (256, 4096);
/// In bits of mass.
const BANDWIDTH: f32 = 1.0;
/// Clusters whose level is so far below the mean are rare, in bits of mass.
const RARE_BELOW: f64 = 1.0;
/// Evidence in bits from which on a span is slow at all. A forest splits a feature in proportion to
/// its range: this one's is twice that of a bucket.
const SLOW_FROM: f32 = -8.0;
const SLOW_BITS: f64 = 2.0 * BITS;
/// Traces between two looks at the quotas.
const QUOTAS_EVERY: u32 = 32;

/// What a cluster may have.
#[derive(Clone, Copy, Debug)]
struct Quota {
    id: u32,
    probability: f64,
    is_rare: bool,
}

/// Forest and clusters.
#[derive(Clone, Debug)]
pub(super) struct SampleHst {
    forest: Forest,
    window: u32,
    masses: Vec<f64>,
    clusters: Clusters,
    quotas: Vec<Quota>,
    until_quotas: u32,
    /// What the trace at hand is.
    features: [f64; N_FEATURES],
    /// Its distribution, and the nearest cluster.
    point: Option<(Point, Option<Near>)>,
    /// Levels below this are rare.
    rare_level: f64,
}

impl SampleHst {
    pub(super) fn new(seed: u64) -> Result<Self, Error> {
        let config = ForestConfig {
            n_trees: N_TREES,
            height: HEIGHT,
            window: WINDOWS.1,
            seed,
            construction: Construction::River,
            score: ScoreKind::Tan,
        };
        let mut limits = [Limits { low: 0.0, high: BITS }; N_FEATURES];
        limits[N_BUCKETS].high = SLOW_BITS;
        Ok(Self {
            forest: Forest::new(config, &limits)?,
            window: WINDOWS.0,
            masses: vec![0.0; N_TREES],
            clusters: Clusters::new(BANDWIDTH),
            quotas: Vec::new(),
            until_quotas: 0,
            features: [0.0; N_FEATURES],
            point: None,
            rare_level: f64::NEG_INFINITY,
        })
    }

    /// Writes forest and clusters.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.window);
        self.clusters.write(writer);
        let mut forest = Vec::new();
        self.forest.snapshot(&mut forest);
        writer.u32(forest.len() as u32);
        writer.out.extend_from_slice(&forest);
    }

    /// The reverse of [`SampleHst::write`], for a sampler with this seed.
    pub(super) fn read(reader: &mut Reader<'_>, seed: u64) -> Result<Self, Error> {
        let fresh = Self::new(seed)?;
        let window = reader.u32()?;
        if !(WINDOWS.0..=WINDOWS.1).contains(&window) {
            return Err(reader.corrupt("a window is as long as none can be"));
        }
        let clusters = Clusters::read(reader, BANDWIDTH)?;
        let len = reader.u32()?;
        let forest = Forest::restore(reader.bytes(len as usize)?)?;
        if forest.config() != fresh.forest.config() || forest.n_features() != N_FEATURES {
            return Err(Error::Mismatch { what: "seed or forest" });
        }
        Ok(Self { forest, window, clusters, ..fresh })
    }

    /// The cluster of the trace whose words were read last and the probability of a keep. Until the
    /// forest knows anything it is the budget.
    pub(super) fn judge(
        &mut self,
        trace: &ClosedTrace,
        scores: &[CloseScores],
        words: &Words,
        budget: f64,
    ) -> (f64, Claim) {
        let site = self.read_features(trace, scores, words);
        self.point = None;
        let Some(point) = self.distribution() else { return (budget, Claim::NONE) };
        let near = self.clusters.nearest(&point);
        self.point = Some((point, near));
        self.until_quotas = self.until_quotas.saturating_sub(1);
        if self.until_quotas == 0 {
            self.until_quotas = QUOTAS_EVERY;
            self.fill_quotas(budget);
        }
        let level = point.iter().sum::<f32>() / point.len() as f32;
        let claim = |source| Claim { bits: -level, source, site };
        let id = near.map(|near| self.clusters.list()[near.idx].id);
        let known = id.and_then(|id| self.quotas.iter().find(|quota| quota.id == id));
        let is_alone = near.is_none_or(|near| !near.is_within) || known.is_none();
        let (probability, is_rare) = match known {
            // A cluster of its own, or a new one: nothing is rarer, unless its mass is usual.
            _ if is_alone && f64::from(level) < self.rare_level => (1.0, true),
            Some(quota) => (quota.probability, quota.is_rare),
            None => (budget, false),
        };
        let id = id.unwrap_or(u32::MAX);
        let claim = claim(u64::from(id));
        // Others have no claim to what is left at the end.
        let bits = if is_rare { claim.bits } else { f32::NEG_INFINITY };
        (probability, Claim { bits, ..claim })
    }

    /// Learns the trace that was judged last.
    pub(super) fn learn(&mut self) {
        if let Some((point, near)) = self.point.take() {
            self.clusters.learn(&point, near);
        }
        if self.forest.n_latest() >= self.window {
            self.forest.flip();
            self.window = (2 * self.window).min(WINDOWS.1);
        }
    }

    /// Turns the bag of words into features; returns the call site of the rarest word.
    fn read_features(
        &mut self,
        trace: &ClosedTrace,
        scores: &[CloseScores],
        words: &Words,
    ) -> CallSiteId {
        self.features = [0.0; N_FEATURES];
        let mut slowest = SLOW_FROM;
        if let Some(latency) = signals::latency(trace, scores) {
            slowest = slowest.max(latency.bits);
        }
        self.features[N_BUCKETS] = f64::from(2.0 * (slowest - SLOW_FROM)).clamp(0.0, SLOW_BITS);
        let mut rarest: [Option<&Found>; N_BUCKETS] = [None; N_BUCKETS];
        for found in words.bag() {
            let rarest = &mut rarest[(found.word.hash >> 32) as usize % N_BUCKETS];
            if rarest.is_none_or(|rarest| found.is_rarer(rarest)) {
                *rarest = Some(found);
            }
        }
        for (feature, rarest) in self.features.iter_mut().zip(rarest) {
            let bits = rarest.map_or(0.0, |rarest| words.bits(rarest));
            *feature = f64::from(bits).clamp(0.0, BITS);
        }
        let all = rarest.into_iter().flatten();
        let rarest = all.reduce(|a, b| if b.is_rarer(a) { b } else { a });
        rarest.map_or(CallSiteId::UNSET, |rarest| rarest.word.site)
    }

    /// Percentiles of the logarithm of mass over the trees; `None` before the first flip. Their walk is
    /// also the one that learns: it looks at the reference alone.
    fn distribution(&mut self) -> Option<Point> {
        let n = f64::from(self.forest.n_reference());
        // The features are finite and of the right number: the forest cannot refuse them.
        let is_known =
            self.forest.masses_then_learn(&self.features, &mut self.masses).unwrap_or(false);
        if !is_known {
            return None;
        }
        // Masses are not negative: their bits stand in the same order and compare faster.
        let mut sorted: [u64; N_TREES] = std::array::from_fn(|tree| self.masses[tree].to_bits());
        sorted.sort_unstable();
        // The reference's size drops out: a window twice as long has twice the mass.
        let at = |percent: usize| f64::from_bits(sorted[percent * (N_TREES - 1) / 100]);
        Some([10, 30, 50, 70, 90].map(|percent| {
            let mass = at(percent) * f64::from(WINDOWS.1) / n;
            log2((1.0 + mass) as f32)
        }))
    }

    fn fill_quotas(&mut self, budget: f64) {
        let list = self.clusters.list();
        let level = |point: &Point| f64::from(point.iter().sum::<f32>()) / point.len() as f64;
        let shares: Vec<f64> = list.iter().map(|cluster| self.clusters.share(cluster)).collect();
        let levels: Vec<f64> = list.iter().map(|cluster| level(&cluster.centre)).collect();
        let mean: f64 = levels.iter().zip(&shares).map(|(level, share)| level * share).sum();
        let rare_level = mean - RARE_BELOW;
        self.rare_level = rare_level;
        let stratum =
            |(&level, &share): (&f64, &f64)| Stratum { level, share, is_rare: level < rare_level };
        let strata: Vec<Stratum> = levels.iter().zip(&shares).map(stratum).collect();
        let p = probabilities(&strata, budget);
        self.quotas.clear();
        for ((cluster, stratum), probability) in list.iter().zip(&strata).zip(p) {
            self.quotas.push(Quota { id: cluster.id, probability, is_rare: stratum.is_rare });
        }
    }
}

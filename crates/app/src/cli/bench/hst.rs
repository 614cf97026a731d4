//! `bench hst`: score and learn of the one-feature forest over many call sites, next to the literal
//! walk through the same trees in the same run.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;
use spanwise_hst::{Grid, LiteralForest, ScoreKind, Skeleton, StepConfig, StepForest};

use super::HstArgs;
use crate::cli::output::Output;

/// Observations generated before the clock runs, then used again and again.
const N_GENERATED: usize = 1 << 20;
/// The literal walk is this much slower at least; it gets this much less work.
const LITERAL_SHARE: u64 = 40;

/// Result of `bench hst`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    ns_per_span: f64,
    literal_ns_per_span: f64,
    sites: usize,
    trees: usize,
    height: usize,
    window: u32,
}

/// One observation.
struct Observation {
    site: u32,
    duration_ns: u64,
}

/// Runs the benchmark.
pub fn run(args: &HstArgs, output: &Output) -> Result<()> {
    let skeleton = Arc::new(Skeleton::new(42, args.trees, args.height, Grid::N_BINS)?);
    let stream = stream(args.sites);
    let mut step = Vec::new();
    let mut literal = Vec::new();
    for _ in 0..args.sites {
        let config = StepConfig { window: args.window, ..StepConfig::default() };
        step.push(StepForest::new(&skeleton, config)?);
        literal.push(LiteralForest::new(
            &skeleton,
            ScoreKind::Tan,
            config.window_first,
            args.window,
        ));
    }
    let ns_per_span = time(&stream, args.spans, |site, bin| {
        let forest = &mut step[site];
        let score = forest.score(bin);
        forest.learn(bin);
        score
    });
    let literal_ns_per_span = time(&stream, args.spans / LITERAL_SHARE, |site, bin| {
        let forest = &mut literal[site];
        let score = forest.score(bin);
        forest.learn(bin);
        score
    });
    let report = Report {
        ns_per_span,
        literal_ns_per_span,
        sites: args.sites,
        trees: args.trees,
        height: args.height,
        window: args.window,
    };
    output.result(&report, |report| {
        let mut text = String::new();
        let _ = writeln!(text, "score + learn    {:8.1} ns/span", report.ns_per_span);
        let _ = writeln!(text, "literal walk     {:8.1} ns/span", report.literal_ns_per_span);
        let ratio = report.literal_ns_per_span / report.ns_per_span;
        let _ = writeln!(text, "ratio            {ratio:8.1}");
        text
    })
}

/// Log-normal durations around a median per site, sites drawn uniformly.
fn stream(sites: usize) -> Vec<Observation> {
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    let medians: Vec<f64> = (0..sites).map(|_| 0.3e6 * 2000_f64.powf(unit(&mut rng))).collect();
    let observation = |rng: &mut ChaCha8Rng| {
        let site = (rng.next_u64() % sites.max(1) as u64) as usize;
        // The sum of 12 uniform numbers is close enough to a normal one.
        let normal = (0..12).map(|_| unit(rng)).sum::<f64>() - 6.0;
        let duration_ns = (medians[site] * (0.4 * normal).exp()) as u64;
        Observation { site: site as u32, duration_ns }
    };
    (0..N_GENERATED).map(|_| observation(&mut rng)).collect()
}

fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Mean time of `step` over `n` observations, binning included, after one pass to warm up.
fn time(stream: &[Observation], n: u64, mut step: impl FnMut(usize, usize) -> f64) -> f64 {
    let mut sum = 0.0;
    let warm = (n / 4).min(stream.len() as u64) as usize;
    for observation in stream.iter().take(warm) {
        sum += step(observation.site as usize, Grid::bin_of(observation.duration_ns));
    }
    let started = Instant::now();
    for observation in stream.iter().cycle().take(n as usize) {
        sum += step(observation.site as usize, Grid::bin_of(observation.duration_ns));
    }
    let elapsed = started.elapsed();
    black_box(sum);
    elapsed.as_nanos() as f64 / n.max(1) as f64
}

//! A row of the result, in the names of `eval traces -o json`.

use rustc_hash::FxHashSet;
use serde::Serialize;
use spanwise_model::Timestamp;

use super::oracle::oracle;
use super::tally::{Counts, WINDOW_NS};
use super::truth::{Truth, faults};
use super::{Contender, Question};

/// One sampler under one budget. Not applicable = `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Who sampled.
    pub sampler: &'static str,
    /// Share of the traces that might be kept.
    pub budget: f64,
    /// Over what the bound held.
    pub bound: &'static str,
    /// One in so many anomalous traces was there.
    pub thin: u32,
    /// Traces judged.
    pub seen: u64,
    /// Traces kept.
    pub kept: u64,
    /// `kept / seen`.
    pub sampled_rate: f64,
    /// Largest `kept / seen` of the traces that ended within the same five minutes.
    pub max_window_rate: f64,
    /// Share of the kept traces that are anomalous.
    pub precision: Option<f64>,
    /// Share of the anomalous traces that are kept: recall.
    pub coverage: Option<f64>,
    /// Of those with time lost.
    pub coverage_slow: Option<f64>,
    /// Of those with an unusual structure.
    pub coverage_struct: Option<f64>,
    /// Of those with a failed span.
    #[serde(skip)]
    pub coverage_error: Option<f64>,
    /// Harmonic mean of precision and coverage.
    pub f1: Option<f64>,
    /// Faults that a kept trace shows.
    pub faults_touched: u64,
    /// Faults that any trace shows.
    pub faults_total: u64,
    /// Multisets of call sites among the kept traces.
    pub distinct_topologies: u64,
    /// Among the kept traces that are not anomalous.
    pub distinct_topologies_normal: u64,
    /// Among all.
    pub distinct_topologies_total: u64,
    /// What knowing the truth would cover under the same bound.
    pub oracle_coverage: Option<f64>,
    /// How precise it would be, spending the whole budget.
    pub oracle_precision: Option<f64>,
    /// Time of the trace stage per trace: words, scores, decision, learning.
    pub ns_per_trace: f64,
    /// The same per span.
    pub ns_per_span: f64,
    /// Most traces ever kept beyond the bound; above 0 it was broken.
    #[serde(skip)]
    pub excess: f64,
    /// Composition over time.
    #[serde(skip)]
    pub windows: Vec<Window>,
}

/// Five minutes of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// When it begins.
    pub begin: Timestamp,
    /// What was seen.
    pub seen: Counts,
    /// What was kept.
    pub kept: Counts,
}

pub(super) fn row(
    contender: &Contender,
    question: &Question,
    judged: &[(Truth, Timestamp)],
    n_spans: u64,
) -> Row {
    let tally = &contender.tally;
    let (seen, kept) = (tally.seen, tally.kept);
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let precision = share(kept.anomalous, kept.all);
    let coverage = share(kept.anomalous, seen.anomalous);
    let truths = || judged.iter().map(|(truth, _)| *truth);
    let oracle = oracle(judged.iter().copied(), contender.budget, question.bound);
    let topologies: FxHashSet<u32> = truths().map(|truth| truth.topology).collect();
    Row {
        sampler: contender.algorithm.as_str(),
        budget: contender.budget,
        bound: question.bound.as_str(),
        thin: question.thin.0,
        seen: seen.all,
        kept: kept.all,
        sampled_rate: kept.all as f64 / seen.all as f64,
        max_window_rate: tally.max_window_rate(),
        precision,
        coverage,
        coverage_slow: share(kept.slow, seen.slow),
        coverage_struct: share(kept.structure, seen.structure),
        coverage_error: share(kept.error, seen.error),
        f1: share(2 * kept.anomalous, kept.all + seen.anomalous),
        faults_touched: tally.faults.len() as u64,
        faults_total: faults(truths()).len() as u64,
        distinct_topologies: tally.topologies.len() as u64,
        distinct_topologies_normal: tally.topologies_normal.len() as u64,
        distinct_topologies_total: topologies.len() as u64,
        oracle_coverage: oracle.coverage,
        oracle_precision: oracle.precision,
        ns_per_trace: contender.elapsed_ns as f64 / seen.all as f64,
        ns_per_span: contender.elapsed_ns as f64 / n_spans as f64,
        excess: tally.excess.max(0.0),
        windows: windows(contender),
    }
}

fn windows(contender: &Contender) -> Vec<Window> {
    let window = |(&number, &(seen, kept)): (&u64, &(Counts, Counts))| Window {
        begin: Timestamp(number * WINDOW_NS),
        seen,
        kept,
    };
    contender.tally.windows.iter().map(window).collect()
}

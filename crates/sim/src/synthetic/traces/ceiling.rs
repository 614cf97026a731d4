//! What could be found of the planted anomalies at best: by somebody who knows the graph, every
//! median and every spread, and has nothing to learn.
//!
//! A failed span is an anomaly and nothing else, and of structures it is granted that all are found.
//! A slowed span differs from others by its self time alone, so the best order of traces is that of
//! their odds (Neyman and Pearson): the mean over the spans that may have been slowed of f1(x) / f0(x),
//! with f0 the log-normal density of the operation and f1 that of its product with the factor. Whoever
//! keeps a share B of the traces in another order finds fewer.

use super::*;

/// Traces that are learned only, as in the evaluation.
const N_WARMUP: usize = 1024;
/// Steps of the factor of slowing.
const N_STEPS: u32 = 16;

/// Odds of a trace that one of its spans was slowed; the root never is.
fn odds(stream: &TraceStream, drafts: &[Draft]) -> f64 {
    let steps = (0..N_STEPS).map(|step| {
        let part = (f64::from(step) + 0.5) / f64::from(N_STEPS);
        libm::log(SLOWED_BY.0 + part * (SLOWED_BY.1 - SLOWED_BY.0))
    });
    let steps: Vec<f64> = steps.collect();
    let ratio = |draft: &Draft| {
        let Operation { median_ns, sigma, .. } = stream.operations[draft.operation];
        let x = libm::log(draft.self_ns / median_ns);
        let one = |by: &f64| libm::exp((by * x - 0.5 * by * by) / (sigma * sigma));
        steps.iter().map(one).sum::<f64>() / f64::from(N_STEPS)
    };
    let n = drafts.len().saturating_sub(1).max(1) as f64;
    drafts.iter().skip(1).map(ratio).sum::<f64>() / n
}

/// Share of the anomalous traces that are found at each budget.
fn recall(seed: u64, anomalies: &'static [Anomaly], budgets: &[f64]) -> Vec<f64> {
    let mut stream = TraceStream::new(seed, anomalies);
    let mut traces = Vec::new();
    for _ in 0..N_TRACES {
        let (drafts, anomaly) = stream.drafts();
        // Keeps the draws in step with those of the stream.
        stream.draw.exponential(GAP_NS);
        let is_seen = matches!(anomaly, Some(Anomaly::Error | Anomaly::Structure));
        let odds = if is_seen { f64::INFINITY } else { odds(&stream, &drafts) };
        traces.push((odds, anomaly));
    }
    let mut judged = traces.split_off(N_WARMUP);
    judged.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n_anomalous = |traces: &[(f64, Option<Anomaly>)]| {
        traces.iter().filter(|(_, anomaly)| anomaly.is_some()).count() as f64
    };
    let kept = |budget: &f64| &judged[..(budget * judged.len() as f64) as usize];
    budgets.iter().map(|b| n_anomalous(kept(b)) / n_anomalous(&judged)).collect()
}

/// Guarantees: at 5 % nobody finds 99 % of what is planted in the stream of seed 1, while on seeds 2 and 3
/// everything could be found. `--nocapture` prints the ceilings.
#[test]
fn some_slowed_spans_lie_within_the_spread_of_the_others() {
    use Anomaly::{Error, Latency, Structure};
    const BUDGETS: [f64; 4] = [0.01, 0.02, 0.05, 0.1];
    let mut at_5 = Vec::new();
    for seed in 1..=3 {
        let found = recall(seed, &[Latency, Latency, Structure, Error], &BUDGETS);
        println!("seed {seed}: at most {found:.3?} at {BUDGETS:?}");
        at_5.push(found[2]);
    }
    assert!(at_5[0] < 0.985, "{at_5:?}");
    assert!(at_5[1] > 0.999 && at_5[2] > 0.999, "{at_5:?}");
}

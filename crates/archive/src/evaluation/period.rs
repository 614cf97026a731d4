//! A workload that changes: periods drawn from one recording, as in Fig. 6 of the Gen-T paper.
//!
//! Each period is a window of its own. Against the first there are, one after the other, twice the
//! errors, twice the traces, half the errors, and an operation nobody has called before. Traces are
//! drawn without replacement, so that no period repeats another's; they keep their times.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustc_hash::FxHashMap;

use super::recording::Recording;

/// Share of the traces that the operation of the last period must have at least.
const NEW_SHARE_MIN: f64 = 0.02;

/// A period: its name and the traces in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// What changed.
    pub name: &'static str,
    /// Positions of its traces, ascending.
    pub traces: Vec<u32>,
}

/// Name, and traces and errors in multiples of the first period's.
const PLAN: [(&str, f64, f64); 5] = [
    ("base", 1.0, 1.0),
    ("2x-errors", 1.0, 2.0),
    ("2x-traces", 2.0, 2.0),
    ("half-errors", 1.0, 0.5),
    ("new-operation", 1.0, 1.0),
];

/// Draws the periods. Without errors in the recording their share stays zero.
pub fn periods(recording: &Recording, seed: u64) -> Vec<Period> {
    let newcomer = newcomer(recording);
    let mut pools: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    let mut held_back: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    for trace in 0..recording.n_traces() as u32 {
        let is_new = newcomer.is_some() && recording.entry(trace) == newcomer;
        let failed = usize::from(recording.has_error(trace));
        let pool = if is_new { &mut held_back } else { &mut pools };
        pool[failed].push(trace);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for pool in &mut pools {
        shuffle(pool, &mut rng);
    }
    let shares = |of: fn(&(&str, f64, f64)) -> f64| PLAN.iter().map(of).sum::<f64>();
    let n_traces = (pools[0].len() + pools[1].len()) as f64 / shares(|period| period.1);
    let n_errors = pools[1].len() as f64 / shares(|period| period.2);
    let mut drawn = Vec::new();
    for (name, traces, errors) in PLAN {
        let n_failed = (n_errors * errors) as usize;
        let n_clean = ((n_traces * traces) as usize).saturating_sub(n_failed);
        let mut take = |pool: usize, n: usize| {
            let left = pools[pool].len();
            pools[pool].split_off(left - n.min(left))
        };
        let mut traces = take(0, n_clean);
        traces.extend(take(1, n_failed));
        if name == PLAN[PLAN.len() - 1].0 {
            traces.extend(held_back.concat());
        }
        traces.sort_unstable();
        drawn.push(Period { name, traces });
    }
    drawn
}

/// The rarest operation that is asked for often enough to be a change.
fn newcomer(recording: &Recording) -> Option<(&[u8], &[u8])> {
    let mut counts: FxHashMap<(&[u8], &[u8]), usize> = FxHashMap::default();
    for trace in 0..recording.n_traces() as u32 {
        if let Some(entry) = recording.entry(trace) {
            *counts.entry(entry).or_default() += 1;
        }
    }
    let enough = NEW_SHARE_MIN * recording.n_traces() as f64;
    let is_enough = |(_, count): &(_, usize)| *count as f64 >= enough;
    // One operation alone cannot be new.
    let others = counts.len() > 1;
    counts
        .into_iter()
        .filter(is_enough)
        .min_by_key(|(entry, n)| (*n, *entry))
        .filter(|_| others)
        .map(|(entry, _)| entry)
}

fn shuffle(pool: &mut [u32], rng: &mut ChaCha8Rng) {
    for at in (1..pool.len()).rev() {
        let other = (rng.next_u64() % (at as u64 + 1)) as usize;
        pool.swap(at, other);
    }
}

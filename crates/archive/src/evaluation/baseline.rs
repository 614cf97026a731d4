//! Samplers that keep whole traces: at the head by chance, at the tail by what happened.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::error::Error;
use super::recording::Recording;

/// What `tail:latency` keeps: traces slower than this share of all.
const SLOW_PERCENTILE: f64 = 0.95;

/// A sampler a model is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// floor(T/N) of T traces, drawn without replacement; counts are scaled by N.
    Head(u32),
    /// Traces with an error span; nothing is scaled.
    TailError,
    /// Traces that last longer than the 95th percentile of the recording; nothing is scaled.
    TailLatency,
}

impl Baseline {
    /// By how much counts of the sample are multiplied.
    pub fn scale(self) -> f64 {
        match self {
            Self::Head(n) => f64::from(n),
            Self::TailError | Self::TailLatency => 1.0,
        }
    }

    /// Whether another seed gives another sample.
    pub const fn is_random(self) -> bool {
        matches!(self, Self::Head(n) if n > 1)
    }

    /// Positions of the traces kept, ascending.
    pub fn keep(self, recording: &Recording, seed: u64) -> Vec<u32> {
        let all = 0..recording.n_traces() as u32;
        match self {
            Self::Head(n) => draw(recording.n_traces(), n, seed),
            Self::TailError => all.filter(|trace| recording.has_error(*trace)).collect(),
            Self::TailLatency => {
                let mut durations: Vec<u64> =
                    all.clone().map(|trace| recording.duration_ns(trace)).collect();
                durations.sort_unstable();
                let at = (SLOW_PERCENTILE * durations.len() as f64) as usize;
                let Some(limit) = durations.get(at).copied() else { return Vec::new() };
                all.filter(|trace| recording.duration_ns(*trace) > limit).collect()
            }
        }
    }
}

/// The first floor(T/N) places of a Fisher-Yates shuffle of T traces.
fn draw(n_traces: usize, n: u32, seed: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut traces: Vec<u32> = (0..n_traces as u32).collect();
    let n_kept = n_traces / n.max(1) as usize;
    for at in 0..n_kept {
        // The bias of the remainder is below 2^-40 for any window.
        let other = at + (rng.next_u64() % (n_traces - at) as u64) as usize;
        traces.swap(at, other);
    }
    traces.truncate(n_kept);
    traces.sort_unstable();
    traces
}

impl FromStr for Baseline {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let head = || word.strip_prefix("head:")?.parse().ok().filter(|n| *n >= 1);
        match word {
            "tail:error" => Ok(Self::TailError),
            "tail:latency" => Ok(Self::TailLatency),
            _ => head().map(Self::Head).ok_or_else(|| Error::Baseline { word: word.to_owned() }),
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(n) => write!(f, "head:{n}"),
            Self::TailError => f.write_str("tail:error"),
            Self::TailLatency => f.write_str("tail:latency"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        let check = |word: &str| assert_eq!(word.parse::<Baseline>().unwrap().to_string(), word);
        check("head:1");
        check("head:100");
        check("tail:error");
        check("tail:latency");
        for word in ["head:0", "head", "head:x", "tail", ""] {
            assert!(word.parse::<Baseline>().is_err(), "{word}");
        }
    }

    #[test]
    fn a_draw_keeps_the_floor_without_repeats_and_differs_by_seed() {
        let mut drawn = draw(1_003, 5, 1);
        assert_eq!(drawn.len(), 200);
        assert_ne!(drawn, draw(1_003, 5, 2));
        assert_eq!(drawn, draw(1_003, 5, 1));
        drawn.dedup();
        assert_eq!(drawn.len(), 200);
        assert!(drawn.iter().all(|trace| *trace < 1_003));
        assert_eq!(draw(7, 1, 3), [0, 1, 2, 3, 4, 5, 6]);
        assert!(draw(7, 8, 3).is_empty());
    }

    #[test]
    fn every_trace_is_drawn_about_equally_often() {
        let mut counts = [0_u32; 20];
        for seed in 0..4_000 {
            for trace in draw(20, 5, seed) {
                counts[trace as usize] += 1;
            }
        }
        // 800 expected, standard deviation 25.
        assert!(counts.iter().all(|count| (680..920).contains(count)), "{counts:?}");
    }
}

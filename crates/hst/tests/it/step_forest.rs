//! The ready model of one feature: windows, cold start, what it finds.

use std::sync::Arc;

use spanwise_hst::{Grid, ScoreKind, Skeleton, StepConfig, StepForest};

use crate::streams;

fn forest(config: StepConfig) -> StepForest {
    let skeleton = Arc::new(Skeleton::new(1, 25, 8, Grid::N_BINS).unwrap());
    StepForest::new(&skeleton, config).unwrap()
}

/// The number of observations between flips, for the first few.
fn flips(config: StepConfig, n: usize) -> Vec<u32> {
    let mut forest = forest(config);
    let mut flips = Vec::new();
    for bin in streams::bins(1, Grid::N_BINS, n) {
        forest.learn(bin);
        if forest.n_latest() == 0 {
            flips.push(forest.n_reference());
        }
    }
    flips
}

#[test]
fn windows_double_from_the_first_to_the_full_length() {
    let config = StepConfig { window: 200, window_first: 32, score: ScoreKind::Tan };
    assert_eq!(flips(config, 900), [32, 64, 128, 200, 200, 200]);
}

#[test]
fn windows_of_one_length_stay_so() {
    let config = StepConfig { window: 100, window_first: 100, score: ScoreKind::Tan };
    assert_eq!(flips(config, 399), [100, 100, 100]);
}

#[test]
fn before_the_first_flip_every_score_is_the_most_normal_one() {
    for (score, cold) in [(ScoreKind::Tan, 0.0), (ScoreKind::River, 0.0), (ScoreKind::Scale, 0.5)] {
        let mut forest = forest(StepConfig { score, ..StepConfig::default() });
        forest.learn(100);
        assert_eq!(forest.score(100).to_bits(), f64::to_bits(cold));
        assert_eq!(forest.score(400).to_bits(), f64::to_bits(cold));
        assert_eq!((forest.n_latest(), forest.n_reference()), (1, 0));
    }
}

#[test]
fn a_flip_by_the_caller_uses_what_was_learned_and_an_empty_one_keeps_the_reference() {
    let mut forest = forest(StepConfig::default());
    for _ in 0..10 {
        forest.learn(200);
    }
    forest.flip();
    assert_eq!((forest.n_latest(), forest.n_reference()), (0, 10));
    assert!(forest.score(200) < forest.score(300));
    let before = forest.score(300);
    forest.flip();
    assert_eq!(forest.n_reference(), 10);
    assert_eq!(forest.score(300).to_bits(), before.to_bits());
}

#[test]
fn reference_counts_are_those_of_the_last_window() {
    let mut forest = forest(StepConfig { window: 4, window_first: 4, ..StepConfig::default() });
    for bin in [7, 7, 415, 0, 9] {
        forest.learn(bin);
    }
    let counts: Vec<u32> = (0..Grid::N_BINS).map(|bin| forest.reference_count(bin)).collect();
    assert_eq!((counts[7], counts[415], counts[0], counts[9]), (2, 1, 1, 0));
    assert_eq!(counts.iter().sum::<u32>(), forest.n_reference());
    assert_eq!(forest.reference_count(Grid::N_BINS), 0);
    assert_eq!(forest.reference_count(usize::MAX), 0);
}

/// Scenario: every formula learns a dense mode and is asked about far values.
/// Guarantees: they agree that far is more anomalous than usual.
#[test]
fn far_values_score_above_usual_ones_with_every_formula() {
    for score in [ScoreKind::Tan, ScoreKind::River, ScoreKind::Scale] {
        let mut forest = forest(StepConfig { score, ..StepConfig::default() });
        for i in 0..2000 {
            forest.learn(Grid::bin_of(1_000_000 + (i % 50) * 10_000));
        }
        let usual = forest.score(Grid::bin_of(1_250_000));
        let far = forest.score(Grid::bin_of(25_000_000));
        assert!(far > usual, "{score:?}: {far} against {usual}");
    }
}

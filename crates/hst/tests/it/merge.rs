//! Merging models of one skeleton is exact, in any order.

use std::sync::Arc;

use spanwise_hst::{
    Error, Forest, ForestConfig, Limits, ScoreKind, Skeleton, StepConfig, StepForest,
};

use crate::streams;

const LARGE: u32 = 100_000;

fn step(skeleton: &Arc<Skeleton>, window: u32, bins: &[usize]) -> StepForest {
    let config = StepConfig { window, window_first: window, score: ScoreKind::Tan };
    let mut forest = StepForest::new(skeleton, config).unwrap();
    for &bin in bins {
        forest.learn(bin);
    }
    forest
}

fn bytes(forest: &StepForest) -> Vec<u8> {
    let mut out = Vec::new();
    forest.snapshot(&mut out);
    out
}

#[test]
fn merged_parts_of_a_stream_equal_one_model_of_the_whole() {
    let skeleton = Arc::new(Skeleton::new(8, 25, 8, 416).unwrap());
    let bins = streams::bins(8, 416, 3000);
    let mut whole = step(&skeleton, LARGE, &bins);
    let parts: Vec<StepForest> =
        bins.chunks(700).map(|part| step(&skeleton, LARGE, part)).collect();
    let mut forward = step(&skeleton, LARGE, &[]);
    let mut backward = step(&skeleton, LARGE, &[]);
    for part in &parts {
        forward.merge(part).unwrap();
    }
    for part in parts.iter().rev() {
        backward.merge(part).unwrap();
    }
    assert_eq!(bytes(&forward), bytes(&whole));
    assert_eq!(bytes(&backward), bytes(&whole));
    whole.flip();
    forward.flip();
    for bin in 0..416 {
        assert_eq!(forward.score(bin).to_bits(), whole.score(bin).to_bits());
    }
}

#[test]
fn merged_references_equal_the_reference_of_both_windows() {
    let skeleton = Arc::new(Skeleton::new(8, 25, 8, 416).unwrap());
    let bins = streams::bins(9, 416, 900);
    // Windows of different length, each flipped once, with a few latest counts behind.
    let mut merged = step(&skeleton, 300, &bins[..310]);
    merged.merge(&step(&skeleton, 500, &bins[310..850])).unwrap();
    assert_eq!((merged.n_reference(), merged.n_latest()), (800, 50));
    let reference: Vec<usize> = [&bins[..300], &bins[310..810]].concat();
    let whole = step(&skeleton, 800, &reference);
    for bin in 0..416 {
        assert_eq!(merged.score(bin).to_bits(), whole.score(bin).to_bits());
    }
}

#[test]
fn a_merge_that_fills_the_window_flips_at_the_next_observation() {
    let skeleton = Arc::new(Skeleton::new(8, 5, 4, 416).unwrap());
    let mut merged = step(&skeleton, 100, &[3; 80]);
    merged.merge(&step(&skeleton, 100, &[4; 70])).unwrap();
    assert_eq!((merged.n_latest(), merged.n_reference()), (150, 0));
    merged.learn(5);
    assert_eq!((merged.n_latest(), merged.n_reference()), (0, 151));
}

#[test]
fn models_of_different_skeletons_are_refused_and_unchanged() {
    let one = Arc::new(Skeleton::new(1, 5, 4, 416).unwrap());
    let other = Arc::new(Skeleton::new(2, 5, 4, 416).unwrap());
    let mut forest = step(&one, 100, &[3; 30]);
    let before = bytes(&forest);
    let refused = forest.merge(&step(&other, 100, &[3; 30]));
    assert_eq!(refused, Err(Error::SkeletonMismatch { expected: one.id(), found: other.id() }));
    assert_eq!(bytes(&forest), before);
}

#[test]
fn sums_that_would_not_be_exact_are_refused() {
    // 1024 trees of height 12: exact up to 2^53 / (2^10 * 2^13) = 2^30 observations.
    let skeleton = Arc::new(Skeleton::new(1, 1024, 12, 2).unwrap());
    let mut forest = step(&skeleton, 1 << 30, &[0; 1 << 10]);
    for _ in 10..30 {
        forest.merge(&forest.clone()).unwrap();
    }
    assert_eq!(forest.n_latest(), 1 << 30);
    assert_eq!(forest.merge(&forest.clone()), Err(Error::TooManyObservations));
}

#[test]
fn counts_that_would_leave_no_room_for_one_more_are_refused() {
    let skeleton = Arc::new(Skeleton::new(1, 1, 1, 2).unwrap());
    let mut half = step(&skeleton, u32::MAX, &[0]);
    let mut almost_half = half.clone();
    for _ in 1..31 {
        half.merge(&half.clone()).unwrap();
        almost_half.merge(&almost_half.clone()).unwrap();
        almost_half.learn(1);
    }
    almost_half.merge(&half).unwrap();
    // 2^31 - 1 + 2^30 so far; the last 2^30 would make u32::MAX.
    assert_eq!(almost_half.n_latest(), (1 << 31) - 1 + (1 << 30));
    assert_eq!(almost_half.merge(&half), Err(Error::TooManyObservations));
}

fn forest(config: ForestConfig, records: &[Vec<Option<f64>>]) -> Forest {
    let mut forest = Forest::new(config, &[Limits::default(); 3]).unwrap();
    for x in records {
        forest.learn(&x[..]).unwrap();
    }
    forest
}

#[test]
fn merged_forests_equal_one_forest_of_all_records() {
    let records = streams::records(1, 3, 0.0, 600);
    for config in [ForestConfig::river(3), ForestConfig { height: 6, ..ForestConfig::tan(3) }] {
        let config = ForestConfig { window: LARGE, ..config };
        let mut merged = forest(config, &[]);
        for part in records.chunks(170) {
            merged.merge(&forest(config, part)).unwrap();
        }
        merged.merge(&forest(config, &[])).unwrap();
        let mut whole = forest(config, &records);
        assert!(merged == whole);
        merged.flip();
        whole.flip();
        assert!(merged == whole);
    }
}

#[test]
fn forests_of_different_trees_are_refused_and_unchanged() {
    let records = streams::records(1, 3, 0.0, 20);
    let mut forest = forest(ForestConfig::river(3), &records);
    let before = forest.clone();
    let mut check = |other: &Forest| {
        assert!(matches!(forest.merge(other), Err(Error::SkeletonMismatch { .. })));
        assert!(forest == before);
    };
    let with_seed = |seed| Forest::new(ForestConfig::river(seed), &[Limits::default(); 3]).unwrap();
    check(&with_seed(4));
    // The same settings, but trees drawn from a first record that lacks a feature.
    let mut lacking = with_seed(3);
    lacking.learn(&[Some(0.1), None, Some(0.2)]).unwrap();
    check(&lacking);
}

//! The step function equals the literal walk over the same rounded cuts, bit for bit.

use std::sync::Arc;

use spanwise_hst::mt19937::Mt19937;
use spanwise_hst::{LiteralForest, ScoreKind, Scratch, Skeleton, StepConfig, StepForest};

use crate::streams;

const KINDS: [ScoreKind; 3] = [ScoreKind::Tan, ScoreKind::River, ScoreKind::Scale];

fn assert_same_bits(what: &str, bin: usize, found: f64, expected: f64) {
    assert_eq!(found.to_bits(), expected.to_bits(), "{what} bin {bin}: {found} is not {expected}");
    assert!((0.0..=1.0).contains(&found), "{what} bin {bin}: {found}");
}

/// One full window, then the table of every formula in every bin.
fn check_table(seed: u64, shape: (usize, usize, usize), window: u32) {
    let (n_trees, height, n_bins) = shape;
    let skeleton = Arc::new(Skeleton::new(seed, n_trees, height, n_bins).unwrap());
    let bins = streams::bins(seed, n_bins, window as usize);
    let mut mass = vec![0.0; n_bins];
    for &bin in &bins {
        mass[bin] += 1.0;
    }
    let mut scratch = Scratch::default();
    let mut table = vec![f64::NAN; n_bins];
    for kind in KINDS {
        let mut literal = LiteralForest::new(&skeleton, kind, window, window);
        for &bin in &bins {
            literal.learn(bin);
        }
        skeleton.table(kind, &mass, f64::from(window), &mut scratch, &mut table);
        let what = format!("{kind:?} {shape:?} window {window} seed {seed}");
        for (bin, score) in table.iter().enumerate() {
            assert_same_bits(&what, bin, *score, literal.score(bin));
        }
    }
}

/// A stream over several flips, each observation scored before it is learned.
fn check_stream(seed: u64, shape: (usize, usize, usize), config: StepConfig, n: usize) {
    let (n_trees, height, n_bins) = shape;
    let skeleton = Arc::new(Skeleton::new(seed, n_trees, height, n_bins).unwrap());
    let mut step = StepForest::new(&skeleton, config).unwrap();
    let mut literal =
        LiteralForest::new(&skeleton, config.score, config.window_first, config.window);
    let what = format!("{config:?} {shape:?} seed {seed}");
    for bin in streams::bins(seed, n_bins, n) {
        assert_same_bits(&what, bin, step.score(bin), literal.score(bin));
        step.learn(bin);
        literal.learn(bin);
    }
    assert!(step.n_reference() > 0, "{what} never flipped");
}

#[test]
fn tables_equal_the_walk_for_every_promised_shape() {
    for n_trees in [10, 25, 50] {
        for height in [4, 8, 12] {
            for (seed, window) in [(1, 250), (2, 1000), (u64::MAX, 4096)] {
                check_table(seed, (n_trees, height, 416), window);
            }
        }
    }
}

#[test]
fn streams_equal_the_walk_for_every_promised_shape() {
    for n_trees in [10, 25, 50] {
        for height in [4, 8, 12] {
            for score in KINDS {
                let config = StepConfig { window: 1000, window_first: 32, score };
                check_stream(3, (n_trees, height, 416), config, 3000);
            }
        }
    }
}

#[test]
fn tables_and_streams_equal_the_walk_on_random_shapes() {
    let mut rng = Mt19937::new(99);
    for seed in 0..60 {
        let mut below = |n: usize| (rng.random() * n as f64) as usize;
        let shape = (1 + below(12), 1 + below(9), 2 + below(55) * below(55));
        let window = 1 + below(2000) as u32;
        check_table(seed, shape, window);
        let window_first = 1 + below(window as usize) as u32;
        let config = StepConfig { window, window_first, score: KINDS[below(3)] };
        check_stream(seed, shape, config, 4 * window as usize);
    }
}

#[test]
fn cuts_outside_their_nodes_range_leave_a_child_empty_and_change_nothing_else() {
    // Level order: root cuts at 8 of 16, its left child at 12 (outside), its right one at 8.
    let skeleton = Arc::new(Skeleton::from_cuts(2, 16, vec![8, 12, 8]).unwrap());
    let bins = streams::bins(11, 16, 100);
    for score in KINDS {
        let config = StepConfig { window: 100, window_first: 100, score };
        let mut step = StepForest::new(&skeleton, config).unwrap();
        let mut literal = LiteralForest::new(&skeleton, score, 100, 100);
        for &bin in &bins {
            step.learn(bin);
            literal.learn(bin);
        }
        for bin in 0..16 {
            assert_same_bits("given cuts", bin, step.score(bin), literal.score(bin));
        }
    }
}

//! The step function equals the literal walk over the same rounded cuts, bit for bit.

use std::sync::Arc;

use spanwise_hst::mt19937::Mt19937;
use spanwise_hst::{LiteralForest, ScoreKind, Scratch, Skeleton};

const KINDS: [ScoreKind; 3] = [ScoreKind::Tan, ScoreKind::River, ScoreKind::Scale];

/// Bins of a stream with two modes, a wide tail and both ends of the grid.
fn stream(seed: u64, n_bins: usize, n: usize) -> Vec<usize> {
    let mut rng = Mt19937::new(seed);
    let (a, b) = (rng.random(), rng.random());
    let at = |share: f64| ((share * n_bins as f64) as usize).min(n_bins - 1);
    (0..n)
        .map(|_| match (rng.random() * 20.0) as u32 {
            0 => at(rng.random()),
            1 => 0,
            2 => n_bins - 1,
            3..=6 => at((b + 0.02 * rng.random()).min(1.0)),
            _ => at((a + 0.1 * rng.random() * rng.random()).min(1.0)),
        })
        .collect()
}

fn check(seed: u64, n_trees: usize, height: usize, n_bins: usize, window: u32) {
    let skeleton = Arc::new(Skeleton::new(seed, n_trees, height, n_bins).unwrap());
    let bins = stream(seed, n_bins, window as usize);
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
        for (bin, score) in table.iter().enumerate() {
            let expected = literal.score(bin);
            assert_eq!(
                score.to_bits(),
                expected.to_bits(),
                "{kind:?} T {n_trees} h {height} bins {n_bins} window {window} seed {seed} bin {bin}: \
                 {score} is not {expected}"
            );
            assert!((0.0..=1.0).contains(score), "{kind:?} {score}");
        }
    }
}

#[test]
fn tables_equal_the_walk_for_every_promised_shape() {
    for n_trees in [10, 25, 50] {
        for height in [4, 8, 12] {
            for (seed, window) in [(1, 250), (2, 1000), (u64::MAX, 4096)] {
                check(seed, n_trees, height, 416, window);
            }
        }
    }
}

#[test]
fn tables_equal_the_walk_on_random_shapes() {
    let mut rng = Mt19937::new(99);
    for seed in 0..60 {
        let n_trees = 1 + (rng.random() * 12.0) as usize;
        let height = 1 + (rng.random() * 9.0) as usize;
        let n_bins = 2 + (rng.random() * rng.random() * 3000.0) as usize;
        let window = 1 + (rng.random() * 2000.0) as u32;
        check(seed, n_trees, height, n_bins, window);
    }
}

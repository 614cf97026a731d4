//! The paper's own way of drawing trees.

use spanwise_hst::{Forest, ForestConfig, Limits};

fn splits(limits: Limits, n_features: usize) -> Vec<Vec<spanwise_hst::Split>> {
    let config = ForestConfig { n_trees: 40, height: 6, ..ForestConfig::tan(3) };
    let forest = Forest::new(config, &vec![limits; n_features]).unwrap();
    (0..40).map(|tree| forest.splits(tree).collect()).collect()
}

/// The root halves a work range around `s`, so its threshold is `s` itself, uniform in the limits.
#[test]
fn roots_cut_at_uniform_points_of_the_limits() {
    let limits = Limits { low: -2.0, high: 6.0 };
    let roots: Vec<f64> = splits(limits, 1).iter().map(|tree| tree[0].threshold).collect();
    assert!(roots.iter().all(|cut| (-2.0..6.0).contains(cut)), "{roots:?}");
    let mean = roots.iter().sum::<f64>() / 40.0;
    assert!((mean - 2.0).abs() < 1.5, "mean {mean}");
}

/// Scenario: one feature, unit limits, root cut `s`.
/// Guarantees: the children cut in the middle of `s - reach .. s` and `s .. s + reach`.
#[test]
fn children_cut_at_the_midpoints_of_the_halves() {
    for tree in splits(Limits::default(), 1) {
        let s = tree[0].threshold;
        let reach = 2.0 * s.max(1.0 - s);
        for (child, expected) in [(1, s - reach / 2.0), (2, s + reach / 2.0)] {
            assert!((tree[child].threshold - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn features_are_chosen_evenly() {
    let trees = splits(Limits::default(), 4);
    let mut n_chosen = [0; 4];
    for split in trees.iter().flatten() {
        n_chosen[split.feature_idx as usize] += 1;
    }
    let expected = 40 * 63 / 4;
    for n in n_chosen {
        assert!((expected - 100..expected + 100).contains(&n), "{n_chosen:?}");
    }
}

#[test]
fn trees_differ_between_seeds_and_not_within_one() {
    let id = |seed| {
        let forest = Forest::new(ForestConfig::tan(seed), &[Limits::default(); 3]).unwrap();
        forest.skeleton_id().unwrap()
    };
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
}

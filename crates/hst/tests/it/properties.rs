//! What holds for every stream: seeded loops over many of them.

use std::sync::Arc;

use spanwise_hst::mt19937::Mt19937;
use spanwise_hst::{
    Construction, Forest, ForestConfig, Limits, ScoreKind, Scratch, Skeleton, StepConfig,
    StepForest,
};

use crate::streams;

const KINDS: [ScoreKind; 3] = [ScoreKind::Tan, ScoreKind::River, ScoreKind::Scale];

fn configs(seed: u64) -> impl Iterator<Item = ForestConfig> {
    let constructions = [Construction::Tan, Construction::River];
    constructions.into_iter().flat_map(move |construction| {
        KINDS.into_iter().map(move |score| ForestConfig {
            n_trees: 7,
            height: 5,
            window: 50,
            seed,
            construction,
            score,
        })
    })
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut rng = Mt19937::new(seed);
    let mut items = items.to_vec();
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.random() * (i + 1) as f64) as usize);
    }
    items
}

fn learned(config: ForestConfig, records: &[Vec<Option<f64>>]) -> Forest {
    let mut forest = Forest::new(config, &[Limits::default(); 3]).unwrap();
    for x in records {
        forest.learn(&x[..]).unwrap();
    }
    forest
}

#[test]
fn scores_of_forests_stay_in_range_even_far_outside_the_limits() {
    for seed in 0..10 {
        for config in configs(seed) {
            let forest = learned(config, &streams::records(seed, 3, 0.2, 170));
            let mut probes = streams::records(seed + 100, 3, 0.3, 200);
            probes.push(vec![Some(f64::MAX), Some(f64::MIN), Some(-0.0)]);
            probes.push(vec![None; 3]);
            for x in probes {
                let score = forest.score(&x[..]).unwrap();
                assert!((0.0..=1.0).contains(&score), "{config:?}: {score}");
            }
        }
    }
}

#[test]
fn the_order_within_a_window_is_irrelevant() {
    for seed in 0..10 {
        for config in configs(seed) {
            let records = streams::records(seed, 3, 0.0, 50);
            // River draws its trees from the features of the first record; all have all.
            let one = learned(config, &records);
            let other = learned(config, &shuffled(&records, seed));
            assert!(one == other, "{config:?}");
        }
        let skeleton = Arc::new(Skeleton::new(seed, 9, 6, 100).unwrap());
        let config = StepConfig { window: 80, window_first: 80, score: ScoreKind::Tan };
        let bins = streams::bins(seed, 100, 80);
        let scores = |bins: &[usize]| {
            let mut forest = StepForest::new(&skeleton, config).unwrap();
            for &bin in bins {
                forest.learn(bin);
            }
            (0..100).map(|bin| forest.score(bin).to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(scores(&bins), scores(&shuffled(&bins, seed)));
    }
}

#[test]
fn the_same_seed_and_stream_give_the_same_scores() {
    for config in configs(5) {
        let records = streams::records(6, 3, 0.1, 333);
        let scores = || {
            let mut forest = Forest::new(config, &[Limits::default(); 3]).unwrap();
            let score_then_learn = |x: &Vec<Option<f64>>| {
                let score = forest.score(&x[..]).unwrap().to_bits();
                forest.learn(&x[..]).unwrap();
                score
            };
            records.iter().map(score_then_learn).collect::<Vec<_>>()
        };
        assert_eq!(scores(), scores());
    }
}

#[test]
fn masses_sum_to_the_number_of_observations() {
    for seed in 0..20 {
        let n_bins = 2 + 13 * seed as usize;
        let skeleton = Arc::new(Skeleton::new(seed, 5, 7, n_bins).unwrap());
        let config = StepConfig { window: 64, window_first: 8, score: ScoreKind::River };
        let mut forest = StepForest::new(&skeleton, config).unwrap();
        for bin in streams::bins(seed, n_bins, 500) {
            forest.learn(bin);
            let sum: u32 = (0..n_bins).map(|bin| forest.reference_count(bin)).sum();
            assert_eq!(sum, forest.n_reference());
        }
    }
}

/// Tan's mass, averaged over a uniform spread of observations, is that of a uniform density.
#[test]
fn a_uniform_spread_has_the_mass_of_one_everywhere() {
    let skeleton = Skeleton::from_cuts(3, 8, vec![4, 2, 6, 1, 3, 5, 7]).unwrap();
    let mut out = [0.0; 8];
    skeleton.tan(&[5.0; 8], 40.0, &mut Scratch::default(), &mut out);
    assert!(out.iter().all(|m| m.to_bits() == f64::to_bits(1.0)), "{out:?}");
}

#[test]
fn decayed_masses_score_like_the_counts_they_are_multiples_of() {
    let skeleton = Skeleton::new(3, 25, 8, 416).unwrap();
    let mut mass = vec![0.0; 416];
    for bin in streams::bins(3, 416, 1000) {
        mass[bin] += 1.0;
    }
    let mut scratch = Scratch::default();
    let (mut counted, mut decayed) = (vec![0.0; 416], vec![0.0; 416]);
    skeleton.tan(&mass, 1000.0, &mut scratch, &mut counted);
    // A quarter is exact in binary, so that no node near the size limit changes sides.
    let quarter: Vec<f64> = mass.iter().map(|m| m * 0.25).collect();
    skeleton.tan(&quarter, 250.0, &mut scratch, &mut decayed);
    assert_eq!(counted, decayed);
}

#[test]
fn an_empty_mass_gives_the_most_normal_value() {
    let skeleton = Skeleton::new(3, 4, 5, 16).unwrap();
    let mut scratch = Scratch::default();
    let mut out = [f64::NAN; 16];
    skeleton.tan(&[0.0; 16], 0.0, &mut scratch, &mut out);
    assert!(out.iter().all(|m| m.to_bits() == f64::to_bits(32.0)), "{out:?}");
    for kind in KINDS {
        skeleton.table(kind, &[0.0; 16], 0.0, &mut scratch, &mut out);
        assert!(out.iter().all(|s| s.to_bits() == kind.cold().to_bits()), "{kind:?} {out:?}");
    }
}

/// Ids are part of the snapshot format: a change of drawing must change the version instead.
#[test]
fn skeleton_ids_never_change() {
    let id =
        |seed, n_trees, height, n_bins| Skeleton::new(seed, n_trees, height, n_bins).unwrap().id();
    assert_eq!(id(42, 50, 8, 416), 0x0a28_0eda_58e9_312f);
    assert_eq!(id(0, 25, 8, 416), 0xc961_95b1_2cba_dc9a);
    let ids = [id(1, 50, 8, 416), id(1, 25, 8, 416), id(1, 25, 6, 416), id(1, 25, 6, 415)];
    for (i, a) in ids.iter().enumerate() {
        assert!(ids[i + 1..].iter().all(|b| a != b));
    }
}

#[test]
fn a_skeleton_rebuilt_from_its_cuts_has_the_same_trees_under_another_id() {
    let drawn = Skeleton::new(4, 10, 6, 416).unwrap();
    let given = Skeleton::from_cuts(6, 416, drawn.cuts().to_vec()).unwrap();
    assert_ne!(drawn.id(), given.id());
    let mut mass = vec![0.0; 416];
    for bin in streams::bins(4, 416, 700) {
        mass[bin] += 1.0;
    }
    let table = |skeleton: &Skeleton| {
        let mut out = vec![0.0; 416];
        skeleton.tan(&mass, 700.0, &mut Scratch::default(), &mut out);
        out
    };
    assert_eq!(table(&drawn), table(&given));
}

#[test]
fn one_walk_gives_the_masses_and_learns_like_two() {
    for seed in 0..5 {
        for config in configs(seed) {
            let mut two = Forest::new(config, &[Limits::default(); 3]).unwrap();
            let mut one = two.clone();
            let (mut expected, mut found) = (vec![0.0; 7], vec![0.0; 7]);
            for x in streams::records(seed, 3, 0.2, 170) {
                let is_known = two.masses(&x[..], &mut expected).unwrap();
                two.learn(&x[..]).unwrap();
                assert_eq!(one.masses_then_learn(&x[..], &mut found).unwrap(), is_known);
                assert_eq!(found, expected);
            }
            let (mut a, mut b) = (Vec::new(), Vec::new());
            one.snapshot(&mut a);
            two.snapshot(&mut b);
            assert_eq!(a, b);
        }
    }
}

/// Guarantees: records of floats, which are walked through lighter splits, end where others do, also
/// just below, at and just above a threshold.
#[test]
fn records_that_fit_into_floats_end_in_the_same_leaves() {
    for seed in 0..5 {
        for config in configs(seed) {
            let mut two = Forest::new(config, &[Limits::default(); 3]).unwrap();
            two.learn(&[0.5; 3]).unwrap();
            let mut one = two.clone();
            let thresholds = (0..7).flat_map(|tree| two.splits(tree)).map(|split| split.threshold);
            let near = |t: f64| [(t as f32).next_down(), t as f32, (t as f32).next_up()];
            let near: Vec<f32> = thresholds.flat_map(near).collect();
            let mut rng = Mt19937::new(seed + 1);
            let mut pick = || f64::from(near[(rng.random() * near.len() as f64) as usize]);
            let (mut expected, mut found) = (vec![0.0; 7], vec![0.0; 7]);
            for _ in 0..170 {
                let x = [pick(), pick(), pick()];
                let is_known = two.masses(&x, &mut expected).unwrap();
                two.learn(&x).unwrap();
                assert_eq!(one.masses_then_learn(&x, &mut found).unwrap(), is_known);
                assert_eq!(found, expected);
            }
            assert_eq!(one, two);
        }
    }
}

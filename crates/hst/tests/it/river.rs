//! The forest in river construction equals river 0.26, bit for bit, on scores recorded by
//! `tests/data/make_river.py`.

use spanwise_hst::mt19937::Mt19937;
use spanwise_hst::{Forest, ForestConfig, Limits, Skeleton};
use spanwise_hst::{LiteralForest, ScoreKind, Scratch};
use std::sync::Arc;

struct Feature {
    /// Position in the order in which the stream draws the features.
    drawn_idx: usize,
    limits: Limits,
    in_first: bool,
}

/// A file of recorded scores, and with it the stream they are scores of.
struct Recording {
    config: ForestConfig,
    missing: f64,
    n_records: usize,
    /// In order of their sorted names, which is the order of the forest's features.
    features: Vec<Feature>,
    hash: u64,
    sum_bits: u64,
    shown: Vec<(usize, u64)>,
}

impl Recording {
    fn parse(text: &str) -> Self {
        let mut recording = Self {
            config: ForestConfig::river(0),
            missing: 0.0,
            n_records: 0,
            features: Vec::new(),
            hash: 0,
            sum_bits: 0,
            shown: Vec::new(),
        };
        let (header, scores) = text.split_once("scores\n").unwrap();
        for line in header.lines() {
            recording.header_line(line);
        }
        recording.shown = scores
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(record, bits)| (record.parse().unwrap(), hex(bits)))
            .collect();
        assert!(recording.shown.len() > 100);
        recording
    }

    fn header_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["river", version] => assert_eq!(version, "0.26.1"),
            ["n_trees", n] => self.config.n_trees = n.parse().unwrap(),
            ["height", h] => self.config.height = h.parse().unwrap(),
            ["window", w] => self.config.window = w.parse().unwrap(),
            ["seed", seed] => self.config.seed = seed.parse().unwrap(),
            ["missing", share] => self.missing = share.parse().unwrap(),
            ["records", n] => self.n_records = n.parse().unwrap(),
            ["feature", _, drawn_idx, low, high, ref rest @ ..] => self.features.push(Feature {
                drawn_idx: drawn_idx.parse().unwrap(),
                limits: Limits { low: low.parse().unwrap(), high: high.parse().unwrap() },
                in_first: rest.is_empty(),
            }),
            ["hash", bits] => self.hash = hex(bits),
            ["sum", bits] => self.sum_bits = hex(bits),
            _ => panic!("unknown header line {line}"),
        }
    }

    /// The records of `make_river.py`, in the forest's feature order.
    fn records(&self) -> impl Iterator<Item = Vec<Option<f64>>> {
        let mut rng = Mt19937::new(self.config.seed + 1000);
        (0..self.n_records).map(move |i| {
            let at = 0.2 + 0.5 * ((i / 1000) % 17) as f64 / 17.0;
            let kind = rng.random();
            let mut x = vec![None; self.features.len()];
            for drawn_idx in 0..self.features.len() {
                let idx = self.features.iter().position(|f| f.drawn_idx == drawn_idx).unwrap();
                let Feature { limits, in_first, .. } = self.features[idx];
                let u = rng.random();
                let v = match kind {
                    k if k < 0.6 => at + 0.05 * u,
                    k if k < 0.9 => at * 0.5 + 0.2 * u * u,
                    _ => u * 2.0 - 0.5,
                };
                let keep = rng.random() >= self.missing;
                if if i == 0 { in_first } else { keep } {
                    x[idx] = Some(limits.low + v * (limits.high - limits.low));
                }
            }
            x
        })
    }

    fn forest(&self) -> Forest {
        let limits: Vec<Limits> = self.features.iter().map(|f| f.limits).collect();
        Forest::new(self.config, &limits).unwrap()
    }
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap()
}

fn fnv1a(hash: u64, bytes: [u8; 8]) -> u64 {
    bytes
        .iter()
        .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Replays the stream of a recording and compares every score, shown or hashed.
fn check(text: &str) {
    let recording = Recording::parse(text);
    let mut forest = recording.forest();
    let mut shown = recording.shown.iter().peekable();
    let (mut hash, mut sum) = (0xcbf2_9ce4_8422_2325, 0.0);
    let mut difference_max = 0.0_f64;
    for (i, x) in recording.records().enumerate() {
        let score = forest.score(&x[..]).unwrap();
        if let Some(dense) = x.iter().copied().collect::<Option<Vec<f64>>>() {
            assert_eq!(forest.score(&dense[..]).unwrap().to_bits(), score.to_bits());
        }
        forest.learn(&x[..]).unwrap();
        hash = fnv1a(hash, score.to_le_bytes());
        sum += score;
        if let Some((_, bits)) = shown.next_if(|(record, _)| *record == i) {
            difference_max = difference_max.max((score - f64::from_bits(*bits)).abs());
            assert_eq!(score.to_bits(), *bits, "record {i}, largest difference {difference_max}");
        }
    }
    assert!(shown.next().is_none());
    assert_eq!(sum.to_bits(), recording.sum_bits, "sum of all scores {sum}");
    assert_eq!(hash, recording.hash, "hash of the bits of all scores");
}

#[test]
fn scores_of_one_feature_at_height_4_equal_river() {
    check(include_str!("../data/river_one_h4.txt"));
}

#[test]
fn scores_of_one_feature_at_height_8_equal_river() {
    check(include_str!("../data/river_one_h8.txt"));
}

#[test]
fn scores_of_one_feature_that_is_sometimes_missing_equal_river() {
    check(include_str!("../data/river_one_h8_missing.txt"));
}

#[test]
fn scores_of_three_features_sometimes_missing_at_height_4_equal_river() {
    check(include_str!("../data/river_three_h4_missing.txt"));
}

#[test]
fn scores_of_three_features_at_height_8_equal_river() {
    check(include_str!("../data/river_three_h8.txt"));
}

#[test]
fn scores_of_three_features_sometimes_missing_equal_river_with_a_seed_above_32_bits() {
    check(include_str!("../data/river_three_h8_missing.txt"));
}

#[test]
fn a_feature_that_the_first_record_lacks_is_never_split_on_as_in_river() {
    let text = include_str!("../data/river_three_h8_late_key.txt");
    check(text);
    let recording = Recording::parse(text);
    let mut forest = recording.forest();
    forest.learn(&recording.records().next().unwrap()[..]).unwrap();
    let late = recording.features.iter().position(|f| !f.in_first).unwrap();
    let splits: Vec<_> = (0..25).flat_map(|tree| forest.splits(tree)).collect();
    assert_eq!(splits.len(), 25 * 255);
    assert!(splits.iter().all(|split| split.feature_idx as usize != late));
}

#[test]
fn scores_at_the_defaults_of_the_scale_service_equal_river() {
    check(include_str!("../data/river_scale_defaults.txt"));
}

#[test]
fn a_value_equal_to_a_threshold_goes_right_as_in_river() {
    let config = ForestConfig { n_trees: 1, height: 1, window: 10, ..ForestConfig::river(1) };
    let mut forest = Forest::new(config, &[Limits::default()]).unwrap();
    forest.learn(&[1.0]).unwrap();
    let threshold = forest.splits(0).next().unwrap().threshold;
    for _ in 0..9 {
        forest.learn(&[threshold]).unwrap();
    }
    assert_eq!(forest.n_reference(), 10);
    let of = |x: f64| forest.score(&[x]).unwrap().to_bits();
    assert_eq!(of(threshold), of(1.0));
    assert_ne!(of(threshold), of(threshold.next_down()));
}

/// Scenario: the cuts river draws for one feature become the edges of bins.
/// Guarantees: the step function over those bins returns river's own numbers.
#[test]
fn the_step_function_over_rivers_own_cuts_equals_river() {
    let recording = Recording::parse(include_str!("../data/river_one_h8.txt"));
    let mut forest = recording.forest();
    let xs: Vec<f64> = recording.records().map(|x| x[0].unwrap()).collect();
    let (window, judged) = (&xs[..250], &xs[250..500]);
    for x in window {
        forest.learn(&[*x]).unwrap();
    }

    let thresholds: Vec<f64> =
        (0..25).flat_map(|tree| forest.splits(tree)).map(|split| split.threshold).collect();
    let mut edges = thresholds.clone();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let bin_of = |x: f64| edges.partition_point(|edge| *edge <= x);
    let cuts = thresholds.iter().map(|t| bin_of(*t) as u16).collect();
    let n_bins = edges.len() + 1;
    let skeleton = Arc::new(Skeleton::from_cuts(8, n_bins, cuts).unwrap());

    let mut mass = vec![0.0; n_bins];
    let mut literal = LiteralForest::new(&skeleton, ScoreKind::River, 250, 250);
    for x in window {
        mass[bin_of(*x)] += 1.0;
        literal.learn(bin_of(*x));
    }
    let mut table = vec![0.0; n_bins];
    skeleton.river(&mass, 250.0, &mut Scratch::default(), &mut table);
    for x in judged {
        let river = forest.score(&[*x]).unwrap().to_bits();
        assert_eq!(table[bin_of(*x)].to_bits(), river);
        assert_eq!(literal.score(bin_of(*x)).to_bits(), river);
    }
}

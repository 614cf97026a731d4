//! Snapshots come back exactly, old ones too, and damaged ones are refused.

use std::sync::Arc;

use spanwise_hst::mt19937::Mt19937;
use spanwise_hst::{
    Error, Forest, ForestConfig, Limits, ScoreKind, Skeleton, StepConfig, StepForest,
};

use crate::streams;

/// Written by version 1 of the format; must open for as long as the crate lives.
const STEP_V1: &[u8] = include_bytes!("../data/step_v1.hstf");
const FOREST_V1: &[u8] = include_bytes!("../data/forest_v1.hstf");

fn skeleton() -> Arc<Skeleton> {
    Arc::new(Skeleton::new(42, 10, 6, 64).unwrap())
}

fn step() -> StepForest {
    let config = StepConfig { window: 300, window_first: 40, score: ScoreKind::River };
    let mut forest = StepForest::new(&skeleton(), config).unwrap();
    for bin in streams::bins(77, 64, 450) {
        forest.learn(bin);
    }
    forest
}

fn forest() -> Forest {
    let config = ForestConfig { n_trees: 4, height: 5, window: 200, ..ForestConfig::river(42) };
    let limits = [Limits::default(), Limits { low: -1.0, high: 3.0 }];
    let mut forest = Forest::new(config, &limits).unwrap();
    forest.learn(&[0.5, 0.5]).unwrap();
    for x in streams::records(77, 2, 0.1, 450) {
        forest.learn(&x[..]).unwrap();
    }
    forest
}

fn step_bytes(forest: &StepForest) -> Vec<u8> {
    let mut out = Vec::new();
    forest.snapshot(&mut out);
    out
}

fn forest_bytes(forest: &Forest) -> Vec<u8> {
    let mut out = Vec::new();
    forest.snapshot(&mut out);
    out
}

#[test]
fn a_restored_model_scores_and_learns_on_like_the_original() {
    let mut original = step();
    let mut restored = StepForest::restore(&step_bytes(&original), &skeleton()).unwrap();
    for bin in streams::bins(78, 64, 900) {
        assert_eq!(restored.score(bin).to_bits(), original.score(bin).to_bits());
        restored.learn(bin);
        original.learn(bin);
        assert_eq!(restored.n_latest(), original.n_latest());
    }
    assert_eq!(step_bytes(&restored), step_bytes(&original));
}

#[test]
fn a_restored_forest_equals_the_original() {
    let original = forest();
    assert!(Forest::restore(&forest_bytes(&original)).unwrap() == original);
    let untaught = Forest::new(ForestConfig::river(9), &[Limits::default(); 5]).unwrap();
    assert!(Forest::restore(&forest_bytes(&untaught)).unwrap() == untaught);
    let tan = Forest::new(ForestConfig { height: 4, ..ForestConfig::tan(9) }, &[Limits::default()]);
    let tan = tan.unwrap();
    assert!(Forest::restore(&forest_bytes(&tan)).unwrap() == tan);
}

#[test]
fn a_snapshot_is_appended_and_leaves_the_bytes_before_it_alone() {
    let mut out = vec![1, 2, 3];
    step().snapshot(&mut out);
    assert_eq!(out[..3], [1, 2, 3]);
    assert_eq!(out[3..], step_bytes(&step()));
}

#[test]
fn files_of_version_1_still_open() {
    let restored = StepForest::restore(STEP_V1, &skeleton()).unwrap();
    assert_eq!((restored.n_reference(), restored.n_latest()), (160, 170));
    assert_eq!(step_bytes(&restored), step_bytes(&step()));
    assert!(Forest::restore(FOREST_V1).unwrap() == forest());
}

/// Rewrites the stored files; run by hand when a version is added:
/// `cargo test -p spanwise-hst -- --ignored`.
#[test]
#[ignore = "writes files into tests/data"]
fn write_the_stored_files() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::write(format!("{dir}/step_v1.hstf"), step_bytes(&step())).unwrap();
    std::fs::write(format!("{dir}/forest_v1.hstf"), forest_bytes(&forest())).unwrap();
}

#[test]
fn every_changed_bit_and_every_truncation_is_refused() {
    for (bytes, opens) in [
        (
            step_bytes(&step()),
            (|b| StepForest::restore(b, &skeleton()).is_ok()) as fn(&[u8]) -> bool,
        ),
        (forest_bytes(&forest()), |b| Forest::restore(b).is_ok()),
    ] {
        assert!(opens(&bytes));
        for at in 0..bytes.len() {
            assert!(!opens(&bytes[..at]), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(!opens(&changed), "changed at {at}");
        }
        assert!(!opens(&[&bytes[..], &[0]].concat()));
    }
}

#[test]
fn refusals_name_their_reason() {
    let bytes = step_bytes(&step());
    let of = |bytes: &[u8]| StepForest::restore(bytes, &skeleton()).unwrap_err();
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert_eq!(of(&newer), Error::SnapshotVersion { found: 2 });
    assert!(of(b"PK\x03\x04....").to_string().contains("no snapshot of a forest"));
    assert!(of(&bytes[..30]).to_string().contains("length differs"));
    assert!(of(&[]).to_string().contains("ends too early"));
    assert!(of(&forest_bytes(&forest())).to_string().contains("another kind of forest"));
    let other = Arc::new(Skeleton::new(43, 10, 6, 64).unwrap());
    assert_eq!(
        StepForest::restore(&bytes, &other).unwrap_err(),
        Error::SkeletonMismatch { expected: other.id(), found: skeleton().id() }
    );
}

/// CRC-32C, bit by bit, written anew so that hostile bytes can carry a checksum that fits.
fn seal(bytes: &mut [u8]) {
    let body = bytes.len() - 4;
    bytes[16..20].copy_from_slice(&(body as u32 - 20).to_le_bytes());
    let mut crc = u32::MAX;
    for byte in &bytes[..body] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
        }
    }
    bytes[body..].copy_from_slice(&(!crc).to_le_bytes());
}

/// Scenario: bytes changed at random places under a checksum that fits.
/// Guarantees: they open to a model that works, or are refused; nothing panics or hangs.
#[test]
fn hostile_bytes_with_a_valid_checksum_never_panic() {
    let mut rng = Mt19937::new(1);
    let (step_bytes, forest_bytes) = (step_bytes(&step()), forest_bytes(&forest()));
    let (mut n_opened, mut n_refused) = (0, 0);
    for _ in 0..20_000 {
        let is_step = rng.random() < 0.5;
        let mut bytes = if is_step { step_bytes.clone() } else { forest_bytes.clone() };
        for _ in 0..=(rng.random() * 3.0) as usize {
            // Mostly the settings at the start of the body, where lengths are.
            let span = if rng.random() < 0.7 { 60 } else { bytes.len() - 4 };
            let at = 7 + (rng.random() * (span - 7) as f64) as usize;
            bytes[at] = match (rng.random() * 3.0) as u32 {
                0 => 0xff,
                1 => 0,
                _ => rng.next_u32() as u8,
            };
        }
        seal(&mut bytes);
        let opened = if is_step {
            StepForest::restore(&bytes, &skeleton()).map(|mut model| {
                (0..64).for_each(|bin| model.learn(bin));
            })
        } else {
            Forest::restore(&bytes).map(|mut model| {
                let x = vec![Some(0.5); model.n_features()];
                model.learn(&x[..]).unwrap();
                assert!((0.0..=1.0).contains(&model.score(&x[..]).unwrap()));
            })
        };
        if opened.is_ok() {
            n_opened += 1;
        } else {
            n_refused += 1;
        }
    }
    assert!(n_opened > 100 && n_refused > 1000, "{n_opened} opened, {n_refused} refused");
}

#[test]
fn bytes_behind_the_last_mass_are_refused() {
    for (mut bytes, is_step) in [(step_bytes(&step()), true), (forest_bytes(&forest()), false)] {
        bytes.push(0);
        seal(&mut bytes);
        let refused = if is_step {
            StepForest::restore(&bytes, &skeleton()).map(|_| ())
        } else {
            Forest::restore(&bytes).map(|_| ())
        };
        assert!(refused.unwrap_err().to_string().contains("goes on after its end"));
    }
}

/// Scenario: a header that promises the largest forest, and nothing behind it.
/// Guarantees: refused before anything is allocated for it.
#[test]
fn promised_sizes_are_not_believed() {
    let mut bytes = forest_bytes(&forest());
    bytes.truncate(20);
    for setting in [128_u32, 14, 250] {
        bytes.extend_from_slice(&setting.to_le_bytes());
    }
    bytes.extend_from_slice(&42_u64.to_le_bytes());
    bytes.push(1);
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    seal(&mut bytes);
    assert!(matches!(Forest::restore(&bytes), Err(Error::SnapshotCorrupt { offset: 45, .. })));
}

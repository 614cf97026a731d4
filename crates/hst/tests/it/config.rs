//! What is refused, and how the refusal reads.

use std::sync::Arc;

use spanwise_hst::{
    Error, Forest, ForestConfig, Limits, ScoreKind, Skeleton, StepConfig, StepForest,
};

fn refused_setting<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Setting { name, .. }) => name,
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn skeletons_out_of_range_are_refused() {
    let check = |n_trees, height, n_bins, name| {
        assert_eq!(refused_setting(Skeleton::new(1, n_trees, height, n_bins)), name);
    };
    check(0, 8, 416, "n_trees");
    check(1025, 8, 416, "n_trees");
    check(1024, 15, 416, "n_trees");
    check(25, 0, 416, "height");
    check(25, 16, 416, "height");
    check(25, usize::MAX, 416, "height");
    check(25, 8, 1, "n_bins");
    check(25, 8, 65_536, "n_bins");
    assert!(Skeleton::new(1, 1, 15, 65_535).is_ok());
    assert!(Skeleton::new(1, 1, 1, 2).is_ok());
}

#[test]
fn given_cuts_out_of_range_are_refused() {
    let check = |height, cuts, name| {
        assert_eq!(refused_setting(Skeleton::from_cuts(height, 16, cuts)), name);
    };
    check(0, vec![], "n_trees");
    check(2, vec![], "n_trees");
    check(2, vec![8, 4], "n_trees");
    check(2, vec![8, 4, 12, 8], "cuts");
    check(2, vec![8, 4, 17], "cuts");
    check(usize::MAX, vec![8; 32_767], "height");
}

#[test]
fn windows_out_of_range_are_refused() {
    let skeleton = Arc::new(Skeleton::new(1, 1024, 12, 16).unwrap());
    let check = |window, window_first, name| {
        let config = StepConfig { window, window_first, score: ScoreKind::Tan };
        assert_eq!(refused_setting(StepForest::new(&skeleton, config)), name);
    };
    check(0, 1, "window");
    check(u32::MAX, 1, "window");
    check(100, 0, "window_first");
    check(100, 101, "window_first");
}

#[test]
fn forests_out_of_range_are_refused() {
    let check = |config: ForestConfig, limits: &[Limits], name| {
        assert_eq!(refused_setting(Forest::new(config, limits)), name);
    };
    let unit = [Limits::default()];
    let config = ForestConfig::river(1);
    check(ForestConfig { n_trees: 0, ..config }, &unit, "n_trees");
    check(ForestConfig { n_trees: usize::MAX, ..config }, &unit, "n_trees");
    check(ForestConfig { n_trees: 1024, height: 15, ..config }, &unit, "n_trees");
    check(ForestConfig { height: 0, ..config }, &unit, "height");
    check(ForestConfig { height: 16, ..config }, &unit, "height");
    check(ForestConfig { window: 0, ..config }, &unit, "window");
    check(config, &[], "limits");
    check(config, &vec![Limits::default(); 4097], "limits");
    for (low, high) in
        [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (-1.7e308, 1.7e308)]
    {
        check(config, &[Limits { low, high }], "limits");
    }
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    let mut forest = Forest::new(ForestConfig::river(1), &[Limits::default(); 2]).unwrap();
    let mut check = |x: &[Option<f64>], expected: Error| {
        let before = forest.clone();
        assert_eq!(forest.score(x).unwrap_err(), expected);
        assert_eq!(forest.learn(x).unwrap_err(), expected);
        assert!(forest == before);
    };
    let bad = f64::NAN;
    check(&[Some(0.5)], Error::FeatureCount { expected: 2, found: 1 });
    check(&[Some(0.5); 3], Error::FeatureCount { expected: 2, found: 3 });
    check(&[Some(0.5), Some(bad)], Error::NotFinite { feature_idx: 1 });
    check(&[Some(f64::INFINITY), Some(bad)], Error::NotFinite { feature_idx: 0 });
    check(&[None, Some(f64::NEG_INFINITY)], Error::NotFinite { feature_idx: 1 });
    assert_eq!(forest.learn(&[None, None]), Err(Error::NoFeature));
    assert_eq!(forest.score(&[None, None]), Ok(0.0));
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let check = |error: Error, text: &str| assert_eq!(error.to_string(), text);
    check(Error::Setting { name: "height", expected: "1 to 15" }, "height must be 1 to 15");
    check(
        Error::NotFinite { feature_idx: 3 },
        "feature 3 is not a finite number, pass it as missing instead",
    );
    check(
        Error::SnapshotVersion { found: 9 },
        "snapshot version 9 is unknown to this build, relearn or upgrade",
    );
    check(
        Error::SnapshotCorrupt { offset: 12, problem: "ends too early" },
        "snapshot damaged at byte 12: ends too early, start without it",
    );
}

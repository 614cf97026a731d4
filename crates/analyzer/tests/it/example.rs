//! The sample configuration that users start from must be sound.

use std::sync::Arc;

use serde::Deserialize;
use spanwise_analyzer::rules::testing::{START, Stream, TestCase};
use spanwise_analyzer::rules::{KnownTarget, Predicates, RuleConfig, RuleSet, RuleWindows};

const TEXT: &str = include_str!("../../../../examples/rules.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    scaler: Scaler,
    tests: Vec<TestCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaler {
    #[serde(rename = "mode")]
    _mode: String,
    targets: Vec<Target>,
    rules: Vec<RuleConfig>,
}

/// Targets are the application's; here only what rules need.
#[derive(Deserialize)]
struct Target {
    service: String,
    scalable: Option<bool>,
    max: Option<u32>,
}

fn file() -> (File, Arc<RuleSet>, Vec<KnownTarget>) {
    let file: File = serde_saphyr::from_str(TEXT).unwrap();
    let known = |target: &Target| KnownTarget {
        name: Arc::from(&*target.service),
        scalable: target.scalable.unwrap_or(true),
        max: target.max.unwrap_or(0),
    };
    let targets: Vec<_> = file.scaler.targets.iter().map(known).collect();
    let (set, problems) = RuleSet::compile(&file.scaler.rules, &targets);
    assert_eq!(problems, []);
    (file, Arc::new(set.unwrap()), targets)
}

#[test]
fn the_sample_configuration_has_no_problem() {
    let (file, rules, targets) = file();
    assert!(file.tests.len() >= 5);
    for (idx, case) in file.tests.iter().enumerate() {
        assert_eq!(case.check(&format!("tests[{idx}]"), &rules, &targets), []);
    }
}

#[test]
fn each_rule_of_the_sample_fires_in_one_of_its_tests() {
    let (file, rules, _) = file();
    let mut fired = vec![0; rules.len()];
    for case in &file.tests {
        let mut stream = Stream::new(case);
        let mut predicates = Predicates::new(Arc::clone(&rules));
        let mut windows = RuleWindows::new(Arc::clone(&rules));
        for second in 1..=60 {
            let now = START.plus_ns(second * 1_000_000_000);
            stream.feed(now, &mut predicates);
            let (mut counts, mut findings) = (Vec::new(), Vec::new());
            assert_eq!(predicates.drain(&mut counts), 0);
            for count in &counts {
                windows.add(count, now);
            }
            windows.tick(now, &mut findings);
            for finding in findings.iter().filter(|finding| !finding.resting) {
                let idx = rules.rules().iter().position(|r| r.reference == finding.rule).unwrap();
                fired[idx] += 1;
            }
        }
    }
    assert!(fired.iter().all(|&n| n > 0), "{fired:?}");
}

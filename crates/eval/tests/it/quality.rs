//! The default profile on streams whose truth is known: what it must reach, mean of three seeds.

use spanwise_eval::spans::{Question, Report, Truth, run};
use spanwise_eval::{Judge, Rows, Stream};
use spanwise_sim::synthetic::Scenario;

use crate::meter;

/// Ranks by the default score, from `rows` on.
fn report(scenario: Scenario, rows: &str, judge: Judge) -> Report {
    let question =
        Question { truth: Truth::RootCause, judge, rows: Rows::parse(rows).unwrap(), faults: &[] };
    let answer = |seed: u64| {
        let stream = Stream::synthetic(scenario, 1 + seed).unwrap();
        run(&stream, &question, 42 + seed, &meter()).unwrap()
    };
    Report::of(&[0, 1, 2].map(answer)).unwrap()
}

const DEFAULT: Judge = Judge::Default(Truth::RootCause.score());

/// An oracle that knows every parameter reaches 0.964.
#[test]
fn slow_spans_of_sites_with_one_mode_are_found() {
    let f1 = report(Scenario::Unimodal, "40001..160000", DEFAULT).f1_max.mean.unwrap();
    assert!(f1 >= 0.95, "{f1}");
    let published = report(Scenario::Unimodal, "40001..160000", Judge::Scale).f1_max.mean.unwrap();
    assert!(published < 0.4, "{published}");
}

/// A z-score per site reaches 0.70.
#[test]
fn slow_spans_of_sites_with_two_modes_are_found() {
    let f1 = report(Scenario::Bimodal, "40001..160000", DEFAULT).f1_max.mean.unwrap();
    assert!(f1 >= 0.92, "{f1}");
}

#[test]
fn a_new_site_is_judged_well_from_its_33rd_span() {
    let auc = report(Scenario::Cold, "1..120000", DEFAULT).auc.mean.unwrap();
    assert!(auc >= 0.999, "{auc}");
}

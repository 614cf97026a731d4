//! Planted shocks: which are found, and at which price.

use spanwise_eval::shocks::{Plant, Question, Report, run};
use spanwise_eval::{Fault, Score, Stream};
use spanwise_model::Timestamp;
use spanwise_sim::synthetic::{BEGIN, Scenario};

use crate::meter;

fn question(plant: Plant, faults: &[Fault]) -> Question<'_> {
    Question { plant, every: 20, score: Score::SiteSelf, faults }
}

#[test]
fn shocks_in_calm_traffic_are_found_by_their_site_and_not_by_one_threshold() {
    let stream = Stream::synthetic(Scenario::Unimodal, 1).unwrap();
    let runs = [run(&stream, &question(Plant::R2, &[]), 1, &meter()).unwrap()];
    let Report { default, scale } = Report::of(&runs).unwrap();
    assert_eq!(default.spans.mean, Some(57_908.0));
    assert_eq!(default.positives.mean, Some(2895.0));
    assert_eq!((default.operating_point, scale.score), ("best_f1", "river"));
    let f1 = [default.f1.mean.unwrap(), scale.f1.mean.unwrap()];
    assert!(f1[0] > f1[1] + 0.1, "{f1:?}");
    let [tp, fp, fn_] = [default.true_positives, default.false_positives, default.false_negatives]
        .map(|figure| figure.mean.unwrap());
    assert!((tp + fn_ - 2895.0).abs() < 1e-9);
    assert!((default.precision.mean.unwrap() - tp / (tp + fp)).abs() < 1e-9);
    assert!((f1[0] - 2.0 * tp / (2.0 * tp + fp + fn_)).abs() < 1e-9);
}

#[test]
fn at_recall_1_nothing_planted_is_missed() {
    let stream = Stream::synthetic(Scenario::Unimodal, 2).unwrap();
    let runs = [run(&stream, &question(Plant::R1, &[]), 1, &meter()).unwrap()];
    let json = serde_json::to_value(Report::of(&runs).unwrap()).unwrap();
    for profile in ["default", "scale"] {
        let row = &json[profile];
        assert_eq!(row["operating_point"], "recall_1");
        assert_eq!((&row["recall"], &row["false_negatives"]), (&1.0.into(), &0.into()));
        assert_eq!(row["f1"], row["f1_at_recall_1"]);
        assert_eq!(row["precision"], row["precision_at_recall_1"]);
        for name in ["accuracy", "fpr", "us_per_span", "average_precision"] {
            assert!(row[name].is_number(), "{name}: {row}");
        }
    }
}

#[test]
fn spans_near_an_injection_are_left_out_and_too_few_are_refused() {
    let stream = Stream::synthetic(Scenario::Unimodal, 1).unwrap();
    // 400,000 spans at 200 a second: an injection every 420 s leaves next to nothing.
    let fault = |i: u64| Fault {
        begin: Timestamp(BEGIN.as_ns() + 425_000_000_000 * i),
        kind: String::new(),
        service: String::new(),
    };
    let faults: Vec<Fault> = (0..5).map(fault).collect();
    let error = run(&stream, &question(Plant::R2, &faults), 1, &meter()).unwrap_err();
    assert!(error.to_string().contains("67908 are needed"), "{error}");
}

//! Ranked spans: figures, windows of faults, and the names of the report.

use std::sync::Arc;

use serde_json::Value;
use spanwise_eval::spans::{Question, Report, Run, Truth, run};
use spanwise_eval::{Error, Fault, Judge, Labels, Recorded, Rows, Score, Stream, StreamBuilder};
use spanwise_model::{SpanKind, StatusCode, Timestamp, TraceId};

use crate::meter;

const N: u64 = 6000;
const BEGIN_S: u64 = 1_000_000;

/// One span every 100 ms, alternately of `cart` and `pay`, 20 ms long; in the second minute of ten
/// `cart` takes 400 ms.
fn stream() -> Stream {
    let mut builder = StreamBuilder::new();
    let services = [Arc::from("cart"), Arc::from("pay")];
    let operation = Arc::from("Get");
    for i in 0..N {
        let is_slow = i % 2 == 0 && (600..1200).contains(&i);
        let dur_ms = if is_slow { 400 } else { 20 + i % 5 };
        let labels = Labels { root_cause: is_slow, slow_path: is_slow, ..Labels::default() };
        let span = Recorded {
            trace_id: TraceId(u128::from(i + 1).to_be_bytes()),
            idx: 0,
            parent_idx: -1,
            service: &services[(i % 2) as usize],
            operation: &operation,
            kind: SpanKind::Server,
            start: Timestamp::from_millis(1000 * BEGIN_S + 100 * i),
            dur_ns: dur_ms * 1_000_000,
            status: StatusCode::Unset,
            labels,
        };
        builder.push(&span).unwrap();
    }
    builder.finish()
}

fn faults() -> [Fault; 2] {
    let fault = |secs, service: &str| Fault {
        begin: Timestamp::from_secs(BEGIN_S + secs),
        kind: "cpu_contention".to_owned(),
        service: service.to_owned(),
    };
    [fault(60, "cart"), fault(10_000, "pay")]
}

fn question<'a>(truth: Truth, score: Score, rows: &str, faults: &'a [Fault]) -> Question<'a> {
    Question { truth, judge: Judge::Default(score), rows: Rows::parse(rows).unwrap(), faults }
}

fn answer(question: &Question<'_>) -> Run {
    run(&stream(), question, 1, &meter()).unwrap()
}

#[test]
fn slow_spans_rank_before_all_others() {
    let report = Report::of(&[answer(&question(Truth::RootCause, Score::SiteSelf, "301..", &[]))]);
    let report = report.unwrap();
    assert_eq!(report.spans.mean, Some((N - 300) as f64));
    assert_eq!(report.positives.mean, Some(300.0));
    assert!(report.average_precision.mean.unwrap() > 0.999, "{report:?}");
    assert!(report.auc.mean.unwrap() > 0.999);
    // 5 % of 5,700 spans is 285: fewer than there are slow ones, and their scores are equal.
    assert!(report.recall_at[2].1.mean.unwrap() < 1.0);
    assert_eq!(report.average_precision.se, None);
}

#[test]
fn a_fault_counts_spans_of_its_service_in_its_window() {
    let faults = faults();
    let question = question(Truth::Fault, Score::Duration, "1..", &faults);
    let report = Report::of(&[answer(&question)]).unwrap();
    // The window of 210 s holds 2,100 spans, every other one of the service.
    assert_eq!(report.positives.mean, Some(1050.0));
    let [first, second] = &report.by_fault[..] else { panic!("{report:?}") };
    assert_eq!((first.fault, first.spans.mean), (0, Some(2100.0)));
    assert_eq!(first.service.as_deref(), Some("cart"));
    assert_eq!((second.spans.mean, second.positives.mean), (Some(0.0), Some(0.0)));
    assert_eq!(second.average_precision.mean, None);
}

#[test]
fn rows_after_the_last_are_not_replayed_and_rows_before_the_first_are_learned() {
    let replayed = std::cell::Cell::new(0);
    let progress = |n| replayed.set(replayed.get() + n);
    let meter = spanwise_eval::Meter { progress: &progress, ..meter() };
    let question = question(Truth::RootCause, Score::SiteSelf, "601..700", &[]);
    let report = Report::of(&[run(&stream(), &question, 1, &meter).unwrap()]).unwrap();
    assert_eq!(replayed.get(), 700);
    assert_eq!(report.spans.mean, Some(100.0));
    assert!(report.average_precision.mean.unwrap() > 0.999, "the first 600 rows were not learned");
}

#[test]
fn the_report_has_the_names_of_the_contract() {
    let faults = faults();
    let question = question(Truth::SlowPath, Score::Impact, "1..", &faults);
    let runs = [answer(&question), answer(&question)];
    let json = serde_json::to_value(Report::of(&runs).unwrap()).unwrap();
    for name in ["spans", "positives", "average_precision", "f1_max", "ns_per_span"] {
        assert!(json[name].is_number(), "{name}: {json}");
        assert!(json[format!("{name}_se")].is_number(), "{name}_se: {json}");
    }
    assert_eq!(json["score"], "impact");
    assert!(json["spans"].is_u64());
    for share in ["0.005", "0.01", "0.05"] {
        assert!(json["recall_at"][share].is_number());
        assert!(json["recall_at_se"][share].is_number());
    }
    assert_eq!(json["recall_at"].as_object().unwrap().len(), 3);
    let fault = &json["by_fault"][0];
    assert_eq!((&fault["fault"], &fault["type"]), (&0.into(), &"cpu_contention".into()));
    assert_eq!((&fault["service"], &fault["spans"]), (&"cart".into(), &2100.into()));
    assert_eq!(json["by_fault"][1]["average_precision"], Value::Null);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let check = |question: Question<'_>, expected: &str| {
        let error: Error = run(&stream(), &question, 1, &meter()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(question(Truth::Fault, Score::Impact, "1..", &[]), "--faults");
    check(question(Truth::RootCause, Score::Cause, "6001..", &[]), "lower the first row");
}

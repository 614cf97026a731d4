//! Whole traces under a budget, on the mixed synthetic stream.

use spanwise_eval::Stream;
use spanwise_eval::traces::{Bound, Question, Row, Thin, plots, run};
use spanwise_sampler::trace::{Algorithm, Waiting};
use spanwise_sim::synthetic::Scenario;

fn question(samplers: &[Algorithm], budgets: &[f64]) -> Question {
    Question {
        budgets: budgets.to_vec(),
        samplers: samplers.to_vec(),
        bound: Bound::Total,
        thin: Thin(1),
        n_shards: 1,
        n_warmup: 1024,
        waiting: Waiting::default(),
        seed: 42,
    }
}

fn rows(question: &Question) -> Vec<Row> {
    let stream = Stream::synthetic(Scenario::Mixed, 1).unwrap();
    run(&stream, question, &crate::meter()).unwrap()
}

fn check_spent(row: &Row) {
    let spent = row.kept as f64 / (row.budget * row.seen as f64);
    assert!((0.98..=1.0).contains(&spent), "{} {}: {spent}", row.sampler, row.budget);
    assert!(row.excess <= 0.0, "{} {}: {}", row.sampler, row.budget, row.excess);
}

/// Guarantees: the default finds planted anomalies of every kind within small budgets, and never
/// exceeds one.
#[test]
fn the_default_finds_what_was_planted() {
    let rows = rows(&question(&[Algorithm::Hybrid], &[0.01, 0.02, 0.05]));
    for (row, recall) in rows.iter().zip([0.75, 0.95, 0.98]) {
        check_spent(row);
        assert!(row.coverage.unwrap() >= recall, "{row:?}");
    }
    let ceiling = rows[2].oracle_precision.unwrap();
    assert!(rows[2].precision.unwrap() >= 0.95 * ceiling, "{:?}", rows[2]);
}

/// Guarantees: the reconstruction of `SampleHST` beats that of its published rival by the factor its
/// paper claims.
#[test]
fn samplehst_beats_its_published_rival() {
    const FACTOR: f64 = 2.3;
    let rows = rows(&question(&[Algorithm::SampleHst, Algorithm::LasCasas], &[0.01, 0.05]));
    let (ours, rival) = rows.split_at(2);
    for (ours, rival) in ours.iter().zip(rival) {
        check_spent(ours);
        check_spent(rival);
        for figure in [|row: &Row| row.precision, |row: &Row| row.coverage, |row: &Row| row.f1] {
            let ratio = figure(ours).unwrap() / figure(rival).unwrap();
            assert!(ratio >= FACTOR, "{ratio}: {ours:?} {rival:?}");
        }
    }
}

#[test]
fn the_bound_holds_for_every_five_minutes_and_any_number_of_shards() {
    for n_shards in [1, 16] {
        let question = Question {
            bound: Bound::FiveMinutes,
            n_shards,
            ..question(&[Algorithm::Hybrid, Algorithm::Uniform], &[0.02])
        };
        for row in rows(&question) {
            assert!(row.max_window_rate <= row.budget, "{n_shards}: {row:?}");
            assert!(row.kept as f64 >= 0.9 * row.budget * row.seen as f64, "{n_shards}: {row:?}");
        }
    }
}

#[test]
fn rows_are_numbers_under_the_promised_names() {
    const NAMES: [&str; 22] = [
        "sampler",
        "budget",
        "bound",
        "thin",
        "seen",
        "kept",
        "sampled_rate",
        "max_window_rate",
        "precision",
        "coverage",
        "coverage_slow",
        "coverage_struct",
        "f1",
        "faults_touched",
        "faults_total",
        "distinct_topologies",
        "distinct_topologies_normal",
        "distinct_topologies_total",
        "oracle_coverage",
        "oracle_precision",
        "ns_per_trace",
        "ns_per_span",
    ];
    let rows = rows(&question(&[Algorithm::Slowest], &[0.05]));
    let json = serde_json::to_value(&rows).unwrap();
    let row = json[0].as_object().unwrap();
    let names: Vec<&str> = row.keys().map(String::as_str).collect();
    let mut expected = NAMES.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(row.iter().all(|(name, value)| {
        value.is_number() || value.is_null() || ["sampler", "bound"].contains(&name.as_str())
    }));
    let plots = plots(&rows);
    assert_eq!(plots.len(), 3);
    assert!(plots.iter().all(|(_, svg)| svg.starts_with("<svg")));
}

#[test]
fn fewer_anomalies_are_there_when_thinned_and_a_short_stream_is_refused() {
    let thinned = Question { thin: Thin(4), ..question(&[Algorithm::Uniform], &[0.1]) };
    let seen = |question: &Question| rows(question)[0].seen;
    let all = seen(&question(&[Algorithm::Uniform], &[0.1]));
    assert!((80..140).contains(&(all - seen(&thinned))), "{all}");
    let stream = Stream::synthetic(Scenario::Mixed, 1).unwrap();
    let question = Question { n_warmup: 20_000, ..question(&[Algorithm::Uniform], &[0.1]) };
    let error = run(&stream, &question, &crate::meter()).unwrap_err();
    assert_eq!(error.to_string(), "20000 traces where 20001 are needed, give a smaller --warmup");
}

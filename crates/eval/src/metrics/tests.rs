use super::*;

fn curve(scores: &[f64], truth: &[u8]) -> Curve {
    Curve::new(scores.iter().zip(truth).map(|(&score, &t)| (score, t == 1)).collect())
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-11, "{found}, not {expected}");
}

struct Expected {
    n_positives: u64,
    average_precision: f64,
    f1_max: f64,
    auc: f64,
    recall_at: [f64; 4],
    precision_at_recall_1: f64,
}

/// The ranking of `scikit_learn.py`, integer for integer.
fn check(n: u64, n_scores: u64, expected: &Expected) {
    let span = |i: u64| {
        let score = (i * i * 31 + 7 * i) % n_scores;
        let dice = (i * 2_654_435_761) % (1 << 32) % 1000;
        (score as f64, dice < 20 + 300 * score / n_scores)
    };
    let curve = Curve::new((0..n).map(span).collect());
    assert_eq!((curve.n(), curve.n_positives()), (n, expected.n_positives));
    near(curve.average_precision(), expected.average_precision);
    near(curve.f1_max(), expected.f1_max);
    near(curve.auc(), expected.auc);
    for (share, recall) in [0.005, 0.01, 0.05, 0.5].into_iter().zip(expected.recall_at) {
        near(curve.recall_at(share), recall);
    }
    let full = curve.full_recall().map(|point| curve.confusion(point).precision());
    near(full, expected.precision_at_recall_1);
}

#[test]
fn figures_are_those_of_scikit_learn() {
    check(
        1000,
        97,
        &Expected {
            n_positives: 187,
            average_precision: 0.311_110_256_574,
            f1_max: 0.427_104_722_793,
            auc: 0.711_759_443_798,
            recall_at: [0.0, 0.0, 0.064_171_122_995, 0.721_925_133_690],
            precision_at_recall_1: 0.187,
        },
    );
    check(
        1000,
        3,
        &Expected {
            n_positives: 86,
            average_precision: 0.191_024_862_071,
            f1_max: 0.338_902_147_971,
            auc: 0.769_464_658_287,
            recall_at: [0.0, 0.0, 0.0, 0.825_581_395_349],
            precision_at_recall_1: 0.086,
        },
    );
    check(
        5000,
        2003,
        &Expected {
            n_positives: 823,
            average_precision: 0.266_663_066_480,
            f1_max: 0.350_032_113_038,
            auc: 0.669_757_809_866,
            recall_at: [0.013_365_735_115, 0.020_656_136_087, 0.108_140_947_752, 0.702_308_626_974],
            precision_at_recall_1: 0.1646,
        },
    );
}

#[test]
fn a_ranking_worked_out_by_hand() {
    // Flagged 1, 2, 3, 4: true 1, 1, 2, 2.
    let curve = curve(&[0.9, 0.8, 0.7, 0.1], &[1, 0, 1, 0]);
    near(curve.average_precision(), 0.5 + 0.5 * (2.0 / 3.0));
    near(curve.f1_max(), 0.8);
    near(curve.auc(), 0.75);
    near(curve.recall_at(0.25), 0.5);
    near(curve.recall_at(0.74), 0.5);
    near(curve.recall_at(0.75), 1.0);
    let full = curve.full_recall().unwrap();
    assert_eq!((full.n_flagged, full.n_true), (3, 2));
    assert_eq!(
        curve.confusion(full),
        Confusion { true_positives: 2, false_positives: 1, false_negatives: 0, true_negatives: 1 }
    );
}

#[test]
fn equal_scores_are_one_step_whatever_their_order() {
    for truth in [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] {
        let curve = curve(&[0.5; 4], &truth);
        near(curve.average_precision(), 0.25);
        near(curve.auc(), 0.5);
        near(curve.recall_at(0.5), 0.0);
    }
    near(curve(&[0.0, -0.0], &[1, 0]).average_precision(), 0.5);
    near(curve(&[-0.0, 0.0], &[1, 0]).average_precision(), 0.5);
}

#[test]
fn a_missing_score_ranks_last() {
    near(curve(&[f64::NAN, 0.1, -1e300], &[1, 0, 0]).average_precision(), 1.0 / 3.0);
    near(curve(&[f64::NAN, f64::NEG_INFINITY], &[1, 0]).average_precision(), 0.5);
}

#[test]
fn what_does_not_apply_is_nothing() {
    let negatives = curve(&[0.1, 0.2], &[0, 0]);
    assert_eq!(negatives.average_precision(), None);
    assert_eq!(negatives.f1_max(), None);
    assert_eq!(negatives.full_recall(), None);
    assert_eq!(negatives.recall_at(1.0), None);
    assert_eq!(negatives.auc(), None);
    assert_eq!(curve(&[0.1], &[1]).auc(), None);
    assert_eq!(curve(&[], &[]).average_precision(), None);
}

#[test]
fn counts_become_shares() {
    let counts =
        Confusion { true_positives: 6, false_positives: 2, false_negatives: 4, true_negatives: 88 };
    near(Some(counts.precision()), 0.75);
    near(Some(counts.recall()), 0.6);
    near(Some(counts.f1()), 2.0 / 3.0);
    near(Some(counts.accuracy()), 0.94);
    near(Some(counts.fpr()), 2.0 / 90.0);
    near(Some(Confusion::default().precision()), 0.0);
}

use spanwise_model::{SpanKind, StatusCode};

use super::*;
use crate::stream::{Labels, Recorded, StreamBuilder};

const MS: u64 = 1_000_000;

/// (trace, number, parent, start in ms, duration in ms).
type Spec = (u8, i32, i32, u64, u64);

fn stream(spans: &[Spec]) -> Stream {
    let mut builder = StreamBuilder::new();
    let service = Arc::from("cart");
    for &(trace, idx, parent_idx, start_ms, dur_ms) in spans {
        // A call site per depth, so that self times are told apart.
        let operation = Arc::from(if parent_idx < 0 { "root" } else { "leaf" });
        let span = Recorded {
            trace_id: TraceId([trace; 16]),
            idx,
            parent_idx,
            service: &service,
            operation: &operation,
            kind: SpanKind::Server,
            start: Timestamp::from_millis(1_000_000 + start_ms),
            dur_ns: dur_ms * MS,
            status: StatusCode::Unset,
            labels: Labels::default(),
        };
        builder.push(&span).unwrap();
    }
    builder.finish()
}

fn scores(stream: &Stream, order: &[u32], shocks: &[(u32, u64)], judge: Judge) -> Played {
    let shocks = shocks.iter().copied().collect();
    let ticks = std::cell::Cell::new(0);
    let clock_ns = || {
        ticks.set(ticks.get() + 10);
        ticks.get()
    };
    let meter = Meter { clock_ns: &clock_ns, progress: &|_| () };
    play(&Play { stream, order, shocks: &shocks, judge, seed: 1 }, &meter).unwrap()
}

/// 60 traces of a root of 20 ms with a leaf of 10 ms in it, 100 ms apart; then the spans given.
fn warm(more: &[Spec]) -> (Stream, Vec<u32>) {
    let mut spans: Vec<Spec> = Vec::new();
    for trace in 0..60_u8 {
        let start = 100 * u64::from(trace);
        spans.push((trace + 1, 0, -1, start, 20));
        spans.push((trace + 1, 1, 0, start + 5, 10));
    }
    spans.extend_from_slice(more);
    let stream = stream(&spans);
    let order = stream.by_end(0..stream.len() as u32);
    (stream, order)
}

#[test]
fn every_played_span_has_a_score_and_no_other() {
    let (stream, order) = warm(&[(200, 0, -1, 7000, 20), (200, 1, 0, 7005, 400)]);
    for score in Score::ALL {
        let played = scores(&stream, &order[..100], &[], Judge::Default(score));
        for (position, &row) in order.iter().enumerate() {
            let is_scored = !played.scores[row as usize].is_nan();
            assert_eq!(is_scored, position < 100, "{score:?} row {row}");
        }
    }
}

#[test]
fn the_span_in_which_the_time_was_lost_ranks_first() {
    // The leaf takes 400 ms and its root as much longer: the root's own time is as ever.
    let (stream, order) = warm(&[(200, 0, -1, 7000, 410), (200, 1, 0, 7005, 400)]);
    let (root, leaf) = (120, 121);
    let played = scores(&stream, &order, &[], Judge::Default(Score::SiteSelf));
    let most = played.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((played.scores[leaf] - most).abs() < 1e-9);
    assert!(played.scores[root] < most - 3.0, "{} {most}", played.scores[root]);
    let by_duration = scores(&stream, &order, &[], Judge::Default(Score::SiteDur));
    assert!(by_duration.scores[root] > played.scores[root] + 3.0);
}

/// Scenario: a trace whose leaf is a hundred times slower comes before or after another one.
/// Guarantees: a score uses only spans that had ended when its trace closed.
#[test]
fn what_ends_later_changes_no_score() {
    let (short, order_short) = warm(&[(200, 0, -1, 7000, 20)]);
    let (long, order_long) = warm(&[(200, 0, -1, 7000, 20), (201, 0, -1, 9000, 2000)]);
    for score in Score::ALL {
        let before = scores(&short, &order_short, &[], Judge::Default(score));
        let after = scores(&long, &order_long, &[], Judge::Default(score));
        for row in 0..short.len() {
            assert_eq!(before.scores[row].to_bits(), after.scores[row].to_bits(), "{score:?}");
        }
    }
}

/// Scenario: a leaf is shocked from 10 to 1,000 ms.
/// Guarantees: its duration and self time grow by the difference; its root's do not change.
#[test]
fn a_shock_stays_with_its_span() {
    let (stream, order) = warm(&[(200, 0, -1, 7000, 20), (200, 1, 0, 7005, 10)]);
    let (root, leaf) = (120, 121);
    for score in [Score::SiteSelf, Score::SiteDur, Score::Cause] {
        let calm = scores(&stream, &order, &[], Judge::Default(score));
        let shocked = scores(&stream, &order, &[(leaf, 1000 * MS)], Judge::Default(score));
        assert!(shocked.scores[leaf as usize] > calm.scores[leaf as usize] + 3.0, "{score:?}");
        assert_eq!(shocked.scores[root].to_bits(), calm.scores[root].to_bits(), "{score:?}");
    }
    let raw = scores(&stream, &order, &[(leaf, 1000 * MS)], Judge::Default(Score::Duration));
    assert_eq!(raw.scores[leaf as usize].to_bits(), 1e9_f64.to_bits());
    assert_eq!(raw.ns_per_span, None);
}

#[test]
fn a_shock_may_make_a_span_shorter() {
    let (stream, order) = warm(&[(200, 0, -1, 7000, 3000), (200, 1, 0, 7005, 10)]);
    let shock = [(120, MS)];
    let played = scores(&stream, &order, &shock, Judge::Default(Score::SiteSelf));
    assert!(played.scores[120] <= -16.0, "{}", played.scores[120]);
}

#[test]
fn the_published_sampler_scores_nothing_while_it_trains() {
    let spec = |i: u32| {
        let dur_ms = if i == 10_400 { 900 } else { 20 + u64::from(i % 7) };
        ((i % 251) as u8, (i / 251).cast_signed(), -1, 10 * u64::from(i), dur_ms)
    };
    let spans: Vec<Spec> = (0..10_500).map(spec).collect();
    let stream = stream(&spans);
    let order: Vec<u32> = (0..10_500).collect();
    let played = scores(&stream, &order, &[], Judge::Scale);
    assert!(played.scores[..10_000].iter().all(|&score| score.abs() < 1e-12));
    let most = played.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((played.scores[10_400] - most).abs() < 1e-12 && most > 0.9, "{most}");
}

#[test]
fn time_is_taken_once_around_each_batch() {
    let (stream, order) = warm(&[]);
    let played = scores(&stream, &order, &[], Judge::Default(Score::Cause));
    // Every reading of this clock is 10 ns after the one before: one batch, and the last windows.
    assert_eq!(played.ns_per_span, Some(20.0 / 120.0));
}

//! How much is kept.

use std::sync::Arc;

use spanwise_model::Batch;
use spanwise_sampler::{Budget, Config};

use crate::stream::{CART, PAY, SECOND_NS, START, Stream};

/// 100 spans a second of two sites for two hours.
fn check(budget: &str, expected_share: std::ops::RangeInclusive<f64>) {
    let config = Config { budget: budget.parse().unwrap(), ..Config::default() };
    let mut stream = Stream::new(config, 11);
    for i in 0..720_000 {
        let shape = if i % 5 < 2 { CART } else { PAY };
        let latency_ns = stream.latency_ns(shape);
        stream.send(shape, latency_ns, START.plus_ns(i * SECOND_NS / 100));
    }
    let stats = stream.sampler.stats();
    assert_eq!(stats.n_seen, 720_000);
    let share = stats.kept_share();
    assert!(expected_share.contains(&share), "{budget}: {share} {stats:?}");
    assert!(stats.calibration_ks < 0.05, "{stats:?}");
}

#[test]
fn the_share_kept_is_the_budget() {
    check("1%", 0.009..=0.011);
    check("5%", 0.045..=0.055);
    check("2/s", 0.018..=0.022);
}

/// Scenario: a sampler that knows nothing yet; one span in ten has times that cannot be.
/// Guarantees: a budget of 100 % keeps every span exactly once, those that are not judged marked as
/// such, and counts them; any other budget keeps none of these.
#[test]
fn a_budget_of_everything_keeps_everything() {
    for (budget, n_unjudged) in [(Budget::Share(1.0), 332), (Budget::Share(0.99), 0)] {
        let mut stream = Stream::new(Config { budget, ..Config::default() }, 11);
        let mut kinds = std::collections::BTreeMap::new();
        for i in 0..3_000_u64 {
            let now = START.plus_ns(i * SECOND_NS / 10);
            let latency_ns = stream.latency_ns(CART);
            let mut span = stream.span(CART, latency_ns, now);
            if i % 10 == 9 {
                let mut batch = Batch::clone(&span.batch);
                batch.spans[0].start = now.plus_ns(1);
                span.batch = Arc::new(batch);
            }
            let early = stream.sampler.arrive(span.head(), now);
            span.kept_early = early.is_some();
            let late = stream.sampler.close(&span, now);
            assert!(early.is_none() || late.is_none(), "kept twice");
            let Some(reason) = early.or(late) else { continue };
            *kinds.entry(reason.kind.as_str()).or_insert(0) += 1;
        }
        let of = |kind| kinds.get(kind).copied().unwrap_or(0);
        assert_eq!(of("invalid_time") + of("cold"), n_unjudged, "{kinds:?}");
        let stats = stream.sampler.stats();
        assert_eq!(stats.n_seen, 3_000);
        if n_unjudged > 0 {
            assert_eq!(kinds.values().sum::<u64>(), 3_000, "{kinds:?}");
            assert_eq!(stats.n_kept_early + stats.n_kept_late, 3_000);
            assert_eq!(of("invalid_time"), 300);
        }
    }
}

/// Scenario: everything becomes five times slower at once.
/// Guarantees: the budget is held to four times its size over the minute, and the credit saved
/// before is spent.
#[test]
fn an_incident_may_spend_what_was_saved_and_no_more() {
    let config = Config { budget: Budget::Share(0.01), ..Config::default() };
    let mut stream = Stream::new(config, 11);
    stream.run(CART, START, 1200, 100, 1.0);
    let before = stream.sampler.stats();
    stream.run(CART, START.plus_ns(1200 * SECOND_NS), 300, 100, 5.0);
    let after = stream.sampler.stats();
    let n_kept = after.n_kept_early + after.n_kept_late - before.n_kept_early - before.n_kept_late;
    // 30,000 spans, of which 1 % would be 300. The burst account holds 4 % of 65,536.
    assert!((300..=2_622 + 1_200).contains(&n_kept), "{n_kept}");
}

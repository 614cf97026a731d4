use super::*;

const MS: u64 = 1_000_000;

fn head(site: u32, duration_ns: u64) -> SpanHead {
    SpanHead {
        site: CallSiteId(site),
        start: Timestamp(1),
        end: Timestamp(1 + duration_ns),
        ..SpanHead::default()
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

/// `n` spans a second over some seconds.
fn feed(statistics: &mut Statistics, secs: std::ops::Range<u64>, n: u64, duration_ns: u64) {
    for sec in secs {
        for _ in 0..n {
            statistics.observe(&head(0, duration_ns), at(sec));
        }
    }
}

#[test]
fn a_steady_call_site_shows_its_rate_and_quantiles() {
    let mut statistics = Statistics::default();
    feed(&mut statistics, 0..120, 7, 20 * MS);
    let stats = statistics.site(CallSiteId(0), at(120)).unwrap();
    assert!((stats.rate - 7.0).abs() < 0.8, "{}", stats.rate);
    for quantile in [stats.p50_ns, stats.p95_ns, stats.p99_ns] {
        let error = quantile.abs_diff(20 * MS) as f64 / (20 * MS) as f64;
        assert!(error <= RELATIVE_ERROR, "{quantile}");
    }
    assert_eq!(stats.trend.to_bits(), 1.0_f64.to_bits());
    assert_eq!(stats.error_rate.to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_slowdown_shows_in_the_trend_and_leaves_it_again() {
    let mut statistics = Statistics::default();
    feed(&mut statistics, 0..60, 5, 20 * MS);
    feed(&mut statistics, 60..90, 5, 100 * MS);
    let trend = |s: &Statistics, sec| s.site(CallSiteId(0), at(sec)).unwrap().trend;
    assert!((trend(&statistics, 89) - 5.0).abs() < 0.4, "{}", trend(&statistics, 89));
    feed(&mut statistics, 90..160, 5, 100 * MS);
    assert!((trend(&statistics, 159) - 1.0).abs() < 0.01);
}

#[test]
fn few_spans_have_no_trend() {
    let mut statistics = Statistics::default();
    feed(&mut statistics, 0..19, 1, MS);
    feed(&mut statistics, 30..49, 1, 50 * MS);
    let stats = statistics.site(CallSiteId(0), at(49)).unwrap();
    assert_eq!(stats.trend.to_bits(), 1.0_f64.to_bits());
}

#[test]
fn errors_and_head_sampling_are_weighted() {
    let mut statistics = Statistics::default();
    let mut span = head(3, MS);
    span.threshold = 3 << 54;
    statistics.observe(&span, at(0));
    span.threshold = 0;
    span.status = StatusCode::Error;
    statistics.observe(&span, at(0));
    let stats = statistics.site(CallSiteId(3), at(1)).unwrap();
    assert!((stats.count - 5.0).abs() < 1e-9);
    assert!((stats.error_rate - 0.2).abs() < 1e-9);
}

#[test]
fn what_was_a_minute_ago_is_gone() {
    let mut statistics = Statistics::default();
    feed(&mut statistics, 0..10, 1, MS);
    assert!(statistics.site(CallSiteId(0), at(59)).is_some());
    assert!(statistics.site(CallSiteId(0), at(61)).is_none());
    assert!(statistics.stats().sketch_bytes > 0);
    statistics.tick(at(70));
    assert_eq!(statistics.stats().sketch_bytes, 0);
}

#[test]
fn spans_with_invalid_times_or_without_a_site_do_not_count() {
    let mut statistics = Statistics::default();
    let mut negative = head(0, MS);
    negative.end = Timestamp(0);
    statistics.observe(&negative, at(0));
    statistics.observe(&head(u32::MAX, MS), at(0));
    assert_eq!(statistics.stats(), Stats { n_ignored: 2, ..Stats::default() });
}

#[test]
fn snapshots_list_live_sites_by_id_and_forgotten_ones_not() {
    let mut statistics = Statistics::default();
    for site in [5, 1, 3] {
        statistics.observe(&head(site, MS), at(0));
    }
    statistics.forget(CallSiteId(3));
    let mut out = Vec::new();
    statistics.snapshot(at(1), &mut out);
    assert_eq!(out.iter().map(|s| s.site.0).collect::<Vec<_>>(), [1, 5]);
    statistics.forget(CallSiteId(1));
    statistics.forget(CallSiteId(5));
    statistics.forget(CallSiteId(99));
    assert_eq!(statistics.stats().sketch_bytes, 0);
}

#[test]
fn sketches_stop_growing_at_the_memory_limit() {
    let mut statistics = Statistics::default();
    // Every site gets every octave: without the limit this takes 30,000 * 2.4 kB = 72 MB.
    for site in 0..30_000 {
        for octave in 10..46 {
            statistics.observe(&head(site, 1 << octave), at(0));
        }
    }
    let stats = statistics.stats();
    // The first run of bins of a site is always granted.
    assert!(stats.sketch_bytes <= SKETCH_BYTES_MAX + 30_000 * 64, "{}", stats.sketch_bytes);
    assert!(stats.n_clipped > 0);
    assert!(statistics.site(CallSiteId(29_999), at(0)).unwrap().p99_ns > 0);
}

/// Scenario: two count half of the spans of a site each, under other numbers; one started later and
/// one has been idle for a while.
/// Guarantees: what both have is what one would have counted.
#[test]
fn sums_are_what_one_would_have_counted() {
    let (mut whole, mut one, mut other) =
        (Statistics::default(), Statistics::default(), Statistics::default());
    for sec in 0..100 {
        for i in 0..10 {
            let (duration_ns, here) = ((10 + i * sec % 97) * MS, at(sec));
            whole.observe(&head(4, duration_ns), here);
            let is_idle = (60..80).contains(&sec);
            let (part, site) = if i % 2 == 0 && !is_idle { (&mut one, 0) } else { (&mut other, 7) };
            part.observe(&head(site, duration_ns), here);
        }
    }
    let parts = [(&one, CallSiteId(0)), (&other, CallSiteId(7))];
    for parts in [parts, [parts[1], parts[0]]] {
        let mut sum = Statistics::default();
        for part in parts {
            sum.absorb(part, CallSiteId(4));
        }
        assert_eq!(sum.site(CallSiteId(4), at(99)), whole.site(CallSiteId(4), at(99)));
        sum.absorb((&one, CallSiteId(5)), CallSiteId(1));
        assert_eq!(sum.site(CallSiteId(1), at(99)), None);
    }
}

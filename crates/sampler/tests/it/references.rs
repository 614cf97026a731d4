//! What the trusted reference learns, and what it must not.

use spanwise_hst::Grid;
use spanwise_model::Timestamp;
use spanwise_sampler::{Config, SiteState};

use crate::stream::{CART, PAY, SECOND_NS, START, Stream};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

fn at(seconds: u64) -> Timestamp {
    START.plus_ns(seconds * SECOND_NS)
}

/// Scenario: a site with 50 spans a second is five times slower for five minutes.
/// Guarantees: the median of the trusted reference stays in its bin, and the last span of the
/// fault is as surprising as the first.
#[test]
fn a_fault_of_five_minutes_does_not_move_the_trusted_reference() {
    for seed in 1..=3 {
        let mut stream = Stream::new(Config::default(), seed);
        let calm = stream.run(CART, at(0), 30 * MINUTE, 50, 1.0);
        let before = stream.view(CART);
        let early = stream.run(CART, at(30 * MINUTE), 30, 50, 5.0);
        stream.run(CART, at(30 * MINUTE + 30), 4 * MINUTE, 50, 5.0);
        let late = stream.run(CART, at(34 * MINUTE + 30), 30, 50, 5.0);
        let after = stream.view(CART);
        let shift = |before: u64, after: u64| Grid::bin_of(after).abs_diff(Grid::bin_of(before));
        assert_eq!(shift(before.self_time.median_ns, after.self_time.median_ns), 0);
        assert_eq!(shift(before.duration.median_ns, after.duration.median_ns), 0);
        assert!(shift(before.self_time.p99_ns, after.self_time.p99_ns) <= 1);
        assert_eq!(after.state, SiteState::Stepping);
        assert!((early - late).abs() < 0.1 && late > calm + 8.0, "{calm} {early} {late}");
    }
}

/// Scenario: one of two sites becomes three times slower for good.
/// Guarantees: it is flagged at once; it is normal again 30 minutes and a few windows later, and
/// not sooner; the other site's model has the same bits as without the step.
#[test]
fn a_permanent_step_is_normal_again_after_half_an_hour() {
    for seed in 1..=3 {
        let run = |factor: f64| {
            let mut stream = Stream::new(Config::default(), seed);
            let mut other = Stream::new(Config::default(), 99);
            let mut scores = Vec::new();
            for minute in 0..100 {
                let factor = if minute < 30 { 1.0 } else { factor };
                scores.push(stream.run(CART, at(minute * MINUTE), MINUTE, 50, factor));
                // The other site's latencies come from a generator of their own.
                for second in 0..MINUTE {
                    let latency_ns = other.latency_ns(PAY);
                    stream.send(PAY, latency_ns, at(minute * MINUTE + second));
                }
            }
            (scores, stream.view(PAY), stream.sampler.stats().n_rebaselined)
        };
        let (scores, stepped, n_rebaselined) = run(3.0);
        let calm = scores[29];
        assert!(scores[30] > calm + 6.0, "{} {calm}", scores[30]);
        assert!(scores[59] > calm + 6.0, "{} {calm}", scores[59]);
        // accept_after, and two windows of 512 spans at 50 a second: 21 s.
        assert!((scores[61] - calm).abs() < 0.5, "{} {calm}", scores[61]);
        assert_eq!(n_rebaselined, 2, "duration and self time");
        let (_, untouched, n_rebaselined) = run(1.0);
        assert_eq!(stepped, untouched);
        assert_eq!(n_rebaselined, 0);
    }
}

/// Scenario: after an hour, 3 % of a site's calls start to take ten times as long, for good; later
/// 30 % do for five minutes.
/// Guarantees: the minority is surprising for two hours and usual afterwards; the incident on top
/// of it is not learned.
#[test]
fn a_steady_minority_becomes_usual_and_an_incident_on_top_does_not() {
    let mut stream = Stream::new(Config::default(), 7);
    let minute_with = |stream: &mut Stream, minute: u64, share: f64| {
        let (mut sum, mut n) = (0.0, 0);
        for i in 0..MINUTE * 20 {
            let is_slow = stream.uniform() < share;
            let factor = if is_slow { 10.0 } else { 1.0 };
            let latency_ns = (stream.latency_ns(CART) as f64 * factor) as u64;
            let now = at(minute * MINUTE).plus_ns(i * SECOND_NS / 20);
            let (_, scores) = stream.send(CART, latency_ns, now);
            if is_slow {
                sum += f64::from(scores.site_self);
                n += 1;
            }
        }
        sum / f64::from(n)
    };
    let mut scores = Vec::new();
    for minute in 0..6 * MINUTE {
        let share = if minute < 60 { 0.000_001 } else { 0.03 };
        scores.push(minute_with(&mut stream, minute, share));
    }
    assert!(scores[60..180].iter().all(|&score| score > -2.5), "{scores:?}");
    assert!(scores[359] < scores[170] - 3.0, "{scores:?}");
    let scores: Vec<_> = (360..365).map(|m| minute_with(&mut stream, m, 0.3)).collect();
    assert!(scores.iter().all(|score| (score - scores[0]).abs() < 0.3), "{scores:?}");
}

/// Scenario: an operator says that the new latency is expected.
/// Guarantees: the next full window is the reference.
#[test]
fn an_accepted_step_is_normal_with_the_next_window() {
    let mut stream = Stream::new(Config::default(), 5);
    let site = stream.site(CART);
    let calm = stream.run(CART, at(0), 10 * MINUTE, 50, 1.0);
    assert!(stream.run(CART, at(10 * MINUTE), MINUTE, 50, 3.0) > calm + 6.0);
    assert!(stream.sampler.accept(site));
    stream.run(CART, at(11 * MINUTE), MINUTE, 50, 3.0);
    let now = stream.run(CART, at(12 * MINUTE), MINUTE, 50, 3.0);
    assert!((now - calm).abs() < 0.5, "{now} {calm}");
    assert_eq!(stream.view(CART).self_time.n_rebaselined, 1);
}

/// Scenario: a site that is visited once a minute.
/// Guarantees: it gets its reference with the 32nd span, and a slow span stands out from the next.
#[test]
fn a_rare_site_is_judged_from_its_33rd_span() {
    let mut stream = Stream::new(Config::default(), 3);
    stream.run(PAY, at(0), 10 * MINUTE, 20, 1.0);
    for minute in 10..42 {
        let latency_ns = stream.latency_ns(CART);
        let (_, scores) = stream.send(CART, latency_ns, at(minute * MINUTE));
        assert!(scores.cold);
    }
    let (is_kept, scores) = stream.send(CART, 400_000_000, at(42 * MINUTE));
    assert!(!scores.cold && scores.site_self > -1.0 && is_kept, "{scores:?}");
    let view = stream.view(CART);
    assert_eq!((view.state, view.n_spans), (SiteState::Ok, 33));
}

/// Scenario: while a site is cold, its service knows what is usual.
/// Guarantees: the cold site is judged by its service, not by everything.
#[test]
fn a_cold_site_is_judged_by_its_service() {
    let mut stream = Stream::new(Config::default(), 3);
    stream.run(PAY, at(0), HOUR, 5, 1.0);
    let usual = stream.send(CART, 150_000_000, at(HOUR)).1;
    let slow = stream.send(CART, 1_500_000_000, at(HOUR)).1;
    assert!(usual.cold && slow.cold);
    assert!(slow.site_self > usual.site_self + 5.0, "{slow:?} {usual:?}");
}

/// Scenario: a service is three times slower from a deployment on; another run shows no version, a
/// third has had both versions side by side from the start.
/// Guarantees: after a deployment the slow site is normal three windows later; without one it
/// stays remarkable; versions that take turns are no deployments.
#[test]
fn a_new_version_starts_the_reference_over_after_three_windows() {
    let run = |before: &[&str], after: &[&str]| {
        let mut stream = Stream::new(Config::default(), 5);
        let site = stream.site(CART);
        let service = stream.sites.get(site).service_id;
        let mut scores = Vec::new();
        for minute in 0..40 {
            let (versions, factor) = if minute < 30 { (before, 1.0) } else { (after, 3.0) };
            for version in versions {
                stream.sampler.see_version(service, version.as_bytes(), at(minute * MINUTE));
            }
            scores.push(stream.run(CART, at(minute * MINUTE), MINUTE, 50, factor));
        }
        (scores, stream.view(CART).self_time.n_rebaselined)
    };
    let (scores, n_rebaselined) = run(&["1.0"], &["1.1"]);
    // Two of the three windows of that minute.
    assert!(scores[30] > scores[29] + 2.0, "flagged at once: {scores:?}");
    assert!(scores[39] < scores[29] + 1.0, "normal again: {scores:?}");
    assert_eq!(n_rebaselined, 1);
    for (before, after) in [(&[][..], &[][..]), (&["1.0", "1.1"], &["1.1", "1.0"])] {
        let (scores, n_rebaselined) = run(before, after);
        assert!(scores[39] > scores[29] + 4.0, "{scores:?}");
        assert_eq!(n_rebaselined, 0);
    }
}

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn spans(scenario: Scenario, n: usize) -> Vec<Span> {
    scenario.stream(7).take(n).collect()
}

fn share(spans: &[Span], of: impl Fn(&Span) -> bool) -> f64 {
    spans.iter().filter(|span| of(span)).count() as f64 / spans.len() as f64
}

#[test]
fn names_are_read_back() {
    for scenario in Scenario::ALL {
        assert_eq!(Scenario::from_name(scenario.as_str()), Some(scenario));
    }
    assert_eq!(Scenario::from_name("Mixed"), None);
}

#[test]
fn equal_seeds_give_equal_spans_and_others_do_not() {
    for scenario in Scenario::ALL {
        let again: Vec<Span> = scenario.stream(7).take(2000).collect();
        assert_eq!(spans(scenario, 2000), again);
        let other: Vec<Span> = scenario.stream(8).take(2000).collect();
        assert_ne!(other, again);
    }
}

/// Scenario: the first spans of every stream, with the seed all published figures begin with.
/// Guarantees: a change of the generators, which changes every such figure, does not pass unseen.
#[test]
fn the_streams_are_the_ones_measured() {
    let check = |scenario: Scenario, expected: u64| {
        let mut sum = 0_u64;
        for span in scenario.stream(1).take(50_000) {
            sum = sum.rotate_left(5) ^ span.start.as_ns().wrapping_mul(31) ^ span.end.as_ns();
        }
        assert_eq!(sum, expected, "{scenario:?}");
    };
    check(Scenario::Unimodal, 11_862_387_972_082_459_631);
    check(Scenario::Bimodal, 11_736_617_212_751_940_991);
    // The same spans as above, at sites under new names.
    check(Scenario::Cold, 11_862_387_972_082_459_631);
    check(Scenario::Traces, 15_895_004_993_078_631_976);
    check(Scenario::Mixed, 1_186_072_438_379_229_944);
}

#[test]
fn one_span_in_a_hundred_is_slowed() {
    let all = spans(Scenario::Unimodal, usize::MAX);
    assert_eq!(all.len(), 400_000);
    let share = share(&all, |span| span.anomaly == Some(Anomaly::Latency));
    assert!((share - 0.01).abs() < 0.001, "{share}");
    assert!(all.is_sorted_by_key(|span| span.end));
    assert!(all.iter().all(|span| span.judged && span.start < span.end));
    let sites: BTreeSet<_> = all.iter().map(site).collect();
    assert_eq!(sites.len(), 40);
}

#[test]
fn most_sites_of_the_bimodal_stream_have_a_slow_mode() {
    let mut by_site: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for span in spans(Scenario::Bimodal, 50_000) {
        let name = site(&span);
        by_site.entry(name).or_default().push(span.end.since(span.start));
    }
    let has_slow_mode = |durations: &mut Vec<u64>| {
        durations.sort_unstable();
        // With a fifth of the spans at least 30 times slower, p90 is far from the median.
        durations[durations.len() * 9 / 10] > 10 * durations[durations.len() / 2]
    };
    let slow_modes = by_site.values_mut().map(has_slow_mode);
    let n_bimodal = slow_modes.filter(|&has| has).count();
    assert_eq!((n_bimodal, by_site.len()), (25, 40));
}

#[test]
fn cold_sites_count_from_their_33rd_span() {
    let all = spans(Scenario::Cold, 120_000);
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for span in &all {
        let n = seen.entry((&span.service, &span.operation)).or_default();
        *n += 1;
        assert_eq!(span.judged, *n > 32);
    }
    assert_eq!(seen.len(), 3 * 40);
}

#[test]
fn anomalies_of_traces_are_of_the_kinds_promised() {
    let check = |scenario: Scenario, expected: &[(Option<Anomaly>, f64)]| {
        let traces = scenario.stream(7).take_while(|span| span.trace < 6_000);
        let roots: Vec<Span> = traces.filter(|span| span.idx == 0).collect();
        for &(anomaly, share_expected) in expected {
            let share = share(&roots, |span| span.trace_anomaly == anomaly);
            assert!((share - share_expected).abs() < 0.003, "{scenario:?} {anomaly:?}: {share}");
        }
    };
    check(Scenario::Traces, &[(Some(Anomaly::Latency), 0.01), (Some(Anomaly::Error), 0.0)]);
    check(
        Scenario::Mixed,
        &[
            (None, 0.99),
            (Some(Anomaly::Latency), 0.005),
            (Some(Anomaly::Structure), 0.0025),
            (Some(Anomaly::Error), 0.0025),
        ],
    );
}

#[test]
fn children_lie_inside_their_parents_one_after_the_other() {
    let all = spans(Scenario::Mixed, 200_000);
    let mut trace: Vec<&Span> = Vec::new();
    for span in &all {
        if span.idx == 0 {
            trace.clear();
            assert_eq!(span.parent_idx, -1);
        } else {
            let parent = trace[span.parent_idx as usize];
            assert!(parent.start <= span.start && span.end <= parent.end);
            let elder = trace.iter().rev().find(|elder| elder.parent_idx == span.parent_idx);
            assert!(elder.is_none_or(|elder| elder.end <= span.start));
        }
        assert_eq!(span.idx as usize, trace.len());
        trace.push(span);
    }
    let mean = all.len() as f64 / f64::from(all.last().unwrap().trace + 1);
    assert!((20.0..80.0).contains(&mean), "{mean}");
}

fn site(span: &Span) -> (Arc<str>, Arc<str>) {
    (Arc::clone(&span.service), Arc::clone(&span.operation))
}

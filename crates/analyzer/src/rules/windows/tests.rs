use proptest::prelude::*;
use spanwise_model::TraceId;

use super::*;
use crate::rules::RuleConfig;

const T: u64 = 1_700_000_000;

fn rules(extra: &str) -> Arc<RuleSet> {
    let text = format!(
        "name: r\nwhen: {{service: cart, op: GetCart, over: 80ms, count: 10, window: 30s}}\n\
         do: {{alert: a}}\n{extra}"
    );
    let config: RuleConfig = serde_saphyr::from_str(&text).unwrap();
    Arc::new(RuleSet::compile(&[config], &[]).0.unwrap())
}

fn count(second: u64, n: u64) -> RuleCount {
    RuleCount {
        second: T + second,
        n_spans: n,
        n_breaches: n,
        breaches: n as f64,
        instances: vec![1],
        breaching_instances: vec![1],
        trace_ids: vec![TraceId(u128::from(second + 1).to_be_bytes())],
        ..RuleCount::default()
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(T + second)
}

/// Plays counts, given as (second now, second of the spans, breaches), one tick a second, and
/// returns what was found as (second, breaches, resting).
fn play(
    windows: &mut RuleWindows,
    until: u64,
    counts: &[(u64, u64, u64)],
) -> Vec<(u64, u64, bool)> {
    let mut found = Vec::new();
    for now in 0..=until {
        for &(_, second, n) in counts.iter().filter(|&&(when, ..)| when == now) {
            windows.add(&count(second, n), at(now));
        }
        let mut out = Vec::new();
        windows.tick(at(now), &mut out);
        found.extend(out.iter().map(|f| (now, f.condition.n_breaches, f.resting)));
    }
    found
}

fn check(extra: &str, until: u64, counts: &[(u64, u64, u64)], expected: &[(u64, u64, bool)]) {
    let mut windows = RuleWindows::new(rules(extra));
    assert_eq!(play(&mut windows, until, counts), expected);
}

fn steady(from: u64, until: u64) -> Vec<(u64, u64, u64)> {
    (from..until).map(|second| (second, second, 1)).collect()
}

#[test]
fn a_rule_fires_when_the_window_reaches_its_count_and_not_before() {
    check("", 60, &[(3, 3, 9)], &[]);
    check("", 60, &[(3, 3, 10)], &[(3, 10, false)]);
    check("", 60, &[(3, 3, 5), (9, 9, 5)], &[(9, 10, false)]);
}

#[test]
fn breaches_further_apart_than_the_window_do_not_add_up() {
    check("", 90, &[(3, 3, 5), (33, 33, 5)], &[]);
    check("", 90, &[(3, 3, 5), (32, 32, 5)], &[(32, 10, false)]);
}

#[test]
fn one_burst_is_one_action_and_its_rest_is_reported_once() {
    let burst = [(3, 3, 10), (4, 4, 10), (5, 5, 10)];
    check("", 200, &burst, &[(3, 10, false), (4, 20, true)]);
}

#[test]
fn an_incident_that_lasts_fires_again_after_the_rest() {
    // Twenty calm spans at the beginning, so that evidence suffices from the first firing on.
    let found = [(9, 10, false), (10, 11, true), (39, 30, false), (40, 30, true)];
    let mut windows = RuleWindows::new(rules(""));
    let calm = RuleCount { n_spans: 20, ..count(0, 0) };
    windows.add(&calm, at(0));
    assert_eq!(play(&mut windows, 60, &steady(0, 61)), found);
}

#[test]
fn a_firing_that_lacks_evidence_is_made_good_once_it_is_there() {
    let mut windows = RuleWindows::new(rules(""));
    let mut found = Vec::new();
    for second in 0..30 {
        // Forty breaches a second: the count is reached at once, the second quarter is not.
        windows.add(&count(second, 40), at(second));
        let mut out = Vec::new();
        windows.tick(at(second), &mut out);
        found.extend(out.iter().map(|f| (second, f.resting, f.completes, f.shortfall.is_some())));
    }
    assert_eq!(found[0], (0, false, false, true));
    assert_eq!(found[1], (1, true, false, true));
    let (second, resting, completes, short) = found[2];
    assert!((1..=8).contains(&second) && !resting && completes && !short, "{found:?}");
    assert_eq!(found[3..], [(second + 1, true, false, false)]);
}

#[test]
fn a_short_cooldown_still_needs_new_breaches() {
    let found = [(9, 10, false), (10, 11, true), (19, 10, false), (20, 21, true)];
    check("cooldown: 5s", 22, &steady(0, 23), &found);
    check("cooldown: 5s", 60, &[(3, 3, 10), (20, 20, 1)], &[(3, 10, false)]);
}

#[test]
fn the_late_end_of_a_burst_does_not_fire_again() {
    // Spans that ended in second 5 come in up to a minute later: their traces closed late.
    let late: Vec<_> = (5..65).map(|now| (now, 5, 10)).collect();
    check("", 120, &late, &[(5, 10, false)]);
}

#[test]
fn counts_that_come_late_fire_as_long_as_traces_may_take() {
    check("", 200, &[(60, 0, 10)], &[(60, 10, false)]);
    check("", 200, &[(LATE_S, 0, 10)], &[(LATE_S, 10, false)]);
    check("", 200, &[(LATE_S + 1, 0, 10)], &[]);
}

#[test]
fn a_host_with_a_fast_clock_does_not_blind_the_rule() {
    let mut counts = steady(0, 30);
    counts.push((0, AHEAD_S, 1));
    let mut windows = RuleWindows::new(rules(""));
    assert_eq!(play(&mut windows, 9, &counts), [(9, 10, false)]);
    windows.add(&count(9 + AHEAD_S + 1, 100), at(9));
    assert_eq!(windows.stats().n_out_of_time, 1);
}

#[test]
fn counts_of_unknown_rules_are_ignored() {
    let mut windows = RuleWindows::new(rules(""));
    windows.add(&RuleCount { rule_idx: 7, ..count(0, 100) }, at(0));
    let mut out = Vec::new();
    windows.tick(at(0), &mut out);
    assert_eq!(out, []);
    assert_eq!(windows.stats().n_unknown_rule, 1);
}

#[test]
fn a_hole_withholds_evidence_until_the_window_has_moved_past_it() {
    let shortfall = |hole: u64, fired: u64| {
        let mut windows = RuleWindows::new(rules(""));
        windows.mark_hole(at(hole));
        windows.add(&RuleCount { n_spans: 50, ..count(fired, 10) }, at(fired));
        windows.add(&count(fired - 20, 10), at(fired));
        let mut out = Vec::new();
        windows.tick(at(fired), &mut out);
        out.remove(0).shortfall
    };
    let detail = shortfall(40, 60).unwrap().detail;
    assert!(detail.contains("counts are missing") && detail.contains("10s from now"), "{detail}");
    assert!(shortfall(30, 60).is_none());
}

#[test]
fn a_finding_carries_the_figures_of_its_window() {
    let mut windows = RuleWindows::new(rules(""));
    let site = (Arc::from("cart"), Arc::from("GetCart"));
    let one = RuleCount { instances: vec![1, 2, 3], call_site: Some(site.clone()), ..count(0, 4) };
    windows.add(&one, at(0));
    windows.add(&RuleCount { n_spans: 30, breaching_instances: vec![2], ..count(20, 6) }, at(20));
    let mut out = Vec::new();
    windows.tick(at(20), &mut out);
    let finding = out.remove(0);
    assert_eq!(finding.call_site, site);
    assert_eq!(finding.trace_ids.len(), 2);
    let condition = &finding.condition;
    assert_eq!((condition.n_spans, condition.n_breaches), (34, 10));
    assert_eq!((condition.n_instances, condition.n_breaching_instances), (3, 2));
    assert_eq!(condition.n_quarters, 2);
    assert_eq!(finding.shortfall, None);
    assert_eq!(windows.state(0, at(20)).unwrap().fired_at, Some(at(20)));
    assert!(windows.state(0, at(49)).unwrap().is_resting);
    assert!(!windows.state(0, at(50)).unwrap().is_resting);
}

#[test]
fn memory_does_not_grow_with_time() {
    let mut windows = RuleWindows::new(rules(""));
    let mut out = Vec::new();
    for now in 0..2_000 {
        windows.add(&count(now, 1), at(now));
        windows.tick(at(now), &mut out);
    }
    assert!(windows.windows[0].buckets.len() as u64 <= 30 + LATE_S + 1);
}

/// Counts of one tick, and how they are cut and ordered before they are added.
fn arb_counts() -> impl Strategy<Value = Vec<(RuleCount, bool)>> {
    let weights = prop::sample::select(vec![1.0, 1.5, 100.003_41, 33.333_33]);
    let one = (0_u64..60, 0_u64..6, weights, 0_u64..20, any::<u8>(), any::<bool>());
    let one = one.prop_map(|(second, n, weight, instance, trace, cut)| {
        let mut count = count(second, n);
        // As predicates count: weights are rounded once, per span.
        count.breaches = n as f64 * (weight * 65_536.0_f64).round() / 65_536.0;
        count.n_spans += 3;
        count.instances = vec![instance];
        count.breaching_instances = if n > 0 { vec![instance] } else { Vec::new() };
        count.trace_ids = vec![TraceId([trace; 16])];
        let names = [("a", "b"), ("a", "c"), ("b", "a")];
        let (service, operation) = names[usize::from(trace) % 3];
        count.call_site = (n > 0).then(|| (Arc::from(service), Arc::from(operation)));
        (count, cut)
    });
    prop::collection::vec(one, 1..80)
}

proptest! {
    /// Scenario: the same counts are added one by one in one process, and merged into fewer
    /// messages and reordered on their way to another.
    /// Guarantees: both find exactly the same.
    #[test]
    fn any_cut_and_order_of_counts_gives_the_same_findings(
        counts in arb_counts(),
        order in any::<prop::sample::Index>(),
    ) {
        let set = rules("cooldown: 7s");
        let (mut whole, mut split) = (RuleWindows::new(Arc::clone(&set)), RuleWindows::new(set));
        let (mut found_whole, mut found_split) = (Vec::new(), Vec::new());
        for now in 0..70 {
            let due: Vec<_> = counts.iter().filter(|(c, _)| c.second - T == now).collect();
            for (count, _) in &due {
                whole.add(count, at(now));
            }
            // Merge runs of counts into one message, as a slow subscriber receives them.
            let mut messages: Vec<RuleCount> = Vec::new();
            let mut open: Option<Tally> = None;
            for (count, cut) in &due {
                open.get_or_insert_default().merge_count(count);
                if *cut {
                    messages.extend(open.take().map(|tally| tally.to_count(0, count.second)));
                }
            }
            messages.extend(open.map(|tally| tally.to_count(0, T + now)));
            if !messages.is_empty() {
                let by = order.index(messages.len());
                messages.rotate_left(by);
            }
            for message in &messages {
                split.add(message, at(now));
            }
            whole.tick(at(now), &mut found_whole);
            split.tick(at(now), &mut found_split);
        }
        prop_assert_eq!(found_whole, found_split);
    }
}

//! What counts as a breach, on which spans, and with which weight.

use spanwise_model::{SpanFlags, SpanKind, StatusCode, Timestamp};

use crate::support::{MS, Rig, Span, at, rule, rules};

/// Breaches of one span under one condition.
fn breaches(when: &str, span: &Span) -> u32 {
    Rig::new(rule(when)).send(span).n_breached
}

/// A rule on `GetCart` with this window.
fn within(window: &str) -> std::sync::Arc<spanwise_analyzer::rules::RuleSet> {
    rules(&format!(
        "- {{name: r, when: {{service: cart, op: GetCart, over: 80ms, count: 1, \
         window: {window}}}, do: {{alert: a}}}}"
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "spans are built at the call")]
fn check(when: &str, span: Span, expected: u32) {
    assert_eq!(breaches(when, &span), expected, "{when}: {span:?}");
}

fn span(duration_ms: u64, self_ms: u64, gap_ms: Option<u64>) -> Span {
    Span {
        duration_ns: duration_ms * MS,
        self_ns: self_ms * MS,
        gap_ns: gap_ms.map(|gap| gap * MS),
        ..Span::default()
    }
}

#[test]
fn each_metric_compares_its_own_figure() {
    check("op: GetCart, on: total", span(81, 5, None), 1);
    check("op: GetCart, on: total", span(80, 80, Some(80)), 0);
    check("op: GetCart, on: self", span(200, 81, Some(200)), 1);
    check("op: GetCart, on: self", span(200, 80, Some(200)), 0);
    check("op: GetCart, on: gap", span(200, 200, Some(81)), 1);
    check("op: GetCart, on: gap", span(200, 200, None), 0);
    check("op: GetCart", span(200, 50, Some(31)), 1);
    check("op: GetCart", span(200, 50, Some(30)), 0);
    check("op: GetCart", span(200, 81, None), 1);
}

#[test]
fn only_spans_the_rule_describes_count() {
    check("op: GetCart", Span::default(), 1);
    check("op: 'Get*'", Span::default(), 1);
    check("op: AddItem", Span::default(), 0);
    check("op: GetCart, kind: client", Span::default(), 0);
    check("op: GetCart, kind: client", Span { kind: SpanKind::Client, ..Span::default() }, 1);
    check("op: GetCart, status: error", Span::default(), 0);
    let failed = Span { change: |head| head.status = StatusCode::Error, ..Span::default() };
    check("op: GetCart, status: error", failed.clone(), 1);
    check("op: GetCart, status: ok", failed, 0);
    check("op: GetCart, status: ok", Span::default(), 1);
    check("op: GetCart, attributes: {tier: gold}", Span::default(), 1);
    check("op: GetCart, attributes: {tier: silver}", Span::default(), 0);
    let both = "op: GetCart, attributes: {tier: gold, http.response.status_code: 500}";
    check(both, Span::default(), 1);
    check("op: GetCart, attributes: {absent: 1}", Span::default(), 0);
}

#[test]
fn sampled_rules_count_only_what_was_kept() {
    for on in ["total", "self", "self+gap"] {
        let when = format!("op: GetCart, on: {on}, count_on: sampled");
        check(&when, Span::default(), 0);
        check(&when, Span { is_sampled: true, ..Span::default() }, 1);
    }
}

#[test]
fn consumers_streams_and_batches_never_trigger_unless_named() {
    let consumer = Span { kind: SpanKind::Consumer, ..Span::default() };
    check("op: '*'", consumer.clone(), 0);
    check("op: '*', kind: consumer", consumer, 1);
    let flags = |change: fn(&mut spanwise_model::SpanHead)| Span { change, ..Span::default() };
    let stream = flags(|head| head.flags.insert(SpanFlags::STREAMING));
    check("op: '*'", stream.clone(), 0);
    check("op: '*', on: total", stream, 0);
    let batch =
        Span { kind: SpanKind::Internal, ..flags(|h| h.flags.insert(SpanFlags::HAS_LINKS)) };
    check("op: '*'", batch, 0);
    // A public endpoint starts a new trace and links to its caller's.
    check("op: '*'", flags(|head| head.flags.insert(SpanFlags::HAS_LINKS)), 1);
    let mut streaming = flags(|head| head.flags.insert(SpanFlags::STREAMING));
    streaming.kind = SpanKind::Consumer;
    check("op: '*', kind: consumer", streaming, 1);
}

#[test]
fn overflow_sites_never_trigger() {
    let mut rig = Rig::new(rule("op: '*'"));
    rig.sites = spanwise_model::CallSites::new(1, 1);
    rig.sites.intern("cart", "first", SpanKind::Server, at(0));
    assert_eq!(rig.send(&Span::default()).n_breached, 0);
}

#[test]
fn invalid_and_absurd_times_never_match() {
    let changes: [fn(&mut spanwise_model::SpanHead); 4] = [
        |head| head.start = Timestamp(0),
        |head| head.end = head.start.minus_ns(1),
        |head| head.start = head.end.minus_ns(25 * 3_600 * 1_000_000_000),
        |head| head.end = Timestamp(u64::MAX),
    ];
    for on in ["total", "self", "gap", "self+gap"] {
        for change in changes {
            let mut rig = Rig::new(rule(&format!("op: GetCart, on: {on}")));
            let span = Span { change, gap_ns: Some(u64::MAX), ..Span::default() };
            assert_eq!(rig.send(&span).n_breached, 0);
            assert_eq!(rig.drain(), []);
            assert_eq!(rig.predicates.stats().n_invalid_time, 1);
        }
    }
}

#[test]
fn spans_from_another_time_are_counted_apart() {
    let counts = |window: &str, end: Timestamp| {
        let mut rig = Rig::new(within(window));
        rig.now = at(10_000);
        rig.send(&Span { end, ..Span::default() });
        let stats = rig.predicates.stats();
        (rig.drain().len(), stats.n_late, stats.n_ahead)
    };
    // What the window can still reach, and never more than an hour.
    assert_eq!(counts("30s", at(10_000 - 150)), (1, 0, 0));
    assert_eq!(counts("30s", at(10_000 - 151)), (0, 1, 0));
    assert_eq!(counts("1h", at(10_000 - 3_600)), (1, 0, 0));
    assert_eq!(counts("1h", at(10_000 - 3_601)), (0, 1, 0));
    assert_eq!(counts("30s", at(10_000 + 120)), (1, 0, 0));
    assert_eq!(counts("30s", at(10_000 + 121)), (0, 0, 1));
}

#[test]
fn old_end_times_take_no_room_from_breaches_of_now() {
    let mut rig = Rig::new(rule("op: GetCart"));
    rig.now = at(3_000);
    for second in 0..2_000 {
        rig.send(&Span { end: at(second), ..Span::default() });
    }
    rig.send(&Span { end: at(3_000), ..Span::default() });
    let mut counts = Vec::new();
    assert_eq!(rig.predicates.drain(&mut counts), 0);
    assert_eq!(counts.iter().map(|count| count.n_breaches).sum::<u64>(), 1);
}

#[test]
fn counts_carry_the_evidence_of_their_second() {
    let mut rig = Rig::new(rule("op: 'Get*'"));
    for n in 0..40_u128 {
        let slow = n < 8;
        rig.send(&Span {
            self_ns: if slow { 90 * MS } else { MS },
            instance: format!("pod-{}", n % 20),
            trace_id: n + 1,
            change: |head| head.threshold = 1 << 55,
            ..Span::default()
        });
    }
    let counts = rig.drain();
    assert_eq!(counts.len(), 1);
    let count = &counts[0];
    assert_eq!((count.rule_idx, count.second), (0, at(0).as_secs()));
    assert_eq!((count.n_spans, count.n_breaches), (40, 8));
    assert!((count.breaches - 16.0).abs() < 1e-9);
    assert_eq!((count.instances.len(), count.breaching_instances.len()), (16, 8));
    assert_eq!(count.trace_ids.len(), 5);
    let site = count.call_site.as_ref().map(|(s, o)| (&**s, &**o));
    assert_eq!(site, Some(("cart", "GetCart")));
    assert_eq!(rig.drain(), []);
}

#[test]
fn counts_are_kept_per_rule_and_second_of_the_end() {
    let mut rig = Rig::new(rules(
        "- {name: a, when: {service: cart, op: GetCart, over: 80ms, count: 1, window: 30s}, do: {alert: x}}\n\
         - {name: b, when: {service: cart, op: '*', on: total, over: 20ms, count: 1, window: 30s}, do: {alert: x}}",
    ));
    rig.send(&Span { end: at(1), ..Span::default() });
    rig.send(&Span { end: at(0), self_ns: MS, ..Span::default() });
    let seen: Vec<_> = rig
        .drain()
        .iter()
        .map(|c| (c.rule_idx, c.second - at(0).as_secs(), c.n_spans, c.n_breaches))
        .collect();
    assert_eq!(seen, [(0, 0, 1, 0), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)]);
}

#[test]
fn too_many_open_seconds_give_up_the_oldest_and_report_it() {
    let mut rig = Rig::new(within("1h"));
    rig.now = at(3_000);
    for second in (0..1_500).rev().chain(1_500..3_001) {
        rig.send(&Span { end: at(second), ..Span::default() });
    }
    let mut counts = Vec::new();
    assert_eq!(rig.predicates.drain(&mut counts), 3_001 - 256);
    let seconds: Vec<u64> = counts.iter().map(|count| count.second).collect();
    let newest: Vec<u64> = (3_001 - 256..3_001).map(|second| at(second).as_secs()).collect();
    assert_eq!(seconds, newest);
    assert_eq!(rig.predicates.drain(&mut counts), 0);
}

#[test]
fn examples_are_at_most_a_hundred_per_window() {
    let mut rig = Rig::new(rule("op: GetCart"));
    let mut examples = |now, n| {
        rig.now = now;
        let span = Span { end: now, ..Span::default() };
        (0..n).filter(|_| rig.send(&span).is_example).count()
    };
    assert_eq!(examples(at(100), 500), 100);
    assert_eq!(examples(at(129), 500), 0);
    assert_eq!(examples(at(130), 500), 100);
}

#[test]
fn a_retired_call_site_does_not_pass_its_rules_on() {
    let mut rig = Rig::new(rule("op: GetCart"));
    assert_eq!(rig.send(&Span::default()).n_breached, 1);
    let mut retired = Vec::new();
    rig.sites.expire(at(10), 1, &mut retired);
    for &site in &retired {
        rig.predicates.forget(site);
    }
    // Five minutes later the ids come back under other names.
    rig.now = at(1_000);
    let other = |operation| Span { operation, end: at(1_000), ..Span::default() };
    assert_eq!(rig.send(&other("AddItem")).n_breached, 0);
    assert_eq!(rig.send(&other("GetCart")).n_breached, 1);
}

#[test]
fn the_usual_way_between_caller_and_callee_is_not_a_gap() {
    let mut rig = Rig::new(rule("op: GetCart"));
    // The network takes 30 ms: self 60 + gap 30 would be over the threshold.
    let usual = || Span { self_ns: 60 * MS, gap_ns: Some(30 * MS), ..Span::default() };
    let breached: u32 = (0..1_000).map(|_| rig.send(&usual()).n_breached).sum();
    assert_eq!(breached, 400, "until two windows of 200 spans have passed, the floor is 0");
    let queued = Span { gap_ns: Some(70 * MS), ..usual() };
    assert_eq!(rig.send(&queued).n_breached, 1);
}

#[test]
fn a_floor_never_takes_more_than_half_the_threshold() {
    let mut rig = Rig::new(rule("op: GetCart, on: gap"));
    // An incident that was there from the first span on.
    let slow = Span { gap_ns: Some(300 * MS), ..Span::default() };
    let breached: u32 = (0..1_000).map(|_| rig.send(&slow).n_breached).sum();
    assert_eq!(breached, 1_000);
}

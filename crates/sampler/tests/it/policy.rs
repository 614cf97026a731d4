//! Policies on traces built by hand: votes, precedence, odds, limits, bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use spanwise_model::{
    Batch, CloseReason, ClosedSpan, ClosedTrace, ResourceHead, SpanFields, SpanHead, StatusCode,
    Timestamp, TraceId, ValueRef,
};
use spanwise_sampler::trace::policy::{
    Action, Attribute, Chance, Composite, DEPTH_MAX, Error, Latency, Limiter, N_RULES_MAX, Part,
    Payment, Policy, PolicyKeep, PolicySet, Rest, Rule, Ruling, StateMember, Statuses, Test,
    Values,
};
use spanwise_sampler::trace::{
    Algorithm, Balance, Bound, Budget, Config, Keep, Ledger, Reason, Settled, Subject,
    TraceSampler, Verdict,
};

/// Half of 2^56.
const HALF: u64 = 1 << 55;

/// Attributes by span and by resource, the same in every batch.
#[derive(Default)]
struct Fields {
    spans: BTreeMap<(u32, &'static str), ValueRef<'static>>,
    resources: BTreeMap<(u32, &'static str), ValueRef<'static>>,
    trace_state: &'static str,
    flags: u32,
}

impl SpanFields for Fields {
    fn span_attribute<'b>(&self, _: &'b Batch, span_idx: u32, key: &str) -> Option<ValueRef<'b>> {
        self.spans.iter().find(|((idx, k), _)| (*idx, *k) == (span_idx, key)).map(|(_, v)| *v)
    }

    fn resource_attribute<'b>(&self, _: &'b Batch, idx: u32, key: &str) -> Option<ValueRef<'b>> {
        self.resources.iter().find(|((i, k), _)| (*i, *k) == (idx, key)).map(|(_, v)| *v)
    }

    fn trace_state<'b>(&self, _: &'b Batch, _: u32) -> &'b str {
        self.trace_state
    }

    fn flags(&self, _: &Batch, _: u32) -> u32 {
        self.flags
    }
}

/// A trace whose spans have these starts and ends in milliseconds; each span has a resource of its own.
fn trace(times: &[(u64, u64)], status: StatusCode) -> ClosedTrace {
    let head = |(idx, &(start, end)): (usize, &(u64, u64))| SpanHead {
        start: Timestamp::from_millis(start),
        end: Timestamp::from_millis(end),
        resource_idx: idx as u32,
        status,
        ..SpanHead::default()
    };
    let batch = Arc::new(Batch {
        spans: times.iter().enumerate().map(head).collect(),
        resources: vec![ResourceHead::default(); times.len()],
        ..Batch::default()
    });
    let span = |span_idx| ClosedSpan {
        batch: Arc::clone(&batch),
        span_idx,
        parent: -1,
        self_ns: 0,
        own_ns: 0,
        gap_ns: None,
        kept_early: false,
    };
    ClosedTrace {
        trace_id: TraceId([7; 16]),
        reason: CloseReason::RootEnded,
        closed_at: Timestamp::from_secs(9),
        overflowed: false,
        has_root: true,
        spans: (0..times.len() as u32).map(span).collect(),
    }
}

fn policy(name: &str, rule: Rule) -> Policy {
    Policy { name: Arc::from(name), action: Action::Keep(rule), payment: Payment::Counted }
}

fn drops(name: &str, rules: Vec<Rule>) -> Policy {
    Policy { name: Arc::from(name), action: Action::Drop(rules), payment: Payment::Counted }
}

fn set(policies: Vec<Policy>) -> PolicySet {
    PolicySet::new(policies, Rest::Sample, 1).unwrap()
}

fn judge(set: &mut PolicySet, randomness: u64) -> Ruling {
    let trace = trace(&[(100, 200)], StatusCode::Unset);
    set.judge(&trace, &Fields::default(), randomness, Timestamp::from_secs(10))
}

fn kept(policy: u16, threshold: u64, erase_threshold: bool) -> Ruling {
    let payment = Payment::Counted;
    Ruling::Keep(PolicyKeep { policy, payment, threshold, erase_threshold })
}

fn never() -> Rule {
    Rule::SpanCount { min: 100, max: None }
}

fn half() -> Rule {
    Rule::Chance(Chance::new(50.0, None))
}

fn limiter(per_second: i64, burst: i64) -> Limiter {
    Limiter::new(per_second, Some(burst)).unwrap()
}

/// Whether one rule alone keeps a trace.
#[track_caller]
fn check(rule: Rule, trace: &ClosedTrace, fields: &Fields, expected: bool) {
    let ruling = set(vec![policy("p", rule)]).judge(trace, fields, 0, Timestamp::from_secs(10));
    assert_eq!(matches!(ruling, Ruling::Keep(_)), expected, "{ruling:?}");
}

#[test]
fn the_duration_of_the_whole_trace_counts_in_whole_milliseconds() {
    let check = |times: &[(u64, u64)], above_ms, up_to_ms, expected| {
        let rule = Rule::Latency(Latency { above_ms, up_to_ms });
        check(rule, &trace(times, StatusCode::Unset), &Fields::default(), expected);
    };
    check(&[(10_000, 14_500)], 5_000, None, false);
    check(&[(10_000, 15_000)], 5_000, None, false);
    check(&[(10_000, 13_000), (12_500, 15_500)], 5_000, None, true);
    check(&[(10_000, 15_001)], 5_000, Some(10_000), true);
    check(&[(10_000, 20_000)], 5_000, Some(10_000), true);
    check(&[(10_000, 20_001)], 5_000, Some(10_000), false);
    // The first span alone is within the bounds; the trace is not.
    check(&[(10_000, 16_000), (16_000, 30_000)], 5_000, Some(10_000), false);
    check(&[(0, 15_000)], 0, None, false);
    check(&[(15_000, 10_000)], 0, None, false);
    check(&[], 0, None, false);
}

#[test]
fn statuses_and_numbers_of_spans_are_compared() {
    let errors = || Rule::Status([StatusCode::Error, StatusCode::Ok].into_iter().collect());
    let one = |status| trace(&[(1, 2)], status);
    check(errors(), &one(StatusCode::Error), &Fields::default(), true);
    check(errors(), &one(StatusCode::Unset), &Fields::default(), false);
    let nothing: Statuses = [].into_iter().collect();
    check(Rule::Status(nothing), &one(StatusCode::Unset), &Fields::default(), false);
    let three = trace(&[(1, 2); 3], StatusCode::Unset);
    for (min, max, expected) in
        [(3, None, true), (4, None, false), (1, Some(3), true), (1, Some(2), false)]
    {
        check(Rule::SpanCount { min, max }, &three, &Fields::default(), expected);
    }
}

#[test]
fn attributes_are_sought_on_spans_and_resources_each_by_itself() {
    let attribute =
        |test: Test, invert| Rule::Attribute(Attribute { key: Arc::from("k"), test, invert });
    let two = trace(&[(1, 2), (1, 2)], StatusCode::Unset);
    let text = |v: &str| Test::Text(Values::exact([v]));
    let pattern = |v: &str| Test::Text(Values::patterns([v]).unwrap());
    let check = |test: Test, span: Option<ValueRef<'static>>, resource, expected| {
        let mut fields = Fields::default();
        fields.spans.extend(span.map(|v| ((1, "k"), v)));
        let resource: Option<ValueRef<'static>> = resource;
        fields.resources.extend(resource.map(|v| ((1, "k"), v)));
        check(attribute(test.clone(), false), &two, &fields, expected);
        check(attribute(test, true), &two, &fields, !expected);
    };
    let str = ValueRef::Str;
    check(text("a"), Some(str("a")), None, true);
    check(text("a"), None, Some(str("a")), true);
    check(text("a"), Some(str("b")), Some(str("a")), true);
    check(text("a"), Some(str("b")), None, false);
    check(text("a"), None, None, false);
    check(pattern("^a"), Some(str("ab")), None, true);
    // A value of another type is that type's zero; an empty text counts on a resource alone.
    check(pattern(".*"), Some(ValueRef::Int(1)), None, false);
    check(pattern(".*"), None, Some(ValueRef::Int(1)), true);
    let range = |min, max| Test::Range { min, max };
    check(range(5, 7), Some(ValueRef::Int(7)), None, true);
    check(range(5, 7), Some(ValueRef::Int(8)), None, false);
    check(range(5, 7), Some(ValueRef::Double(6.0)), None, false);
    check(range(-1, 7), Some(ValueRef::Double(99.0)), None, true);
    check(Test::Bool(true), None, Some(ValueRef::Bool(true)), true);
    check(Test::Bool(false), Some(ValueRef::Bool(true)), None, false);
    check(Test::Bool(false), Some(str("x")), None, true);
    check(Test::Bool(false), None, None, false);
}

#[test]
fn tracestate_and_flags_are_those_of_any_span() {
    let one = trace(&[(1, 2)], StatusCode::Unset);
    let fields = |trace_state, flags| Fields { trace_state, flags, ..Fields::default() };
    let member = || Rule::TraceState(StateMember::new("k", ["v1", "v2"]));
    check(member(), &one, &fields("a=b,k=v2", 0), true);
    check(member(), &one, &fields("a=b,k=v3", 0), false);
    check(member(), &one, &fields("", 0), false);
    let long = "v".repeat(255);
    check(Rule::TraceState(StateMember::new("k", [&*long])), &one, &fields("", 0), false);
    check(Rule::SampledFlag, &one, &fields("", 0x101), true);
    check(Rule::SampledFlag, &one, &fields("", 0x100), false);
}

#[test]
fn a_drop_wins_and_else_the_first_vote_gives_its_name() {
    let rules = vec![
        policy("no", never()),
        policy("first", Rule::Always),
        policy("second", Rule::Always),
        drops("drop", vec![Rule::Always, never()]),
    ];
    let mut kept_by_first = set(rules.clone());
    assert_eq!(judge(&mut kept_by_first, 0), kept(1, 0, false));
    assert_eq!(kept_by_first.name(1), "first");
    assert_eq!(kept_by_first.n_decided(), [0, 1, 0, 0]);
    let mut rules = rules;
    rules.push(drops("drop all", vec![Rule::Always]));
    assert_eq!(judge(&mut set(rules), 0), Ruling::Drop { policy: Some(4) });
}

#[test]
fn what_no_policy_wants_passes_or_is_dropped() {
    let rules = || vec![policy("no", never())];
    assert_eq!(judge(&mut set(rules()), 0), Ruling::Pass { erase_threshold: false });
    let mut strict = PolicySet::new(rules(), Rest::Drop, 1).unwrap();
    assert_eq!(judge(&mut strict, 0), Ruling::Drop { policy: None });
    assert!(PolicySet::default().is_empty() && !strict.is_empty());
}

#[test]
fn keeps_carry_the_odds_of_the_policies_that_voted() {
    let check = |policies: Vec<Rule>, randomness, expected| {
        let named = (0..).zip(policies).map(|(i, rule)| policy(&format!("p{i}"), rule)).collect();
        assert_eq!(judge(&mut set(named), randomness), expected);
    };
    let spans = || Rule::Spans(limiter(1, 100));
    check(vec![half()], HALF, kept(0, HALF, false));
    check(vec![half()], HALF - 1, Ruling::Pass { erase_threshold: false });
    // Content needs no luck; of two chances the greater counts.
    check(vec![half(), Rule::Always], HALF, kept(0, 0, false));
    check(vec![Rule::Chance(Chance::new(25.0, None)), half()], HALF * 7 / 4, kept(0, HALF, false));
    check(vec![Rule::all(vec![half(), Rule::Always]).unwrap()], HALF, kept(0, HALF, false));
    // A limit has no known odds, but does not spoil those of another vote.
    check(vec![spans()], HALF, kept(0, 0, true));
    check(vec![spans(), half()], HALF, kept(0, HALF, false));
    check(vec![spans(), half()], 0, kept(0, 0, true));
    check(vec![Rule::Not(Box::new(half()))], 0, kept(0, 0, true));
    check(vec![Rule::Not(Box::new(never()))], 0, kept(0, 0, false));
    check(vec![Rule::Not(Box::new(Rule::Always))], 0, Ruling::Pass { erase_threshold: false });
}

#[test]
fn whoever_a_drop_by_chance_spares_has_unknown_odds() {
    let check = |rules: Vec<Rule>, randomness, expected| {
        let mut set = set(vec![policy("all", Rule::Always), drops("drop", rules)]);
        assert_eq!(judge(&mut set, randomness), expected);
    };
    check(vec![half(), Rule::Always], HALF, Ruling::Drop { policy: Some(1) });
    check(vec![half(), Rule::Always], 0, kept(0, 0, true));
    check(vec![half(), never()], 0, kept(0, 0, false));
    let mut passing = set(vec![drops("drop", vec![half()])]);
    assert_eq!(judge(&mut passing, 0), Ruling::Pass { erase_threshold: true });
}

#[test]
fn an_exempt_policy_makes_the_keep_exempt_and_gives_its_name() {
    let exempt = Policy { payment: Payment::Exempt, ..policy("errors", Rule::Always) };
    let mut set = set(vec![policy("all", Rule::Always), exempt]);
    let Ruling::Keep(keep) = judge(&mut set, 0) else { panic!("kept") };
    assert_eq!((set.name(keep.policy), keep.payment), ("errors", Payment::Exempt));
}

#[test]
fn every_policy_is_asked_unless_the_first_match_suffices() {
    let rules = || vec![policy("all", Rule::Always), policy("limit", Rule::Spans(limiter(1, 1)))];
    let left = |set: &mut PolicySet| {
        judge(set, 0);
        let Action::Keep(Rule::Spans(limiter)) = &mut set.policies()[1].clone().action else {
            panic!("a limiter")
        };
        limiter.take(1, Timestamp::from_secs(10))
    };
    assert!(!left(&mut set(rules())), "spent although the trace is kept anyway");
    assert!(left(&mut set(rules()).first_match(true)));
}

#[test]
fn a_composite_keeps_by_the_first_part_that_votes_within_its_allotment() {
    let part = |name, rule, percent| Part::new(name, rule, percent);
    let composite = |parts| set(vec![policy("c", Rule::Composite(parts))]);
    let rule = Composite::new(
        10,
        vec![
            part("small", Rule::SpanCount { min: 1, max: Some(2) }, Some(30)),
            part("rest", Rule::Always, None),
        ],
    );
    let mut set = composite(rule.unwrap());
    let mut kept = |n_spans: usize, second| {
        let trace = trace(&vec![(1, 2); n_spans], StatusCode::Unset);
        let now = Timestamp::from_secs(second);
        matches!(set.judge(&trace, &Fields::default(), 0, now), Ruling::Keep(_))
    };
    // 30 % of 10 for the small, half of 10 for the rest.
    assert!(kept(2, 1));
    assert!(!kept(2, 1), "the part that voted has no room, and no later part is asked");
    assert!(kept(1, 1), "what did not fit took nothing");
    assert!(kept(5, 1));
    assert!(!kept(3, 1));
    assert!(kept(2, 2) && kept(5, 2), "a new second");
    assert!(Composite::new(0, vec![part("p", Rule::Always, None)]).is_err());
    assert_eq!(Composite::new(1, Vec::new()).unwrap_err(), Error::Empty("composite"));
}

#[test]
fn limits_are_divided_among_shards() {
    let rules = vec![policy("limit", Rule::Spans(limiter(10, 1)))];
    let mut shard = PolicySet::new(rules, Rest::Sample, 5).unwrap();
    let trace = trace(&[(1, 2)], StatusCode::Unset);
    let mut kept = |ms| {
        let now = Timestamp::from_millis(ms);
        matches!(shard.judge(&trace, &Fields::default(), 0, now), Ruling::Keep(_))
    };
    assert!(kept(1_000) && !kept(1_499) && kept(1_500));
}

#[test]
fn bytes_are_those_of_the_trace_as_otlp() {
    // Sixteen spans without bytes cost their framing alone: nothing.
    let empty = trace(&[(1, 2); 16], StatusCode::Unset);
    check(Rule::Bytes(limiter(1, 1)), &empty, &Fields::default(), true);
    let mut batch = (*empty.spans[0].batch).clone();
    for head in &mut batch.spans {
        head.raw.len = 100;
        head.resource_idx = 0;
    }
    let batch = Arc::new(batch);
    let mut full = empty;
    for span in &mut full.spans {
        span.batch = Arc::clone(&batch);
    }
    // 16 x (1 + 1 + 100) = 1,632, behind 1 + 2 of the scope's spans and 1 + 2 of the resource's.
    check(Rule::Bytes(limiter(1, 1_638)), &full, &Fields::default(), true);
    check(Rule::Bytes(limiter(1, 1_637)), &full, &Fields::default(), false);
}

#[test]
fn names_numbers_and_nesting_are_bounded() {
    let refused = |policies, expected: Error| {
        assert_eq!(PolicySet::new(policies, Rest::Sample, 1).unwrap_err(), expected);
    };
    refused(vec![policy("", Rule::Always)], Error::Name(String::new()));
    let twice = vec![policy("a", Rule::Always), drops("a", vec![Rule::Always])];
    refused(twice, Error::Name("a".to_owned()));
    refused(vec![drops("d", Vec::new())], Error::Empty("drop"));
    refused(vec![policy("a", Rule::All(Vec::new()))], Error::Empty("and"));
    let nested = |n| (1..n).fold(Rule::Always, |rule, _| Rule::Not(Box::new(rule)));
    set(vec![policy("deep", nested(DEPTH_MAX))]);
    refused(vec![policy("deep", nested(DEPTH_MAX + 1))], Error::TooDeep);
    let many = |n| (0..n).map(|i| policy(&format!("p{i}"), Rule::Always)).collect::<Vec<_>>();
    set(many(N_RULES_MAX));
    refused(many(N_RULES_MAX + 1), Error::TooMany);
    let values: Vec<String> = (0..10_001).map(|i| i.to_string()).collect();
    let member = StateMember::new("k", values.iter().map(String::as_str));
    refused(vec![policy("v", Rule::TraceState(member))], Error::TooManyValues);
}

/// Judges `n` traces by a ruling, at a budget of a tenth of the traces.
fn ruled(n: u64, ruling: impl Fn(u64) -> Ruling) -> (Vec<Option<Keep>>, Balance) {
    let ledger = Ledger::new(Bound::whole(Budget::share(0.1))).unwrap();
    let config = Config { algorithm: Algorithm::Uniform, ..Config::default() };
    let mut sampler = TraceSampler::new(config, ledger.clone()).unwrap();
    let mut settled = Vec::new();
    let mut keeps = vec![None; n as usize];
    let mut held = BTreeMap::new();
    let closed = trace(&[(100, 200)], StatusCode::Unset);
    for i in 0..n {
        // A randomness that goes through all values evenly.
        let randomness = Some(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
        let subject = Subject { trace: &closed, scores: &[], randomness, tenant: 0, sites: None };
        let now = Timestamp::from_millis(1_000 + i);
        match sampler.judge_ruled(&subject, ruling(i), now, &mut settled) {
            Verdict::Keep(keep) => keeps[i as usize] = Some(keep),
            Verdict::Hold(ticket) => drop(held.insert(ticket, i)),
            Verdict::Drop => {}
        }
    }
    sampler.drain(Timestamp::from_millis(1_000 + n), &mut settled);
    for Settled { ticket, keep } in settled {
        keeps[held[&ticket] as usize] = keep;
    }
    (keeps, ledger.balance(Timestamp::from_millis(1_000 + n)))
}

const PASS: Ruling = Ruling::Pass { erase_threshold: false };

#[test]
fn counted_keeps_are_paid_first_and_the_bound_holds() {
    // Every 20th trace is wanted: half of the budget.
    let wanted = |i: u64| i >= 100 && i.is_multiple_of(20);
    let (keeps, balance) = ruled(4_000, |i| if wanted(i) { kept(3, 0, false) } else { PASS });
    assert!(balance.kept as f64 <= balance.allowed && balance.seen == 4_000, "{balance:?}");
    assert!(balance.kept >= 390, "{balance:?}");
    for i in (0..4_000).filter(|&i| wanted(i)) {
        let keep = keeps[i as usize].unwrap_or_else(|| panic!("{i} is not kept"));
        assert_eq!((keep.reason, keep.claim.source, keep.threshold), (Reason::Policy, 3, 0));
    }
}

#[test]
fn more_keeps_than_the_budget_pays_for_go_on_to_the_sampler() {
    let (keeps, balance) = ruled(4_000, |_| kept(0, HALF, false));
    assert!(balance.kept as f64 <= balance.allowed, "{balance:?}");
    assert!((390..=400).contains(&balance.kept), "{balance:?}");
    let others = keeps.iter().flatten().filter(|keep| keep.reason != Reason::Policy);
    assert!(others.clone().all(|keep| keep.erase_threshold && keep.threshold == 0));
}

#[test]
fn exempt_keeps_and_drops_leave_the_budget_alone() {
    let exempt =
        PolicyKeep { policy: 1, payment: Payment::Exempt, threshold: 0, erase_threshold: false };
    let (keeps, balance) = ruled(3_000, |i| match i % 3 {
        0 => Ruling::Keep(exempt),
        1 => Ruling::Drop { policy: Some(2) },
        _ => PASS,
    });
    assert_eq!(balance.seen, 1_000);
    assert!((90..=100).contains(&balance.kept), "{balance:?}");
    assert!((0..3_000).step_by(3).all(|i| keeps[i].is_some()));
    assert!((1..3_000).step_by(3).all(|i| keeps[i].is_none()));
}

#[test]
fn whom_chance_spared_is_kept_without_a_threshold_also_after_a_wait() {
    let (keeps, _) = ruled(3_000, |i| Ruling::Pass { erase_threshold: i.is_multiple_of(2) });
    let keeps: Vec<(usize, Keep)> =
        keeps.into_iter().enumerate().filter_map(|(i, keep)| Some((i, keep?))).collect();
    assert!(keeps.len() > 250);
    assert!(keeps.iter().filter(|(i, _)| i % 2 == 0).all(|(_, keep)| keep.erase_threshold));
    assert!(keeps.iter().any(|(i, keep)| i % 2 == 1 && keep.threshold > 0));
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let leaf = prop_oneof![
        Just(Rule::Always),
        Just(Rule::SampledFlag),
        (any::<f64>(), proptest::option::of("[a-z]{0,4}"))
            .prop_map(|(p, salt)| Rule::Chance(Chance::new(p, salt.as_deref()))),
        (any::<u64>(), proptest::option::of(any::<u64>()))
            .prop_map(|(above_ms, up_to_ms)| Rule::Latency(Latency { above_ms, up_to_ms })),
        (any::<u64>(), proptest::option::of(any::<u64>()))
            .prop_map(|(min, max)| Rule::SpanCount { min, max }),
        (1..i64::MAX, 1..i64::MAX).prop_map(|(a, b)| Rule::Spans(limiter(a, b))),
        (1..i64::MAX, 1..i64::MAX).prop_map(|(a, b)| Rule::Bytes(limiter(a, b))),
        (any::<i64>(), any::<i64>(), any::<bool>()).prop_map(|(min, max, invert)| {
            let key = Arc::from("k");
            Rule::Attribute(Attribute { key, test: Test::Range { min, max }, invert })
        }),
        "[a-z.*+?^$()|]{0,8}".prop_filter_map("an expression", |text| {
            let test = Test::Text(Values::patterns([&*text]).ok()?);
            Some(Rule::Attribute(Attribute { key: Arc::from("k"), test, invert: false }))
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec((inner.clone(), any::<Option<u32>>()), 1..4);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Rule::All),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
            (1..i64::MAX, parts).prop_map(|(max, parts)| {
                let part = |(rule, percent)| Part::new("part", rule, percent);
                let parts = parts.into_iter().map(part).collect();
                Rule::Composite(Composite::new(max, parts).expect("a number of spans"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_policies_rule_on_any_traces_and_always_the_same(
        rules in proptest::collection::vec((any_rule(), any::<bool>()), 1..6),
        traces in proptest::collection::vec(
            (proptest::collection::vec((any::<u32>(), any::<u32>()), 0..5), any::<u64>()), 1..12),
        n_shards in 0..20_u32,
    ) {
        let policies: Vec<Policy> = (0..).zip(rules).map(|(i, (rule, is_drop))| {
            let name = format!("p{i}");
            if is_drop { drops(&name, vec![rule]) } else { policy(&name, rule) }
        }).collect();
        let Ok(set) = PolicySet::new(policies.clone(), Rest::Sample, n_shards) else {
            return Ok(());
        };
        let mut fields = Fields::default();
        fields.spans.insert((0, "k"), ValueRef::Str("abc"));
        fields.resources.insert((1, "k"), ValueRef::Int(5));
        let run = |mut set: PolicySet| {
            let mut rulings = Vec::new();
            for (i, (times, r)) in traces.iter().enumerate() {
                let times: Vec<(u64, u64)> =
                    times.iter().map(|&(a, b)| (u64::from(a), u64::from(b))).collect();
                let trace = trace(&times, StatusCode::Error);
                let now = Timestamp::from_millis(1_000 + 300 * i as u64);
                rulings.push(set.judge(&trace, &fields, r >> 8, now));
            }
            (rulings, set.n_decided().iter().sum::<u64>())
        };
        let (rulings, n_decided) = run(set.clone());
        prop_assert_eq!(&rulings, &run(set).0);
        let n_passed = rulings.iter().filter(|r| matches!(r, Ruling::Pass { .. })).count();
        prop_assert_eq!(n_decided as usize + n_passed, rulings.len());
        for ruling in rulings {
            match ruling {
                Ruling::Keep(keep) => {
                    let is_keep = matches!(policies[keep.policy as usize].action, Action::Keep(_));
                    prop_assert!(is_keep && keep.threshold < 1 << 56);
                    prop_assert!(!keep.erase_threshold || keep.threshold == 0);
                }
                Ruling::Drop { policy } => {
                    let dropped_by = &policies[policy.expect("by a policy") as usize].action;
                    prop_assert!(matches!(dropped_by, Action::Drop(_)));
                }
                Ruling::Pass { .. } => {}
            }
        }
    }
}

use std::sync::Arc;

use spanwise_model::{Axis, Condition, Decision, Direction, Outcome, Reason, RuleRef, TargetRef};

use super::*;

const CASE: &str = "
name: a case
spans:
  - {service: cart, operation: GetCart, duration: 120ms, every: 1s, for: 12s}
expect:
  - {at: 10s, do: {scale: cart, by: 1}}
  - {at: 12s, none: cart, reason: Cooldown}
";

fn case(from: &str, to: &str) -> TestCase {
    assert!(CASE.contains(from), "{from}");
    serde_saphyr::from_str(&CASE.replace(from, to)).unwrap()
}

fn check_problem(from: &str, to: &str, expected: &[&str]) {
    let target = KnownTarget { name: Arc::from("cart"), scalable: true, max: 20 };
    let problems = case(from, to).check("tests[3]", &RuleSet::default(), &[target]);
    let found: Vec<String> = problems.iter().map(|p| format!("{} {}", p.code, p.path)).collect();
    assert_eq!(found, expected, "{to}");
}

#[test]
fn every_mistake_in_a_test_has_its_code_and_path() {
    check_problem("cart", "cart", &[]);
    check_problem("every: 1s", "every: 0s", &["T001 tests[3].spans[0].every"]);
    let long = ["T002 tests[3].spans[0].duration", "T004 tests[3].spans[0]"];
    check_problem("duration: 120ms", "duration: 25h", &long);
    check_problem("every", "self_share: 1.5, every", &["T003 tests[3].spans[0].self_share"]);
    check_problem("every", "self_share: .nan, every", &["T003 tests[3].spans[0].self_share"]);
    check_problem("for: 12s", "for: 24h", &["T004 tests[3].spans[0]"]);
    check_problem("every: 1s", "every: 1us", &["T005 tests[3].spans"]);
    check_problem("every: 1s", "every: 1ns", &["T005 tests[3].spans"]);
    check_problem("at: 10s", "at: 13s", &["T006 tests[3].expect[1].at"]);
    check_problem("do: {scale: cart, by: 1}", "reason: Paused", &["T007 tests[3].expect[0]"]);
    check_problem("by: 1", "by: 1, to: 2", &["T007 tests[3].expect[0]"]);
    check_problem("scale: cart, by: 1", "by: 1", &["T007 tests[3].expect[0]"]);
    check_problem("scale: cart, by: 1", "vertical: cart", &["T007 tests[3].expect[0]"]);
    check_problem("reason: Cooldown", "reason: cooldown", &["T007 tests[3].expect[1]"]);
    check_problem("none: cart", "none: card", &["T008 tests[3].expect[1]"]);
    check_problem("name:", "replicas: {card: 1}\nname:", &["T008 tests[3].replicas.card"]);
}

#[test]
fn patterns_make_the_spans_they_say() {
    let check = |text: &str, expected| {
        assert_eq!(case("for: 12s", text).n_spans(), expected, "{text}");
    };
    check("for: 12s", 12);
    check("for: 11500ms", 12);
    check("for: 0s", 0);
    check("start: 5s, for: 1s", 1);
}

fn decision(at_s: u64, outcome: Outcome, reason: Reason, figures: (u64, u64)) -> Decision {
    let text: Arc<str> = Arc::from("");
    let target = TargetRef {
        name: Arc::from("cart"),
        backend: Arc::from("recorder"),
        kind: Arc::clone(&text),
        api_version: Arc::clone(&text),
        namespace: Arc::clone(&text),
        object: Arc::clone(&text),
    };
    Decision {
        id: at_s,
        at: START.plus_ns(at_s * 1_000_000_000),
        target,
        axis: Axis::Horizontal,
        direction: Direction::Up,
        from: Some(figures.0),
        to: Some(figures.1),
        memory_bytes: None,
        mode: Mode::Recommend,
        outcome,
        reason,
        summary: "because".to_owned(),
        rules: vec![RuleRef { name: Arc::clone(&text), hash: 0 }],
        condition: Condition::default(),
        call_site: (Arc::clone(&text), text),
        bounds: Vec::new(),
        trace_ids: Vec::new(),
        orchestrator: None,
    }
}

fn up(at_s: u64) -> Decision {
    decision(at_s, Outcome::Recommended, Reason::LoadBound, (1, 2))
}

fn rest(at_s: u64) -> Decision {
    decision(at_s, Outcome::Suppressed, Reason::Cooldown, (2, 2))
}

fn passed(case: &TestCase, decisions: &[Decision]) -> Vec<bool> {
    evaluate(case, decisions).iter().map(|evaluation| evaluation.passed).collect()
}

#[test]
fn an_action_must_come_between_its_expectation_and_the_one_before() {
    let case = case("cart", "cart");
    assert_eq!(passed(&case, &[up(10), rest(11)]), [true, true]);
    assert_eq!(passed(&case, &[up(11)]), [false, false]);
    assert_eq!(passed(&case, &[up(9)]), [true, false], "no Cooldown was recorded");
    assert_eq!(passed(&case, &[up(8), rest(9)]), [true, true], "it still holds at 12s");
    assert_eq!(passed(&case, &[]), [false, false]);
}

#[test]
fn actions_are_compared_by_what_they_do() {
    let with = |text: &str| case("scale: cart, by: 1", text);
    let first = |case: &TestCase, decision: Decision| passed(case, &[decision])[0];
    assert!(first(&with("scale: cart, to: 2"), up(5)));
    assert!(!first(&with("scale: cart, by: 2"), up(5)));
    assert!(!first(&with("scale: cart, by: 1"), rest(5)));
    let larger = |to, memory_bytes| Decision {
        axis: Axis::Vertical,
        memory_bytes,
        ..decision(5, Outcome::Acted, Reason::ResourceBound, (1_000, to))
    };
    assert!(first(&with("vertical: cart, cpu: '+100%'"), larger(2_000, None)));
    assert!(first(&with("vertical: cart, cpu: 2"), larger(2_000, None)));
    assert!(!first(&with("vertical: cart, cpu: 500m"), larger(2_000, None)));
    let gib = Some(1 << 30);
    assert!(first(&with("vertical: cart, cpu: 2, memory: 1GiB"), larger(2_000, gib)));
    assert!(first(&with("vertical: cart, cpu: 2, memory: '+100%'"), larger(2_000, gib)));
    assert!(!first(&with("vertical: cart, cpu: 2, memory: 2GiB"), larger(2_000, gib)));
    assert!(!first(&with("scale: cart, to: 2000"), larger(2_000, None)));
}

#[test]
fn a_wrong_reason_fails_and_shows_what_was_decided() {
    let case = case("by: 1}", "by: 1}, reason: ResourceBound");
    let evaluation = evaluate(&case, &[up(9)]).remove(0);
    assert!(!evaluation.passed);
    assert_eq!(evaluation.expected, "by 10s: scale cart by 1 (ResourceBound)");
    assert_eq!(evaluation.actual, "9s recommended (LoadBound): because");
}

#[test]
fn expectations_for_the_same_time_look_at_the_same_decisions() {
    let case = case("at: 12s, none: cart, reason: Cooldown", "at: 10s, none: cart");
    assert_eq!(passed(&case, &[up(9)]), [true, false]);
}

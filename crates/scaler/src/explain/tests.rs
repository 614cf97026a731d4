use std::sync::Arc;

use spanwise_model::{Bound, Condition, Mode, Outcome, Reason, RuleRef, TargetRef, TraceId};

use super::*;

fn decision() -> Decision {
    Decision {
        id: 12,
        at: Timestamp(1_767_225_599_123_456_789),
        target: TargetRef {
            name: Arc::from("cart"),
            backend: Arc::from("kubernetes"),
            kind: Arc::from("Deployment"),
            api_version: Arc::from(""),
            namespace: Arc::from("shop"),
            object: Arc::from("cartservice"),
        },
        axis: Axis::Horizontal,
        direction: Direction::Up,
        from: Some(3),
        to: Some(5),
        memory_bytes: None,
        mode: Mode::Act,
        outcome: Outcome::Acted,
        reason: Reason::LoadBound,
        summary: "scale cart from 3 to 5 replicas: because".to_owned(),
        rules: vec![RuleRef { name: Arc::from("cart-slow"), hash: 0xabc }],
        condition: Condition {
            metric: Arc::from("self+gap"),
            over_ns: 80_000_000,
            count: 10.0,
            window_ns: 30_000_000_000,
            observed: 12.5,
            n_spans: 40,
            n_breaches: 12,
            n_quarters: 3,
            n_instances: 2,
            n_breaching_instances: 2,
        },
        call_site: (Arc::from("cart"), Arc::from("Get\nCart")),
        bounds: vec![Bound { reason: Reason::AtMax, detail: "max is 5".to_owned() }],
        trace_ids: vec![TraceId([1; 16])],
        orchestrator: Some("replicas 3 -> 5".to_owned()),
    }
}

#[test]
fn an_explanation_says_what_why_on_what_and_what_came_of_it() {
    let expected = "\
d-12 acted (LoadBound)
  when       2025-12-31T23:59:59.123Z
  target     cart (kubernetes Deployment shop/cartservice)
  action     horizontal up, 3 -> 5 replicas, mode act
  why        scale cart from 3 to 5 replicas: because
  condition  count(self+gap > 80ms in 30s) = 12.5 >= 10 at cart::Get\\nCart
  evidence   40 spans seen, 12 breaches in 3 of 4 quarters of the window, from 2 of 2 instances
  rule       cart-slow (version 0000000000000abc)
  bound      AtMax: max is 5
  trace      01010101010101010101010101010101
  backend    replicas 3 -> 5
  see        docs/reasons.md#loadbound
";
    assert_eq!(explain(&decision()), expected);
}

#[test]
fn actions_read_by_their_axis_and_direction() {
    let check = |change: &dyn Fn(&mut Decision), expected: &str| {
        let mut decision = decision();
        change(&mut decision);
        assert_eq!(action(&decision), expected);
    };
    check(&|d| d.direction = Direction::Hold, "horizontal hold, mode act");
    check(&|d| d.target.backend = Arc::from(""), "none, mode act");
    check(
        &|d| {
            d.axis = Axis::Vertical;
            d.memory_bytes = Some(512 << 20);
        },
        "vertical up, 3m -> 5m cpu, 512 MiB memory, mode act",
    );
    check(
        &|d| {
            d.axis = Axis::Vertical;
            d.to = None;
            d.memory_bytes = Some(512 << 20);
        },
        "vertical up, 512 MiB memory, mode act",
    );
}

#[test]
fn timestamps_are_calendar_dates() {
    let check = |secs, expected| assert_eq!(rfc3339(Timestamp::from_secs(secs)), expected);
    check(0, "1970-01-01T00:00:00.000Z");
    check(951_782_400, "2000-02-29T00:00:00.000Z");
    check(951_868_800, "2000-03-01T00:00:00.000Z");
    check(4_107_542_399, "2100-02-28T23:59:59.000Z");
    check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    check(1_709_210_096, "2024-02-29T12:34:56.000Z");
}

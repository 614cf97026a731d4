use proptest::prelude::*;
use spanwise_model::{Condition, Resources, Timestamp};

use super::*;

fn finding(rule: &str, action: WantedAction) -> Finding {
    Finding {
        at: Timestamp::from_secs(1),
        rule: RuleRef { name: Arc::from(rule), hash: 0 },
        action,
        condition: Condition::default(),
        call_site: (Arc::from("cart"), Arc::from("GetCart")),
        trace_ids: Vec::new(),
        shortfall: None,
        resting: false,
        completes: false,
    }
}

fn by(rule: &str, by: u32) -> Finding {
    finding(rule, WantedAction::ReplicasBy { target: Arc::from("cart"), by })
}

fn to(rule: &str, to: u32) -> Finding {
    finding(rule, WantedAction::ReplicasTo { target: Arc::from("cart"), to })
}

fn fold(findings: impl IntoIterator<Item = Finding>, observed: &Observed) -> Conflated {
    let mut folded = Conflated::default();
    for finding in findings {
        folded.add(absolute(finding, observed).unwrap());
    }
    folded
}

fn names(folded: &Conflated) -> Vec<String> {
    folded.rules().iter().map(|rule| rule.name.to_string()).collect()
}

#[test]
fn three_rules_on_one_target_become_one_action_that_names_all_three() {
    let observed = Observed { desired: 3, ..Observed::default() };
    let folded = fold([by("a", 1), by("b", 2), to("c", 4)], &observed);
    assert_eq!(folded.to(), Some(5));
    assert_eq!(names(&folded), ["b", "a", "c"]);
}

#[test]
fn a_tie_is_decided_by_the_name_of_the_rule() {
    let observed = Observed { desired: 3, ..Observed::default() };
    assert_eq!(names(&fold([to("z", 4), by("m", 1), by("b", 1)], &observed)), ["b", "m", "z"]);
}

#[test]
fn resources_become_absolute_against_what_is_observed() {
    let vertical = |cpu_percent, cpu_millis, memory_percent, memory_bytes| {
        let target = Arc::from("cart");
        let action = WantedAction::Vertical {
            target,
            cpu_percent,
            cpu_millis,
            memory_percent,
            memory_bytes,
        };
        finding("r", action)
    };
    let known = Observed {
        resources: Resources { cpu_millis: Some(250), memory_bytes: Some(1_000) },
        ..Observed::default()
    };
    let check = |finding: Finding, observed: &Observed, expected| {
        let part = absolute(finding, observed);
        assert_eq!(part.map(|part| (part.to, part.memory_bytes)), expected);
    };
    check(vertical(Some(100), None, Some(50), None), &known, Some((Some(500), Some(1_500))));
    check(vertical(None, Some(2_000), None, None), &known, Some((Some(2_000), None)));
    let unknown = Observed::default();
    check(vertical(None, Some(2_000), None, Some(7)), &unknown, Some((Some(2_000), Some(7))));
    check(vertical(Some(100), None, None, None), &unknown, None);
    check(finding("r", WantedAction::Alert { name: Arc::from("x") }), &known, None);
}

fn arb_finding() -> impl Strategy<Value = Finding> {
    let names = prop::sample::select(vec!["a", "b", "c", "d"]);
    (names, any::<bool>(), 1_u32..9, 0_u64..4, 0_u8..5).prop_map(
        |(name, is_by, n, at, observed)| {
            let mut finding = if is_by { by(name, n) } else { to(name, n) };
            finding.at = Timestamp(at);
            finding.condition.observed = f64::from(observed);
            // As far as folding is concerned these figures identify a finding; make the rest follow.
            finding.condition.n_breaches = u64::from(observed);
            finding.action = WantedAction::ReplicasBy { target: Arc::from("cart"), by: n };
            finding
        },
    )
}

proptest! {
    #[test]
    fn folding_depends_on_neither_order_nor_grouping_nor_repetition(
        findings in prop::collection::vec(arb_finding(), 1..12),
        cut in any::<prop::sample::Index>(),
        turn in any::<prop::sample::Index>(),
    ) {
        let observed = Observed { desired: 3, ..Observed::default() };
        let whole = fold(findings.clone(), &observed);
        let mut turned = findings.clone();
        turned.rotate_left(turn.index(findings.len()));
        prop_assert_eq!(&fold(turned, &observed), &whole, "order");
        let (left, right) = findings.split_at(cut.index(findings.len()));
        let mut grouped = fold(left.to_vec(), &observed);
        grouped.merge(fold(right.to_vec(), &observed));
        prop_assert_eq!(&grouped, &whole, "grouping");
        grouped.merge(whole.clone());
        prop_assert_eq!(&grouped, &whole, "repetition");
        let most = findings.iter().filter_map(|f| absolute(f.clone(), &observed)?.to).max();
        prop_assert_eq!(whole.to(), most);
        let mut rules: Vec<_> = findings.iter().map(|f| f.rule.name.to_string()).collect();
        rules.sort();
        rules.dedup();
        let mut kept = names(&whole);
        kept.sort();
        prop_assert_eq!(kept, rules, "no rule is lost");
    }
}

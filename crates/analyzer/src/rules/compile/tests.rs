use super::*;

const GOOD: &str = "
name: cart-slow
when: {service: cart, op: GetCart, over: 80ms, count: 10, window: 30s}
do: {scale: cart, by: 1}
";

fn targets() -> [KnownTarget; 2] {
    let target = |name: &str, scalable| KnownTarget { name: Arc::from(name), scalable, max: 20 };
    [target("cart", true), target("redis", false)]
}

/// The good rule with one piece of text replaced.
fn rule(from: &str, to: &str) -> RuleConfig {
    assert!(GOOD.contains(from), "{from}");
    serde_saphyr::from_str(&GOOD.replace(from, to)).unwrap()
}

fn found(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{} {}", p.code, p.path)).collect()
}

fn check(from: &str, to: &str, expected: &[&str]) {
    let (set, problems) = RuleSet::compile(&[rule(from, to)], &targets());
    assert_eq!(found(&problems), expected, "{to}");
    let has_error = problems.iter().any(|p| p.severity == Severity::Error);
    assert_eq!(set.is_none(), has_error, "{to}");
}

#[test]
fn a_rule_without_mistakes_has_the_defaults_of_the_contract() {
    let (set, problems) = RuleSet::compile(&[rule("cart", "cart")], &targets());
    assert_eq!(problems, []);
    let set = set.unwrap();
    let rule = set.get(0).unwrap();
    assert_eq!(rule.metric, Metric::SelfAndGap);
    assert_eq!(rule.count_on, CountOn::All);
    assert_eq!(rule.status, Status::Any);
    assert_eq!(rule.cooldown_ns, rule.window_ns());
    assert_eq!((rule.over_ns, rule.window_s), (80_000_000, 30));
    let target = Arc::from("cart");
    assert_eq!(rule.action, WantedAction::ReplicasBy { target, by: 1 });
}

#[test]
fn every_mistake_has_its_code_and_path() {
    check("cart-slow", "''", &["R001 scaler.rules[0].name"]);
    check("service: cart", "service: '*'", &["R003 scaler.rules[0].when.service"]);
    check("op: GetCart", "op: ''", &["R004 scaler.rules[0].when.op"]);
    check("op: GetCart", "op: '*a*b*c*d*e*f*g*h*'", &["R004 scaler.rules[0].when.op"]);
    check("over: 80ms", "over: 0ms", &["R005 scaler.rules[0].when.over"]);
    check("over: 80ms", "over: 25h", &["R005 scaler.rules[0].when.over"]);
    check("count: 10", "count: 0", &["R006 scaler.rules[0].when.count"]);
    check("window: 30s", "window: 0s", &["R007 scaler.rules[0].when.window"]);
    check("window: 30s", "window: 1500ms", &["R007 scaler.rules[0].when.window"]);
    check("window: 30s", "window: 2h", &["R007 scaler.rules[0].when.window"]);
    check("do:", "cooldown: 500ms\ndo:", &["R008 scaler.rules[0].cooldown"]);
    check("scale: cart, by: 1", "by: 1", &["R009 scaler.rules[0].do"]);
    check("by: 1", "by: 1, to: 2", &["R009 scaler.rules[0].do"]);
    check("by: 1", "by: 1, cpu: 1", &["R009 scaler.rules[0].do"]);
    check("by: 1", "by: -1", &["R010 scaler.rules[0].do.by"]);
    check("by: 1", "to: 0", &["R010 scaler.rules[0].do.to"]);
    check("scale: cart", "scale: card", &["R011 scaler.rules[0].do.scale"]);
    check("scale: cart", "scale: redis", &["R012 scaler.rules[0].do.scale"]);
    check("scale: cart, by: 1", "vertical: cart", &["R013 scaler.rules[0].do"]);
    check("scale: cart, by: 1", "vertical: cart, cpu: '+900%'", &["R013 scaler.rules[0].do"]);
    check("scale: cart, by: 1", "vertical: cart, memory: 0B", &["R013 scaler.rules[0].do"]);
    check(
        "over: 80ms",
        "over: 80ms, attributes: {'': 1}",
        &["R014 scaler.rules[0].when.attributes"],
    );
    check("scale: cart, by: 1", "alert: ''", &["R009 scaler.rules[0].do"]);
}

#[test]
fn what_works_but_hardly_as_meant_is_a_warning() {
    check("window: 30s", "window: 1s", &["R017 scaler.rules[0].when.window"]);
    check("over: 80ms", "on: gap, kind: client, over: 80ms", &["R018 scaler.rules[0].when.kind"]);
    check("by: 1", "to: 30", &["R019 scaler.rules[0].do.to"]);
}

#[test]
fn all_mistakes_of_all_rules_are_reported_at_once() {
    let mut first = rule("over: 80ms", "over: 0ms");
    first.when.count = 0;
    let second = rule("scale: cart", "scale: card");
    let (set, problems) = RuleSet::compile(&[first, second], &targets());
    assert!(set.is_none());
    assert_eq!(
        found(&problems),
        [
            "R002 scaler.rules[1].name",
            "R005 scaler.rules[0].when.over",
            "R006 scaler.rules[0].when.count",
            "R011 scaler.rules[1].do.scale",
        ]
    );
    assert_eq!(problems[3].fix, "did you mean `cart`?");
}

#[test]
fn every_code_is_listed_in_the_document() {
    let document = include_str!("../../../../../docs/reasons.md");
    let sources = [
        include_str!("../compile.rs"),
        include_str!("../action.rs"),
        include_str!("../testing.rs"),
    ];
    let mut n_codes = 0;
    for piece in sources.iter().flat_map(|source| source.split('"')) {
        let digits = piece.strip_prefix(['R', 'T']).unwrap_or_default();
        if digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()) {
            n_codes += 1;
            assert!(document.contains(&format!("\n| {piece} ")), "{piece}");
        }
    }
    assert!(n_codes >= 27, "{n_codes}");
}

#[test]
fn sets_are_bounded_in_rules_and_in_buckets() {
    let named = |n: usize, window: &str| {
        let mut rule = rule("window: 30s", &format!("window: {window}"));
        rule.name = format!("rule-{n}");
        rule
    };
    let many: Vec<RuleConfig> = (0..=RULES_MAX).map(|n| named(n, "30s")).collect();
    assert_eq!(found(&RuleSet::compile(&many, &targets()).1), ["R015 scaler.rules"]);
    let long: Vec<RuleConfig> = (0..30).map(|n| named(n, "1h")).collect();
    assert_eq!(found(&RuleSet::compile(&long, &targets()).1), ["R016 scaler.rules"]);
}

#[test]
fn a_sampler_compiles_the_same_set_without_knowing_targets() {
    let configs = [rule("cart", "cart"), rule("cart-slow", "other")];
    let (here, _) = RuleSet::compile(&configs, &targets());
    let (there, problems) = RuleSet::compile_for_counting(&configs);
    assert_eq!(problems, []);
    assert_eq!(here.unwrap().fingerprint(), there.unwrap().fingerprint());
    let (other, _) = RuleSet::compile_for_counting(&[rule("80ms", "90ms")]);
    let (one, _) = RuleSet::compile_for_counting(&configs[..1]);
    assert_ne!(one.unwrap().fingerprint(), other.unwrap().fingerprint());
}

#[test]
fn operations_are_folded_like_the_names_of_spans() {
    let (set, _) = RuleSet::compile(&[rule("GetCart", "GET /cart/17")], &targets());
    let set = set.unwrap();
    assert_eq!(&*set.rules()[0].operation, "GET /cart/{}");
}

#[test]
fn a_rule_covers_a_consumer_only_by_name_and_an_overflow_site_never() {
    let covers = |yaml: &str, kind, overflow| {
        let (set, _) = RuleSet::compile(&[rule("op: GetCart", yaml)], &targets());
        let site = CallSite {
            service: Arc::from("cart"),
            service_id: spanwise_model::ServiceId(0),
            operation: Arc::from("GetCart"),
            kind,
            overflow,
        };
        set.unwrap().rules()[0].covers(&site)
    };
    assert!(covers("op: GetCart", SpanKind::Server, false));
    assert!(covers("op: Get*", SpanKind::Internal, false));
    assert!(!covers("op: GetCart", SpanKind::Consumer, false));
    assert!(covers("op: GetCart, kind: consumer", SpanKind::Consumer, false));
    assert!(!covers("op: GetCart, kind: consumer", SpanKind::Server, false));
    assert!(!covers("op: '*'", SpanKind::Server, true));
}

#[test]
fn attribute_values_compare_with_their_type() {
    let check = |value: AttributeValue, other, expected: bool| {
        assert_eq!(value.equals(other), expected, "{value:?} {other:?}");
    };
    check(AttributeValue::Int(500), Some(ValueRef::Int(500)), true);
    check(AttributeValue::Int(500), Some(ValueRef::Str("500")), false);
    check(AttributeValue::Int(2), Some(ValueRef::Double(2.0)), true);
    check(AttributeValue::Double(2.0), Some(ValueRef::Int(2)), true);
    check(AttributeValue::Double(f64::NAN), Some(ValueRef::Double(0.0)), false);
    check(AttributeValue::Str("a".to_owned()), Some(ValueRef::Str("a")), true);
    check(AttributeValue::Bool(true), Some(ValueRef::Bool(false)), false);
    check(AttributeValue::Bool(true), None, false);
}

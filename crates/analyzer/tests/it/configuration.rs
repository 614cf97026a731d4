//! Rules as text: what is accepted, what is refused, and that both ways of writing them agree.

use spanwise_analyzer::rules::RuleConfig;

const FULL: &str = "
name: cart-slow
when: {service: cartservice, op: GetCart, kind: server, on: self+gap, over: 80ms, count: 10,
  window: 30s, count_on: all, status: any, attributes: {}}
do: {scale: cartservice, by: 1}
";

fn parse(yaml: &str) -> Result<RuleConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

fn check_refused(from: &str, to: &str, expected: &str) {
    assert!(FULL.contains(from), "{from}");
    let message = parse(&FULL.replace(from, to)).unwrap_err();
    assert!(message.contains(expected), "{to}: {message}");
}

#[test]
fn the_schema_of_the_contract_is_accepted_with_every_action() {
    for action in [
        "{scale: T, by: 1}",
        "{scale: T, to: 4}",
        "{vertical: T, cpu: \"+100%\", memory: \"512MiB\"}",
        "{vertical: T, cpu: 500m}",
        "{vertical: T, cpu: 2}",
        "{vertical: T, cpu: 0.5, memory: \"+50%\"}",
        "{alert: NAME}",
    ] {
        let yaml = FULL.replace("{scale: cartservice, by: 1}", action);
        assert!(parse(&yaml).is_ok(), "{action}: {:?}", parse(&yaml));
    }
}

#[test]
fn unknown_keys_and_bad_values_are_refused_with_a_remedy() {
    check_refused("over: 80ms", "treshold: 80ms", "unknown field `treshold`");
    check_refused("name: cart-slow", "nmae: cart-slow", "unknown field `nmae`");
    check_refused("over: 80ms", "over: 80", "such as 250ms, 30s or 5m");
    check_refused("kind: server", "kind: srever", "expected one of server");
    check_refused("on: self+gap", "on: wall", "unknown variant `wall`");
    check_refused("count: 10", "count: -1", "invalid");
    check_refused("by: 1", "by: lots", "invalid");
    check_refused("by: 1", "amount: 1", "unknown field `amount`");
    check_refused("{scale: cartservice, by: 1}", "{vertical: T, cpu: much}", "invalid cpu `much`");
    check_refused("name: cart-slow", "name: a\nname: b", "duplicate");
}

#[test]
fn a_rule_survives_being_written_and_read_again() {
    for change in [
        ("by: 1", "by: 1"),
        ("window: 30s", "window: 5m"),
        ("attributes: {}", "attributes: {a: 1, b: x, c: true, d: 0.5}"),
        ("do: {scale: cartservice, by: 1}", "cooldown: 90s\ndo: {vertical: T, cpu: '+100%'}"),
    ] {
        let rule = parse(&FULL.replace(change.0, change.1)).unwrap();
        let text = serde_saphyr::to_string(&rule).unwrap();
        assert_eq!(parse(&text).unwrap(), rule, "{text}");
    }
}

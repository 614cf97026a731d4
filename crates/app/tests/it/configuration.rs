//! Every key of the configuration with values it must not have: each is refused at line and column,
//! with a remedy, and what stands in the documentation as allowed is.

use spanwise::config::raw::RawConfig;
use spanwise::config::{built, load, yaml};
use spanwise_model::Severity;

use crate::support::config_text::check_text;

/// What `config check` says about a file, and whether it would be refused.
fn report(text: &str) -> (String, bool) {
    let raw: RawConfig = match yaml::parse(text, "file") {
        Ok(raw) => raw,
        Err(rendered) => return (rendered, true),
    };
    let (config, mut problems) = built::build(&raw);
    problems.extend(config.iter().flat_map(|config| built::check_tests(&raw, config)));
    let is_refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    (load::render(&problems, text, "file"), is_refused)
}

/// The text must be refused at the first place where `wrong` stands, saying `word`, with a remedy.
fn check_bad(text: &str, wrong: &str, word: &str) {
    let (said, is_refused) = report(text);
    assert!(is_refused, "accepted: {text}\n{said}");
    let before = &text[..text.find(wrong).unwrap()];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().len() + 1;
    let place = format!("file:{line}:{column}");
    assert!(said.contains(&place), "no {place} for {text}\nin {said}");
    assert!(said.contains(word), "no `{word}` for {text}\nin {said}");
    assert!(said.contains("fix: "), "no remedy for {text}\nin {said}");
}

fn check_good(text: &str) {
    let (said, is_refused) = report(text);
    assert!(!is_refused && said.is_empty(), "refused: {text}\n{said}");
}

/// A target with one more key.
fn target(rest: &str) -> String {
    format!(
        "scaler:\n  targets:\n    - {{service: cart, orchestrator: recorder, max: 5, {rest}}}\n"
    )
}

/// A Kubernetes target with this reference.
fn reference(reference: &str) -> String {
    format!(
        "scaler:\n  targets:\n    - service: cart\n      orchestrator: kubernetes\n      max: 5\n      \
         ref: {{{reference}}}\n"
    )
}

/// A rule, with one part replaced.
fn rule(part: &str, by: &str) -> String {
    let rule = "scaler:
  targets: [{service: cart, orchestrator: recorder, max: 5}]
  rules:
    - name: slow
      when: {service: cart, op: Get, over: 80ms, count: 10, window: 30s, attributes: {}}
      cooldown: 60s
      do: {scale: cart, by: 1}
";
    assert!(rule.contains(part), "{part}");
    rule.replace(part, by)
}

/// A test, with one part replaced.
fn test(part: &str, by: &str) -> String {
    let test = "
tests:
  - name: it fires
    spans: [{service: cart, operation: Get, duration: 90ms, every: 1s, for: 12s, self_share: 1.0}]
    expect: [{at: 12s, do: {scale: cart, by: 1}}]
    replicas: {cart: 1}
";
    assert!(test.contains(part), "{part}");
    rule("", "") + &test.replace(part, by)
}

#[test]
fn the_whole_process_is_checked() {
    check_bad("version: 2\n", "2", "version");
    check_bad("version: latest\n", "latest", "");
    check_bad("memory_limit: 512\n", "512", "512MiB");
    check_bad("memory_limit: 1MiB\n", "1MiB", "64MiB");
    check_bad("memory_limit: 99999GiB\n", "99999GiB", "of this machine");
    check_bad("memory_limit: 99999999999GiB\n", "99999999999GiB", "512MiB");
    check_bad("memory_limit: -1GiB\n", "-1GiB", "512MiB");
    check_bad("data_dir: ''\n", "''", "folder");
    check_bad("data_dir: Cargo.toml\n", "Cargo.toml", "is a file");
    check_bad("memory: 1GiB\n", "memory", "memory_limit");
    check_good("version: 1\nmemory_limit: 64MiB\ndata_dir: state\n");
}

#[test]
fn shards_are_checked() {
    for good in ["1", "64", "auto", "'auto'"] {
        check_good(&format!("shards: {good}\n"));
    }
    for bad in ["0", "65", "many"] {
        check_bad(&format!("shards: {bad}\n"), bad, "number of threads");
    }
    check_good("shards: 2\ndata_dir: /tmp\n");
    let logged = "shards: 2\ndata_dir: /tmp\nsampler: {traces: {}}\n";
    check_good(logged);
    let raw: RawConfig = yaml::parse(logged, "file").unwrap();
    assert_eq!(built::build(&raw).0.unwrap().shards, 2);
}

#[test]
fn listeners_are_checked() {
    for key in ["otlp_grpc", "otlp_http", "http"] {
        let listen = |text: &str| format!("listen:\n  {key}: {text}\n");
        check_bad(&listen("example.org:4317"), "example.org", "ip address");
        check_bad(&listen("127.0.0.1"), "127.0.0.1", "port");
        check_bad(&listen("127.0.0.1:99999"), "127.0.0.1", "port");
        check_bad(&listen("0.0.0.0:7777"), "0.0.0.0", "insecure: true");
        check_bad(&listen("''"), "''", "ip address");
        check_good(&listen("127.0.0.1:0"));
        check_good(&listen("'[::1]:7777'"));
    }
    check_bad("listen:\n  otlp_http: 127.0.0.1:4317\n", "127.0.0.1:4317", "otlp_grpc");
    check_bad("listen:\n  http: 127.0.0.1:4318\n", "127.0.0.1:4318", "otlp_http");
    check_bad("listen:\n  insecure: maybe\n", "maybe", "");
    let any = "listen:\n  insecure: true\n  otlp_grpc: 0.0.0.0:5000\n  http: 127.0.0.1:5000\n";
    check_bad(any, "127.0.0.1:5000", "otlp_grpc");
}

#[test]
fn the_sampler_is_checked() {
    for (budget, word) in [
        ("0%", "share"),
        ("200%", "share"),
        ("-1%", "share"),
        ("nan%", "share"),
        ("0.01", "share"),
        ("1", "share"),
        ("0/s", "rate"),
        ("inf/s", "rate"),
        ("1e300/s", "rate"),
        ("many", "share"),
    ] {
        check_bad(&format!("sampler:\n  budget: {budget}\n"), budget, word);
    }
    for budget in ["100%", "0.001%", "1000000000/s", "0.5/s"] {
        check_good(&format!("sampler:\n  budget: {budget}\n"));
    }
    check_bad("sampler:\n  profile: best\n", "best", "default or scale");
    check_bad("sampler:\n  seed: -1\n", "-1", "");
    check_bad("sampler:\n  seed: 1.5\n", "1.5", "");
    for (key, bad, good) in [
        ("n_tree", &["0", "1025", "-1", "1.5"][..], "1024, height: 11"),
        ("height", &["0", "16", "99"][..], "15"),
        ("window_size", &["0", "1000001"][..], "1"),
        ("min_score", &["-0.1", "1.1", ".nan", ".inf"][..], "1.0"),
        ("max_duration", &["0s", "25h", "5000", "soon"][..], "24h"),
        ("train_size", &["-1", "all"][..], "1000"),
    ] {
        let scale =
            |value: &str| format!("sampler:\n  profile: scale\n  scale: {{{key}: {value}}}\n");
        for value in bad {
            check_bad(&scale(value), value, "");
        }
        check_good(&scale(good));
    }
    let all = "sampler:\n  profile: scale\n  scale: {n_tree: 0, height: 16, window_size: 0}\n";
    for word in ["scale.n_tree", "scale.height", "scale.window_size", "3 errors"] {
        assert!(report(all).0.contains(word), "{word}");
    }
    let together = "sampler:\n  profile: scale\n  scale: {n_tree: 1024, height: 15}\n";
    check_bad(together, "1024", "2^22");
    let idle = "sampler:\n  profile: scale\n  scale: {train_size: 10, window_size: 250}\n";
    assert!(report(idle).0.contains("warning: C016"), "{}", report(idle).0);
}

#[test]
fn targets_are_checked() {
    for (rest, wrong, word) in [
        ("min: 0", "0", "min: 1"),
        ("min: 6", "6", "max 5"),
        ("step: 0", "0", "step"),
        ("step: 10001", "10001", "10000"),
        ("cooldown: 0s", "0s", "24h"),
        ("cooldown: 25h", "25h", "24h"),
        ("cooldown: 60", "60", "duration"),
        ("mode: on", "on", "observe"),
        ("mode: maybe", "maybe", "observe"),
        ("replicas: 10001", "10001", "10000"),
        ("replicas: -1", "-1", ""),
        ("scalable: perhaps", "perhaps", ""),
        ("colour: red", "colour", "remove it"),
    ] {
        check_bad(&target(rest), wrong, word);
    }
    let of = |keys: &str| format!("scaler:\n  targets:\n    - {{{keys}}}\n");
    check_bad(&of("service: '', orchestrator: recorder, max: 5"), "''", "service.name");
    check_bad(&of("service: a, orchestrator: recorder"), "{service: a", "max: 20");
    check_bad(&of("service: a, orchestrator: recorder, max: 0"), "0", "max: 20");
    check_bad(&of("service: a, orchestrator: recorder, max: 10001"), "10001", "10000");
    check_bad(&of("service: a, max: 5"), "{service: a", "kubernetes, exec or recorder");
    check_bad(&of("service: a, orchestrator: nomad, max: 5"), "nomad", "kubernetes");
    check_bad(&of("service: a, orchestrator: exec, max: 5"), "{service: a", "command");
    check_bad(&of("service: a, orchestrator: exec, max: 5, command: ['']"), "['']", "program");
    let observe = "service: a, orchestrator: exec, max: 5, command: [x], observe: ['']";
    check_bad(&of(observe), "['']", "program");
    let long = "a".repeat(257);
    check_bad(&of(&format!("service: {long}, orchestrator: recorder, max: 5")), &long, "256");
    let twice = "scaler:\n  targets:\n    - {service: a, orchestrator: recorder, max: 5}\n    \
                 - {service: a, orchestrator: recorder, max: 6}\n";
    assert!(report(twice).0.contains("file:4:17"), "{}", report(twice).0);
    check_bad("scaler:\n  mode: full\n", "full", "recommend");
    check_bad(
        &(target("mode: act") + "  mode: act\n").replace("recorder", "kubernetes"),
        "act\n",
        "data_dir",
    );
    check_good(&target("min: 5, step: 10000, cooldown: 24h, replicas: 10000"));
    check_good(&of("service: db, scalable: false"));
}

#[test]
fn references_are_checked() {
    for (text, wrong, word) in [
        ("kind: 'De ploy'", "'De ploy'", "kind"),
        ("kind: Rollout", "{kind", "api_version: argoproj.io/v1alpha1"),
        ("kind: Rollout, api_version: '../v1'", "'../v1'", "GROUP/VERSION"),
        ("namespace: Shop", "Shop", "namespace"),
        ("namespace: a.b", "a.b", "namespace"),
        ("name: ../x", "../x", "Kubernetes name"),
        ("name: ''", "''", "Kubernetes name"),
        ("label: x", "label", "remove it"),
    ] {
        check_bad(&reference(text), wrong, word);
    }
    let capital = reference("kind: Deployment").replace("service: cart", "service: Cart");
    check_bad(&capital, "{kind", "Kubernetes name");
    check_good(&reference("kind: Rollout, api_version: argoproj.io/v1alpha1, namespace: shop"));
}

#[test]
fn rules_are_checked() {
    for (part, by, wrong, word) in [
        ("name: slow", "name: ''", "''", "short name"),
        ("service: cart, op", "service: '*', op", "'*'", "one service"),
        ("service: cart, op", "service: '', op", "''", "one service"),
        ("op: Get", "op: ''", "''", "span name"),
        ("op: Get", "op: '*a*b*c*d*e*f*g*h*'", "'*a", "fewer"),
        ("80ms", "0ms", "0ms", "over: 80ms"),
        ("80ms", "25h", "25h", "24h"),
        ("80ms", "80", "80", "unit"),
        ("80ms", "-80ms", "-80ms", "unit"),
        ("count: 10", "count: 0", "0, window", "from 1"),
        ("count: 10", "count: 9999999999", "9999999999", "1000000000"),
        ("count: 10", "count: -1", "-1", ""),
        ("window: 30s", "window: 0s", "0s,", "whole seconds"),
        ("window: 30s", "window: 1500ms", "1500ms", "whole seconds"),
        ("window: 30s", "window: 2h", "2h", "1h"),
        ("window: 30s", "window: 30s, kind: servant", "servant", "server"),
        ("window: 30s", "window: 30s, on: wait", "wait", "self"),
        ("window: 30s", "window: 30s, count_on: some", "some", "all"),
        ("window: 30s", "window: 30s, status: bad", "bad", "error"),
        ("attributes: {}", "attributes: {'': 1}", "{'': 1}", "empty key"),
        ("attributes: {}", "attributes: [a]", "[a]", ""),
        ("cooldown: 60s", "cooldown: 0s", "0s\n", "24h"),
        ("cooldown: 60s", "cooldown: 25h", "25h", "24h"),
        ("do: {scale: cart, by: 1}", "do: {}", "{}\n", "exactly one"),
        ("by: 1", "by: 0", "0}", "1 to 10000"),
        ("by: 1", "by: -3", "-3", "only scale up"),
        ("by: 1", "to: 10001", "10001", "1 to 10000"),
        ("by: 1", "by: 1, to: 3", "{scale", "exactly one of by and to"),
        ("scale: cart, by", "scale: crat, by", "crat", "did you mean `cart`"),
        ("scale: cart, by: 1", "vertical: cart", "{vertical", "cpu"),
        ("scale: cart, by: 1", "vertical: cart, cpu: 0", "{vertical", "cpu"),
        ("scale: cart, by: 1", "vertical: cart, cpu: 2000", "{vertical", "1024"),
        ("scale: cart, by: 1", "vertical: cart, cpu: '+900%'", "{vertical", "300%"),
        ("scale: cart, by: 1", "vertical: cart, memory: 1B", "{vertical", "1MiB"),
        ("scale: cart, by: 1", "vertical: cart, memory: lots", "lots", "512MiB"),
        ("scale: cart, by: 1", "alert: ''", "{alert", "name"),
        ("scale: cart, by: 1", "alert: a, by: 1", "{alert", "nothing else"),
        ("name: slow", "title: slow", "title", "name"),
    ] {
        check_bad(&rule(part, by), wrong, word);
    }
    check_good(&rule("", ""));
    check_good(&rule("count: 10", "count: 1000000000"));
    check_good(&rule("scale: cart, by: 1", "vertical: cart, cpu: 1024, memory: 1MiB"));
}

#[test]
fn archives_are_checked() {
    for (key, wrong, word) in [
        ("level: l4", "l4", "write l3"),
        ("window: 500ms", "500ms", "1s to 1h"),
        ("window: 2h", "2h", "1s to 1h"),
        ("window: 60", "60", "60s"),
        ("traces: 0", "0", "1048576"),
        ("traces: 2000000", "2000000", "1048576"),
        ("verbatim: 0.5", "0.5", "0% to 100%"),
        ("verbatim: 101%", "101%", "0% to 100%"),
        ("verbatim: -1%", "-1%", "0% to 100%"),
        ("floor: {q9: 0.5}", "0.5", "inspect"),
        ("floor: {q1: 1.5}", "1.5", "0 to 1"),
        ("floor: {w1: -1}", "-1", "0 to 1"),
        ("to: core", "core", "http://host:4317"),
        ("to: 'http://localhost:4317'", "'http", "listener"),
        ("to: 'http://core:4317/x'", "'http", "path"),
        ("dir: ''", "''", "folder"),
        ("dir: Cargo.toml", "Cargo.toml", "folder"),
        ("retain: 10kB", "10kB", "1MiB"),
        ("retain: much", "much", "10GiB"),
        ("ca_file: Cargo.toml", "Cargo.toml", "without `to`"),
        ("levels: l3", "levels", "level"),
    ] {
        check_bad(&format!("archive:\n  {key}\n"), wrong, word);
    }
    check_good("archive: {}\n");
    check_good("archive: {level: off}\nforward: [{endpoint: 'http://a:1', send: archives}]\n");
    check_good(
        "archive: {to: 'http://core:4317', window: 1s, traces: 1, verbatim: 0%, floor: {w1: 2}}\n",
    );
    check_text(b"archive: {}\n");
    check_text(b"archive: {level: l2, window: 90s, floor: {}, retain: 1GiB, dir: x}\n");
    assert!(report("forward: [{stdout: true, send: archives, stamp: true}]\n").0.contains("stamp"));
}

#[test]
fn destinations_are_checked() {
    let to = |rest: &str| format!("forward:\n  - endpoint: http://collector:4317\n    {rest}\n");
    for (rest, wrong, word) in [
        ("protocol: http", "http\n", "http/protobuf"),
        ("protocol: http/json", "http/json", "http/protobuf"),
        ("compression: zstd", "zstd", "gzip or none"),
        ("queue: 0B", "0B", "1MiB"),
        ("queue: 9TB", "9TB", "32MiB"),
        ("queue: 99GB", "99GB", "half of memory_limit"),
        ("queue: 32", "32", "32MiB"),
        ("stamp: 1", "1\n", ""),
        ("ca_file: none.pem", "none.pem", "none.pem"),
        ("ca_file: Cargo.toml", "Cargo.toml", "certificate"),
    ] {
        check_bad(&to(rest), wrong, word);
    }
    for (endpoint, word) in [
        ("collector:4317", "not a url"),
        ("", "not a url"),
        ("ftp://collector", "not a url"),
        ("http://", "http://host:port"),
        ("http://collector:99999", "http://host:port"),
        ("http://collector:0", "port 0"),
        ("http://me:secret@collector:4317", "header"),
        ("http://collector:4317/v1/traces", "path"),
        ("http://collector:4317?x=1", "http://host:port"),
        ("http://127.0.0.1:4317", "in circles"),
        ("http://localhost:4318", "in circles"),
    ] {
        check_bad(&format!("forward: [{{endpoint: '{endpoint}'}}]\n"), "'", word);
    }
    let twice = to("") + "  - endpoint: http://collector:4317\n";
    assert!(report(&twice).0.contains("twice"), "{}", report(&twice).0);
    check_bad("forward:\n  - protocol: grpc\n    end_point: x\n", "end_point", "endpoint");
    check_good(&to("queue: 1MiB"));
    check_good(
        "forward: [{endpoint: 'https://collector/x', protocol: http/protobuf, stamp: true}]\n",
    );
}

#[test]
fn tests_are_checked() {
    for (part, by, wrong, word) in [
        ("every: 1s", "every: 0s", "0s, for", "every"),
        ("every: 1s", "every: 1ns", "[{service: cart, operation", "100,000"),
        ("for: 12s", "for: 25h", "{service: cart, operation", "24h"),
        ("duration: 90ms", "duration: 25h", "{service: cart, operation", "24h"),
        ("duration: 90ms", "duration: long", "long", "unit"),
        ("self_share: 1.0", "self_share: 1.5", "1.5", "0 to 1"),
        ("self_share: 1.0", "self_share: .nan", ".nan", "0 to 1"),
        ("at: 12s", "at: 25h", "25h", "24h"),
        ("do: {scale: cart, by: 1}", "none: crat", "{at", "target"),
        ("do: {scale: cart, by: 1}", "none: cart, reason: Because", "{at", "reason"),
        ("by: 1}}]", "by: 1}, none: cart}]", "{at", "exactly one"),
        ("replicas: {cart: 1}", "replicas: {crat: 7}", "7}", "target"),
    ] {
        check_bad(&test(part, by), wrong, word);
    }
    check_good(&test("", ""));
}

#[test]
fn what_no_configuration_needs_is_refused() {
    for (text, word) in [
        ("version: &a 1\n", "anchors"),
        ("version: 1\nversion: 1\n", "twice"),
        ("version: 1\n---\nversion: 1\n", "several documents"),
        ("- version\n", ""),
        ("{{{{", ""),
    ] {
        let (said, is_refused) = report(text);
        assert!(is_refused && said.contains(word) && said.contains("file"), "{text}: {said}");
    }
}

/// Guarantees: what fuzzing found worth keeping is settings or refused with a remedy, and settings in
/// force are a configuration.
#[test]
fn the_corpus_passes() {
    let folder = format!("{}/../../fuzz/corpus/config", env!("CARGO_MANIFEST_DIR"));
    let inputs = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let accepted: Vec<bool> =
        inputs.map(|path| check_text(&std::fs::read(path).unwrap())).collect();
    assert!(accepted.len() >= 20, "{} inputs", accepted.len());
    assert!(accepted.iter().filter(|accepted| **accepted).count() >= 10);
}

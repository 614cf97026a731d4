//! The command line: exit codes, and errors that name the place and the remedy.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::process::run;

/// Done; ran and the answer is no; could not run.
const OK: i32 = 0;
const NEGATIVE: i32 = 1;
const FAILED: i32 = 2;

const FREE: &str = "127.0.0.1:0";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command and checks how it ends and that what it says has all of `words` in it.
fn check(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
    }
}

/// A file in the repository.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Writes a file and hands its name to `with`.
fn with_file(text: &str, with: impl FnOnce(&str)) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.yaml");
    std::fs::write(&file, text).unwrap();
    with(file.to_str().unwrap());
}

#[test]
fn usage_errors_end_with_2_and_name_what_was_wrong() {
    check(&["serve", "--otlp-grcp", FREE], FAILED, &["--otlp-grcp", "--otlp-grpc"]);
    check(&["server"], FAILED, &["server", "serve"]);
    check(&["serve", "--otlp-grpc", "localhost"], FAILED, &["localhost", "--otlp-grpc"]);
    check(&["serve", "--role", "processor"], FAILED, &["fix: add --sampler"]);
    check(&["serve", "--sampler", "http://127.0.0.1:1"], FAILED, &["--role processor"]);
    check(&["replay", "none.parquet"], FAILED, &["none.parquet"]);
    check(&["--help"], OK, &["demo", "serve", "replay"]);
    check(&["--version"], OK, &[env!("CARGO_PKG_VERSION")]);
}

const MISSPELT: &str = "scaler:
  rules:
    - name: slow
      when: {service: cart, op: Get, ovr: 80ms, count: 1, window: 30s}
      do: {alert: me}
";
const OUT_OF_RANGE: &str = "sampler:
  budget: 200%
scaler:
  mode: actt
";

#[test]
fn config_check_ends_with_1_and_points_at_line_and_column() {
    with_file(MISSPELT, |file| {
        let place = format!("{file}:4:");
        check(&["config", "check", file], NEGATIVE, &[&place, "ovr", "fix: did you mean `over`?"]);
    });
    with_file(OUT_OF_RANGE, |file| {
        let (budget, mode) = (format!("{file}:2:11"), format!("{file}:4:9"));
        let words = [&budget, &mode, "sampler.budget", "scaler.mode", "fix: ", "2 errors"];
        check(&["config", "check", file], NEGATIVE, &words);
    });
    with_file("memory_limit: 1GiB\n", |file| check(&["config", "check", file], OK, &["ok"]));
    check(&["config", "check", "none.yaml"], FAILED, &["none.yaml"]);
}

#[test]
fn serve_refuses_what_config_check_refuses() {
    with_file(OUT_OF_RANGE, |file| {
        let place = format!("{file}:2:11");
        check(&["serve", "-c", file], FAILED, &[&place, "sampler.budget", "scaler.mode"]);
    });
    check(&["serve", "-c", "none.yaml"], FAILED, &["none.yaml"]);
}

#[test]
fn config_show_prints_what_config_check_accepts() {
    let shown = stdout(&run(&["config", "show"]));
    assert!(shown.contains("budget") && shown.contains("127.0.0.1:4317"), "{shown}");
    with_file(&shown, |file| check(&["config", "check", file], OK, &["ok"]));
    let json = run(&["config", "show", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["scaler"]["mode"], "observe");
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind(FREE).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
        let mut args = vec!["serve"];
        for each in ["--otlp-grpc", "--otlp-http", "--http"] {
            args.extend([each, if each == flag { &taken } else { FREE }]);
        }
        check(&args, FAILED, &[&taken, "choose another port"]);
    }
}

#[test]
fn an_address_others_can_reach_needs_insecure() {
    for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
        let args = ["serve", flag, "0.0.0.0:0"];
        check(&args, FAILED, &["0.0.0.0:0", "insecure: true", "127.0.0.1"]);
    }
    with_file("listen: {otlp_grpc: '0.0.0.0:4317', insecure: true}\n", |file| {
        check(&["config", "check", file], OK, &["ok"]);
    });
}

#[test]
fn rules_test_ends_with_0_or_1_and_shows_what_was_decided() {
    let rules = example("rules.yaml");
    let rules = rules.to_str().unwrap();
    check(&["rules", "test", rules], OK, &["6 passed, 0 failed"]);
    let json = run(&["rules", "test", rules, "-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&document["passed"], &document["failed"]), (&6.into(), &0.into()));

    let failing = format!(
        "rules: ['{rules}']
tests:
  - name: one slow read scales the cart
    spans: [{{service: cartservice, operation: GetCart, duration: 120ms, every: 1s, for: 1s}}]
    expect: [{{at: 10s, do: {{scale: cartservice, by: 1}}}}]
"
    );
    with_file(&failing, |file| {
        let words = ["FAIL", "one slow read scales the cart", "expected", "actual", "evidence"];
        check(&["rules", "test", file], NEGATIVE, &words);
    });
    with_file("memory_limit: 1GiB\n", |file| {
        check(&["rules", "test", file], FAILED, &["fix: add `tests:`"]);
    });
}

#[test]
fn decisions_say_what_is_wrong_with_an_id_or_an_address() {
    let nobody = ["--url", "http://127.0.0.1:1"];
    for id in ["x", "d-", "d-x", "12"] {
        let args = [&["decisions", "get", id], &nobody[..]].concat();
        check(&args, FAILED, &[id, "no decision id", "such as d-12"]);
    }
    for args in [&["decisions", "list"][..], &["decisions", "get", "d-1"], &["explain", "cart"]] {
        let args = [args, &nobody[..]].concat();
        check(&args, FAILED, &["127.0.0.1:1", "fix: start `spanwise serve`"]);
    }
}

/// Guarantees: the whole story within 20 seconds, with both decisions and both non-decisions.
#[test]
fn the_demo_tells_its_story_and_ends_by_itself() {
    let output = run(&["demo", "--for", "20s"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(OK), "{told}{}", stderr(&output));
    let mut rest = &told[..];
    for word in [
        "learnt",
        "FAULT",
        "anomaly",
        "cartservice::",
        "DECISION",
        "why: ",
        "NOT scaled",
        "Cooldown",
        "FAULT",
        "anomaly",
        "NOT scaled",
        "AtMax",
        "done",
    ] {
        let place = rest.find(word).unwrap_or_else(|| panic!("no `{word}` (any more) in: {told}"));
        rest = &rest[place..];
    }
}

const COLLECTOR: &str = "processors:
  batch:
  tail_sampling:
    decision_wait: 10s
    policies:
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 10}}
";

#[test]
fn a_collectors_file_is_converted_into_one_that_can_be_used() {
    with_file(COLLECTOR, |file| {
        let output = run(&["config", "convert", file]);
        assert_eq!(output.status.code(), Some(OK), "{}", stderr(&output));
        let settings = stdout(&output);
        assert!(
            settings.contains("rest: drop") && settings.contains("budget: exempt"),
            "{settings}"
        );
        with_file(&settings, |file| check(&["config", "check", file], OK, &["ok"]));
        let args = ["config", "convert", file, "--processor", "tail_sampling/b"];
        check(&args, NEGATIVE, &["--processor one of tail_sampling"]);
    });
}

#[test]
fn what_cannot_be_converted_is_named_with_its_place() {
    let ottl = COLLECTOR.replace("type: status_code, status_code: {status_codes: [ERROR]}", {
        "type: ottl_condition, ottl_condition: {span: ['true']}"
    });
    with_file(&ottl, |file| {
        check(&["config", "convert", file], NEGATIVE, &["P003", ":6:30", "OTTL", "fix: "]);
    });
    let replaced = COLLECTOR.replace("name: some", "name: '${env:NAME}'");
    with_file(&replaced, |file| {
        check(&["config", "convert", file], NEGATIVE, &["P003", ":7:9", "write the value itself"]);
    });
    with_file("processors: {batch: {}}", |file| {
        check(&["config", "convert", file], NEGATIVE, &["no `tail_sampling`", "fix: "]);
    });
}

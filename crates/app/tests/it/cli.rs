//! The command line: exit codes, and errors that name the place and the remedy.

use std::io::BufRead as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use spanwise::serve::Role;

use crate::support::http::get_json;
use crate::support::process::run;
use crate::support::requests::{recent, request};
use crate::support::server::Running;
use crate::support::until_true;

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

#[test]
fn wrong_values_name_their_flag_and_the_remedy() {
    for (flag, value, fix) in [
        ("--mode", "foo", "recommend"),
        ("--budget", "200%", "1%"),
        ("--shadow", "foo", "1%,10%"),
        ("--otlp-grpc", "example.org:4317", "ip address"),
    ] {
        check(&["serve", flag, value], FAILED, &[flag, value, fix]);
    }
}

/// Guarantees: what the system says is said once, and something can be done about it.
#[test]
fn files_that_cannot_be_read_are_told_once_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let broken = dir.path().join("broken.otlp.jsonl");
    std::fs::write(&broken, "{bad\n").unwrap();
    for args in [
        &["config", "check", "none.yaml"][..],
        &["config", "check", folder],
        &["config", "check", "/dev/zero"],
        &["replay", "none.otlp.pb"],
        &["archive", "verify", "none.otlp.pb", "none.spwa"],
    ] {
        check(args, FAILED, &["fix: "]);
        let said = stderr(&run(args));
        assert!(said.matches("os error").count() <= 1, "{args:?}: {said}");
    }
    let said = stderr(&run(&["replay", broken.to_str().unwrap()]));
    assert_eq!(said.matches("not valid json").count(), 1, "{said}");
}

/// Scenario: the cluster that a target lives in cannot be found.
/// Guarantees: where nothing may be written the process runs on and says so; where it may act it
/// refuses, and leaves no folder behind.
#[test]
fn a_missing_cluster_is_fatal_in_mode_act_only() {
    let yaml = "scaler:
  targets:
    - {service: cart, orchestrator: kubernetes, max: 5}
";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("spanwise.yaml");
    std::fs::write(&file, yaml).unwrap();
    let data_dir = dir.path().join("a/b");
    let args = [
        "serve",
        "-c",
        file.to_str().unwrap(),
        "--mode",
        "act",
        "--data-dir",
        data_dir.to_str().unwrap(),
        "--otlp-grpc",
        FREE,
        "--otlp-http",
        FREE,
        "--http",
        FREE,
    ];
    let output = without_cluster(&args, dir.path()).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(FAILED), "{said}");
    assert!(said.contains("mode act needs its cluster") && said.contains("KUBECONFIG"), "{said}");
    assert!(!dir.path().join("a").exists(), "a failed start leaves a folder");

    let mut child = without_cluster(&[&args[..3], &args[7..]].concat(), dir.path());
    let mut child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said.push_str(&line);
        if line.contains("API    http://") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("API    http://") && said.contains("OrchestratorError"), "{said}");
}

fn without_cluster(args: &[&str], dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_spanwise"));
    command.args(args).current_dir(dir).env("HOME", dir).env("KUBECONFIG", dir.join("none"));
    command.env_remove("KUBERNETES_SERVICE_HOST");
    command
}

/// Scenario: a rule whose operation nobody sends.
/// Guarantees: `explain` and the API say that it has seen nothing, and what its service does send.
#[test]
fn a_rule_that_matches_nothing_is_found() {
    let yaml = "scaler:
  targets:
    - {service: cart, orchestrator: recorder, max: 5}
  rules:
    - name: cart-typo
      when: {service: cart, op: GetCrat, over: 60ms, count: 10, window: 30s}
      do: {scale: cart, by: 1}
    - name: cart-fine
      when: {service: cart, op: GetCart, over: 1ms, count: 1000000, window: 30s}
      do: {alert: pager}
";
    let running = Running::start(yaml, Role::All);
    running.send(request(recent(1, 100, 1)));
    let api = running.api();
    let url = format!("http://{api}");
    until_true("the spans", || {
        get_json(api, "/api/v1/rules").is_some_and(|rules| rules["items"][1]["spans"] == 100)
    });
    let rules = get_json(api, "/api/v1/rules").unwrap();
    assert_eq!(rules["items"][0]["spans"], 0);
    assert_eq!(rules["items"][0]["known_operations"][0], "GetCart (server)");
    assert_eq!(rules["items"][1]["breaches"], 100);
    let words = ["cart-typo", "matches nothing", "GetCart (server)", "cart-fine", "100 spans seen"];
    check(&["explain", "cart", "--url", &url], OK, &words);
    check(&["explain", "pager", "--url", &url], OK, &["cart-fine", "0 times"]);
    // The scheme may be left out.
    let bare = &url["http://".len()..];
    check(&["explain", "nosuch", "--url", bare], NEGATIVE, &["nosuch", "cart-typo", "fix: "]);
    check(&["decisions", "list", "--target", "foo", "--url", bare], OK, &["foo", "fix: "]);
    check(&["decisions", "list", "--url", bare], OK, &["no rule has fired"]);
    check(&["explain", "d-99", "--url", bare], NEGATIVE, &["d-99", "fix: "]);
    let list = ["decisions", "list", "--url", bare];
    check(&[&list[..], &["--outcome", "foo"]].concat(), FAILED, &["outcome", "fix: write acted"]);
    check(&[&list[..], &["--limit", "0"]].concat(), FAILED, &["limit is 0", "fix: write 1 to"]);
    check(&["traces", "search", "--kept", "--url", bare], FAILED, &["single spans", "fix: "]);
    assert!(running.stop());
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
    assert!(!shown.contains("null"), "{shown}");
    with_file("memory_limit: 1GiB\n", |file| {
        check(&["config", "show", "-c", file], OK, &["memory_limit: 1GiB"]);
    });
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

/// Guarantees: one JSON document, however the story ends.
#[test]
fn the_demo_tells_one_document_to_programs() {
    let output = run(&["demo", "--for", "2s", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["events"].is_array() && document["summary"]["complete"].is_boolean());
}

#[test]
fn config_check_warns_of_what_has_no_effect() {
    with_file("# nothing\n", |file| check(&["config", "check", file], OK, &["holds nothing"]));
    let tag = "sampler: {mode: tag}\n";
    with_file(tag, |file| check(&["config", "check", file], OK, &["C023", "1 warning", "fix: "]));
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
        assert!(settings.contains("decision_wait_after_root_received: 10s\n"), "{settings}");
        with_file(&settings, |file| check(&["config", "check", file], OK, &["ok"]));
        let args = ["config", "convert", file, "--processor", "tail_sampling/b"];
        check(&args, NEGATIVE, &["--processor one of tail_sampling"]);
    });
}

#[test]
fn a_collectors_wait_is_carried_over() {
    let wait = |written: &str| {
        let file = COLLECTOR.replace("    decision_wait: 10s\n", written);
        let mut printed = String::new();
        with_file(&file, |file| printed = stdout(&run(&["config", "convert", file])));
        let key = "decision_wait_after_root_received: ";
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(key));
        line.map(str::to_owned).unwrap_or(printed)
    };
    assert_eq!(wait(""), "30s", "its default");
    assert_eq!(wait("    decision_wait: 2m\n"), "1m");
    assert_eq!(wait("    decision_wait: 0m45s\n"), "45s");
    let both = "    decision_wait: 20s\n    decision_wait_after_root_received: 2s\n";
    assert_eq!(wait(both), "2s");
    let wrong = COLLECTOR.replace("10s", "soon");
    with_file(&wrong, |file| {
        check(&["config", "convert", file], NEGATIVE, &["P003", ":4:20", "soon", "fix: "]);
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

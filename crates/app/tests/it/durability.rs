//! What survives: decisions and models over kill -9 and SIGTERM; and what must not happen: two
//! processes on one data directory, acting without a log, acting when only asked to observe.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use spanwise::clock::Clock;
use spanwise::pipeline::core::{self, Core};
use spanwise::serve::{Addresses, Role, State};
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::Compression;
use spanwise_otlp::{Limits, decode};

use crate::support::http::{get_json, metric};
use crate::support::process::{Serving, run};
use crate::support::requests::{Purchase, recent, request};
use crate::support::server::{Running, config, export};
use crate::support::{until, until_true};

const RULES: &str = "
  rules:
    - name: cart-slow
      when: {service: cart, op: GetCart, kind: server, over: 60ms, count: 1000, window: 30s}
      do: {scale: cart, by: 1}
";
/// Purchases of one request.
const N: u64 = 2_000;
/// The file with the models in a data directory.
const MODELS: &str = "models.spanwise";

fn recorder() -> String {
    format!("scaler:\n  targets:\n    - {{service: cart, orchestrator: recorder, max: 5}}{RULES}")
}

fn serve(dir: &Path, yaml: &str) -> Serving {
    let data_dir = dir.join("data");
    let mut args = vec!["--data-dir", data_dir.to_str().unwrap()];
    for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
        args.extend([flag, "127.0.0.1:0"]);
    }
    Serving::start(dir, yaml, &args)
}

/// Sends an incident; `first` numbers its traces.
fn send_incident(to: SocketAddr, first: u64) {
    let incident = request(recent(first, N, 20).map(Purchase::slow));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(export(to, Protocol::Grpc, Compression::Identity, incident)).unwrap();
}

fn decisions(api: SocketAddr) -> Vec<Value> {
    let list = get_json(api, "/api/v1/decisions?limit=200");
    list.map_or_else(Vec::new, |list| list["items"].as_array().unwrap().clone())
}

/// Call sites with a reference of their own, once the process has shown anything but its start.
fn n_ready(api: SocketAddr) -> u64 {
    let status = get_json(api, "/api/v1/status").unwrap();
    status["call_sites"]["ready"].as_u64().unwrap()
}

/// Scenario: kill -9 right after decisions were shown.
/// Guarantees: a new process on the same directory shows the same list, and goes on numbering.
#[test]
fn decisions_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let first = serve(dir.path(), &recorder());
    send_incident(first.grpc.unwrap(), 1);
    let before = until("a decision", || Some(decisions(first.api)).filter(|all| !all.is_empty()));
    first.kill();

    let second = serve(dir.path(), &recorder());
    let after = until("the decisions", || {
        Some(decisions(second.api)).filter(|all| all.len() >= before.len())
    });
    assert_eq!(after[after.len() - before.len()..], before);
    let n_restored = after.len();
    send_incident(second.grpc.unwrap(), 1 + N);
    let newest = until("a new decision", || {
        let all = decisions(second.api);
        (all.len() > n_restored).then(|| all[0]["id"].as_str().unwrap().to_owned())
    });
    assert!(after.iter().all(|decision| decision["id"] != newest.as_str()), "{newest} twice");
}

/// Scenario: SIGTERM, then kill -9 of its successor after it has learnt more.
/// Guarantees: SIGTERM ends with code 0, saves the models and says what was in flight; each
/// successor starts with them.
#[test]
fn models_survive_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = serve(dir.path(), "");
    send_incident(first.grpc.unwrap(), 1);
    let learnt = until("learning", || Some(n_ready(first.api)).filter(|&ready| ready > 0));
    assert_eq!(first.terminate().code(), Some(0));
    let said = first.stderr();
    assert!(said.contains("draining") && said.contains("stopped"), "{said}");
    assert!(dir.path().join("data").join(MODELS).exists());

    let second = serve(dir.path(), "");
    until_true("the models", || n_ready(second.api) >= learnt);
    send_incident(second.grpc.unwrap(), 1 + N);
    second.kill();

    let third = serve(dir.path(), "");
    until_true("the models", || n_ready(third.api) >= learnt);
}

/// Guarantees: models that cannot be used neither keep the process from starting nor are written
/// over: they are set aside with a warning.
#[test]
fn unusable_models_are_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("data").join(MODELS);
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    std::fs::write(&models, b"SPWS\x01\0 of another version").unwrap();
    let mut first = serve(dir.path(), "");
    send_incident(first.grpc.unwrap(), 1);
    until("learning", || Some(n_ready(first.api)).filter(|&ready| ready > 0));
    assert_eq!(first.terminate().code(), Some(0));
    let said = first.stderr();
    assert!(said.contains("set aside") && said.contains("another version"), "{said}");
    let aside = models.with_file_name("models.spanwise.refused");
    assert_eq!(std::fs::read(aside).unwrap(), b"SPWS\x01\0 of another version");

    let second = serve(dir.path(), "");
    until_true("the models", || n_ready(second.api) > 0);
}

/// Guarantees: models are written at least every minute, so that kill -9 loses no more. In virtual
/// time.
#[test]
fn models_are_saved_within_a_minute_of_learning() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&format!("data_dir: {}\n", dir.path().display()));
    let clock = Clock::start();
    let http = "127.0.0.1:1".parse().unwrap();
    let at = Addresses { otlp_grpc: None, otlp_http: None, http };
    let open = || State::open(&config, &Role::All, clock, at).unwrap();
    let core = || {
        let (sampler, assembler) = (config.sampler, config.assembler);
        let rules = std::sync::Arc::clone(&config.rules);
        Core::new(core::Config { sampler, assembler, rules, traces: None })
    };
    let mut learnt = core().unwrap();
    let batch = decode(request(recent(1, N, 20)), &Limits::default()).unwrap().batch;
    let start = clock.now();
    learnt.batch(batch, start, &mut Vec::new());
    let ready = learnt.sampler().stats().n_warm;
    assert!(ready > 0);

    let state = open();
    for second in 0..60 {
        state.show(0, &learnt, start.plus_ns(second * 1_000_000_000), false);
    }
    // The process is gone without a last word.
    drop(state);
    let mut restored = core().unwrap();
    open().restore(0, &mut restored, start);
    assert_eq!(restored.sampler().stats().n_warm, ready);
}

/// Guarantees: the second process ends with code 2 and names the directory and who has it.
#[test]
fn a_data_directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = serve(dir.path(), "");
    let data_dir = dir.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let free = "127.0.0.1:0";
    let args = ["serve", "--otlp-grpc", free, "--otlp-http", free, "--http", free];
    let refused = run(&[&args[..], &["--data-dir", data_dir]].concat());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(data_dir) && said.contains(&format!("pid {}", first.pid())), "{said}");
}

/// Guarantees: `act` on a real orchestrator without a log is refused with the remedy; on the
/// recorder, which touches nothing, it is allowed.
#[test]
fn acting_for_real_needs_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let check = |orchestrator: &str| {
        let target = format!("{{service: cart, orchestrator: {orchestrator}, max: 5}}");
        let yaml = format!("scaler:\n  mode: act\n  targets:\n    - {target}{RULES}");
        let file = dir.path().join("act.yaml");
        std::fs::write(&file, yaml).unwrap();
        run(&["config", "check", file.to_str().unwrap()])
    };
    for real in ["kubernetes", "exec, command: [/bin/true]"] {
        let refused = check(real);
        let said = String::from_utf8(refused.stdout).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("C010") && said.contains("--data-dir"), "{said}");
    }
    assert_eq!(check("recorder").status.code(), Some(0));

    let file = dir.path().join("act.yaml");
    std::fs::write(&file, format!(
        "scaler:\n  mode: act\n  targets:\n    - {{service: cart, orchestrator: kubernetes, max: 5}}{RULES}"
    ))
    .unwrap();
    let refused = run(&["serve", "-c", file.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("C010") && said.contains("--data-dir"), "{said}");
}

/// A target whose orchestrator leaves a mark when it is called. Acting begins two windows after the
/// start.
fn marking(mode: &str, mark: &Path, data_dir: &Path) -> String {
    format!(
        "data_dir: {}
scaler:
  mode: {mode}
  targets:
    - {{service: cart, orchestrator: exec, max: 5, cooldown: 1s, command: [/bin/sh, -c, 'cat > \"$0\"', {}]}}
  rules:
    - name: cart-slow
      when: {{service: cart, op: GetCart, kind: server, over: 40ms, count: 30, window: 2s}}
      do: {{scale: cart, by: 1}}
",
        data_dir.display(),
        mark.display()
    )
}

/// Scenario: the same incident in `observe`, `recommend` and `act`, on a command that leaves a file,
/// until the rule has fired often enough after the first two windows.
/// Guarantees: only `act` calls it.
#[test]
fn only_act_touches_anything() {
    for (mode, outcome) in
        [("observe", "suppressed"), ("recommend", "recommended"), ("act", "acted")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("called");
        let running = Running::start(&marking(mode, &mark, dir.path()), Role::All);
        let started = Clock::start();
        let mut first = 1;
        until_true("the decision", || {
            running.send(request(recent(first, 60, 2).map(Purchase::slow)));
            first += 60;
            let all = decisions(running.api());
            let is_there = all.iter().any(|decision| decision["outcome"] == outcome);
            // Time enough for acting, had it been allowed.
            is_there && started.now().since(started.started_at()) > 8_000_000_000
        });
        assert_eq!(mark.exists(), mode == "act", "{mode}");
        let applied = "spanwise_orchestrator_request_seconds_count{verb=\"apply\",outcome=\"ok\"}";
        assert_eq!(metric(running.api(), applied) > 0, mode == "act", "{mode}");
        assert!(running.stop());
    }
}

/// Scenario: a rule fires, its target is scaled, and no more spans come.
/// Guarantees: the target is observed again, so that what is shown is what it became.
#[test]
fn a_target_is_observed_again_after_an_action() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "data_dir: {}
scaler:
  mode: act
  targets:
    - {{service: cart, orchestrator: recorder, max: 5}}
  rules:
    - name: cart-slow
      when: {{service: cart, op: GetCart, kind: server, over: 40ms, count: 30, window: 2s}}
      do: {{scale: cart, by: 1}}
",
        dir.path().display()
    );
    let running = Running::start(&yaml, Role::All);
    let mut first = 1;
    let acted = until("the action", || {
        running.send(request(recent(first, 60, 2).map(Purchase::slow)));
        first += 60;
        decisions(running.api()).into_iter().find(|decision| decision["outcome"] == "acted")
    });
    let (from, to) = (acted["from"].as_u64().unwrap(), acted["to"].as_u64().unwrap());
    assert!(to > from, "{acted}");
    until_true("what it became", || {
        let status = get_json(running.api(), "/api/v1/status").unwrap();
        status["targets"][0]["desired"].as_u64() == Some(to)
    });
    assert!(running.stop());
}

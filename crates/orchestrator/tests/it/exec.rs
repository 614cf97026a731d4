//! The backend that runs commands, against `examples/scale_command.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use spanwise_model::TargetRef;
use spanwise_orchestrator::{Exec, ExecConfig, Guard, OrchError, Orchestrator};
use spanwise_testkit::conformance::{REPLICAS, Stage, check_orchestrator, guard_for, replicas};

use crate::target;

struct ExecStage {
    exec: Exec,
    dir: tempfile::TempDir,
}

impl ExecStage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state.json");
        let argv = |deed: &str| command(&state, deed);
        let config =
            ExecConfig { apply: argv("apply"), observe: Some(argv("observe")), ..patient() };
        let stage = Self { exec: Exec::new(config).unwrap(), dir };
        stage.write(&format!("{{\"replicas\":{REPLICAS}}}"));
        stage
    }

    fn write(&self, state: &str) {
        std::fs::write(self.dir.path().join("state.json"), state).unwrap();
    }
}

impl Stage for ExecStage {
    fn orchestrator(&self) -> &dyn Orchestrator {
        &self.exec
    }

    fn target(&self) -> TargetRef {
        target("exec", "", "cart")
    }

    fn set_replicas(&self, replicas: u32) -> BoxFuture<'_, ()> {
        self.write(&format!("{{\"replicas\":{replicas}}}"));
        ready(()).boxed()
    }

    fn recreate(&self) -> Option<BoxFuture<'_, ()>> {
        self.write(&format!("{{\"replicas\":{REPLICAS},\"uid\":\"again\"}}"));
        Some(ready(()).boxed())
    }
}

/// Long enough for a process to start on a busy machine.
fn patient() -> ExecConfig {
    ExecConfig { timeout: Duration::from_mins(1), ..ExecConfig::default() }
}

fn command(state: &Path, deed: &str) -> Vec<String> {
    vec![helper().display().to_string(), state.display().to_string(), deed.to_owned()]
}

/// The example's binary, which cargo builds beside the tests.
fn helper() -> PathBuf {
    let test_binary = std::env::current_exe().unwrap();
    let profile_dir = test_binary.parent().and_then(Path::parent).unwrap();
    let name = format!("scale_command{}", std::env::consts::EXE_SUFFIX);
    let helper = profile_dir.join("examples").join(name);
    assert!(helper.exists(), "run `cargo build -p spanwise-orchestrator --examples` first");
    helper
}

fn stage_with(state: &str) -> ExecStage {
    let stage = ExecStage::new();
    stage.write(state);
    stage
}

async fn scale_up(exec: &Exec) -> Result<(), OrchError> {
    let guard = guard_for(&exec.observe(&target("exec", "", "cart")).await.unwrap());
    exec.apply(&target("exec", "", "cart"), &replicas(3, 4), &guard).await.map(drop)
}

#[tokio::test]
async fn exec_keeps_the_promises() {
    check_orchestrator(async || {
        let stage = ExecStage::new();
        stage.write(&format!("{{\"replicas\":{REPLICAS},\"uid\":\"first\"}}"));
        stage
    })
    .await;
}

#[tokio::test]
async fn a_command_that_is_busy_is_tried_three_times() {
    let stage = stage_with(r#"{"replicas":3,"busy":2}"#);
    scale_up(&stage.exec).await.unwrap();
    let stage = stage_with(r#"{"replicas":3,"busy":3}"#);
    let refusal = scale_up(&stage.exec).await.unwrap_err();
    let OrchError::Transient { maybe_applied: false, detail } = refusal else {
        panic!("busy three times is transient, not: {refusal}")
    };
    assert!(detail.ends_with("exited with 75"), "{detail}");
}

#[tokio::test]
async fn a_command_that_fails_is_quoted() {
    let stage = stage_with(r#"{"replicas":3}"#);
    let missing = stage.dir.path().join("missing.json");
    let config = ExecConfig { apply: command(&missing, "apply"), initial_replicas: 3, ..patient() };
    let refusal = scale_up(&Exec::new(config).unwrap()).await.unwrap_err();
    assert_eq!(refusal.as_str(), "invalid");
    let text = refusal.to_string();
    assert!(text.contains("exited with 1: ") && text.contains("No such file"), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_that_hangs_is_killed_and_its_effect_is_unknown() {
    let config = ExecConfig {
        apply: vec!["sleep".to_owned(), "60".to_owned()],
        timeout: Duration::from_millis(50),
        initial_replicas: 3,
        ..ExecConfig::default()
    };
    let refusal = scale_up(&Exec::new(config).unwrap()).await.unwrap_err();
    assert!(matches!(refusal, OrchError::Transient { maybe_applied: true, .. }), "{refusal}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_decision_that_expires_while_its_command_runs_has_an_unknown_effect() {
    let apply = vec!["sleep".to_owned(), "60".to_owned()];
    let exec = Exec::new(ExecConfig { apply, initial_replicas: 3, ..patient() }).unwrap();
    let guard = Guard { ttl: Duration::from_millis(50), ..Guard::default() };
    let target = target("exec", "", "cart");
    let refusal = exec.apply(&target, &replicas(3, 4), &guard).await.unwrap_err();
    assert!(matches!(refusal, OrchError::Transient { maybe_applied: true, .. }), "{refusal}");
}

#[cfg(unix)]
#[tokio::test]
async fn output_without_end_neither_blocks_nor_fills_memory() {
    let config = ExecConfig {
        apply: vec!["true".to_owned()],
        observe: Some(vec!["yes".to_owned()]),
        timeout: Duration::from_millis(200),
        ..ExecConfig::default()
    };
    let exec = Exec::new(config).unwrap();
    let refusal = exec.observe(&target("exec", "", "cart")).await.unwrap_err();
    assert_eq!(refusal.as_str(), "transient");
}

#[cfg(unix)]
#[tokio::test]
async fn without_an_observe_command_what_was_applied_is_remembered() {
    let config = ExecConfig { apply: vec!["true".to_owned()], initial_replicas: 3, ..patient() };
    let exec = Exec::new(config).unwrap();
    scale_up(&exec).await.unwrap();
    assert_eq!(exec.observe(&target("exec", "", "cart")).await.unwrap().desired, 4);
    assert_eq!(scale_up(&exec).await, Ok(()), "the second time there is nothing to do");
    assert_eq!(exec.observe(&target("exec", "", "other")).await.unwrap().desired, 3);
}

#[test]
fn a_configuration_without_a_command_is_refused() {
    let check = |apply: &[&str], observe: Option<&[&str]>| {
        let argv = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let config =
            ExecConfig { apply: argv(apply), observe: observe.map(argv), ..ExecConfig::default() };
        assert_eq!(Exec::new(config).unwrap_err().as_str(), "invalid");
    };
    check(&[], None);
    check(&[""], None);
    check(&["true"], Some(&[]));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let config = ExecConfig {
        apply: vec!["/nowhere/scale".to_owned()],
        initial_replicas: 3,
        ..ExecConfig::default()
    };
    let refusal = scale_up(&Exec::new(config).unwrap()).await.unwrap_err();
    assert!(refusal.to_string().starts_with("invalid: cannot start /nowhere/scale: "), "{refusal}");
}

//! Targets: their bounds for the scaler, their names for the rules, and what stands behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_analyzer::rules::KnownTarget;
use spanwise_analyzer::units::DurationNs;
use spanwise_model::{Mode, TargetRef};
use spanwise_orchestrator::check_reference;

use super::Problems;
use crate::config::raw::{RawScaler, RawTarget};

/// Most replicas that an orchestrator without eyes may begin with.
const REPLICAS_MAX: u32 = 10_000;

/// What stands behind the targets, by the name targets refer to it by.
pub type Backends = BTreeMap<String, Backend>;

/// One orchestrator backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The Kubernetes API that the environment leads to.
    Kubernetes,
    /// A command of one target.
    Exec {
        /// Program and arguments that apply an action.
        command: Vec<String>,
        /// Program and arguments that print the replicas.
        observe: Option<Vec<String>>,
        /// Replicas assumed before anything was applied.
        replicas: u32,
    },
    /// Remembers what it was told; touches nothing.
    Recorder {
        /// Replicas every target starts with.
        replicas: u32,
    },
}

/// Whether a target may be acted on outside of this process.
pub(super) fn acts_for_real(config: &spanwise_scaler::Config) -> bool {
    config.targets.iter().any(|target| {
        let backend = &*target.reference.backend;
        target.scalable && config.mode_of(target) == Mode::Act && !backend.starts_with("recorder")
    })
}

/// The scaler's settings, the backends, and the names rules may use.
pub(super) fn build(
    raw: &RawScaler,
    problems: &mut Problems,
) -> (Option<spanwise_scaler::Config>, Backends, Vec<KnownTarget>) {
    let mode = parse_mode("scaler.mode", raw.mode.as_deref(), problems);
    let mut backends = Backends::new();
    let mut targets = Vec::new();
    for (idx, raw) in raw.targets.iter().enumerate() {
        targets.extend(target(&format!("scaler.targets[{idx}]"), raw, &mut backends, problems));
    }
    let config = spanwise_scaler::Config {
        mode: mode.unwrap_or_default().unwrap_or_default(),
        targets,
        ..spanwise_scaler::Config::default()
    };
    problems.0.extend(config.validate());
    (Some(config), backends, known_targets(raw))
}

/// The targets as rules may name them.
pub fn known_targets(raw: &RawScaler) -> Vec<KnownTarget> {
    let known = |target: &RawTarget| KnownTarget {
        name: Arc::from(target.service.as_str()),
        scalable: target.scalable.unwrap_or(true),
        max: target.max.unwrap_or(u32::MAX),
    };
    raw.targets.iter().map(known).collect()
}

fn target(
    path: &str,
    raw: &RawTarget,
    backends: &mut Backends,
    problems: &mut Problems,
) -> Option<spanwise_scaler::Target> {
    let reference =
        TargetRef { backend: backend(path, raw, backends, problems)?, ..reference(raw) };
    if &*reference.backend == "kubernetes"
        && let Err(error) = check_reference(&reference)
    {
        let key = error.key;
        let fix = "write ref: {kind: Deployment, namespace: shop, name: cart}";
        problems.error(format!("{path}.ref.{key}"), "C014", error.problem, fix);
    }
    idle_keys(path, raw, problems);
    let mut target = spanwise_scaler::Target::new(reference, raw.max.unwrap_or(0));
    target.min = raw.min.unwrap_or(1);
    target.step_max = raw.step;
    target.scalable = raw.scalable.unwrap_or(true);
    target.mode = parse_mode(&format!("{path}.mode"), raw.mode.as_deref(), problems)?;
    if let Some(text) = &raw.cooldown {
        match DurationNs::parse(text) {
            Ok(DurationNs(ns)) => target.cooldown_ns = ns,
            Err(error) => {
                let path = format!("{path}.cooldown");
                problems.error(path, "C006", error.to_string(), "write a duration such as 60s");
            }
        }
    }
    Some(target)
}

/// Adds what stands behind a target and returns its name.
fn backend(
    path: &str,
    raw: &RawTarget,
    backends: &mut Backends,
    problems: &mut Problems,
) -> Option<Arc<str>> {
    let replicas = raw.replicas.unwrap_or(1).max(1);
    if replicas > REPLICAS_MAX {
        let message = format!("{replicas} is more than {REPLICAS_MAX}");
        problems.error(format!("{path}.replicas"), "C017", message, "write what there is");
    }
    for (key, command) in [("command", &raw.command), ("observe", &raw.observe)] {
        let Some(program) = command.first() else { continue };
        if program.is_empty() || command.iter().any(|word| word.contains('\0')) {
            let message = "names no program".to_owned();
            let fix = "write [/path/to/program, argument]";
            problems.error(format!("{path}.{key}"), "C007", message, fix);
        }
    }
    let (name, backend) = match raw.orchestrator.as_deref() {
        None if raw.scalable == Some(false) => ("none".to_owned(), None),
        Some("kubernetes") => ("kubernetes".to_owned(), Some(Backend::Kubernetes)),
        Some("exec") if raw.command.is_empty() => {
            let fix = "write `command: [/path/to/program, argument]`";
            problems.error(path, "C007", "exec has no command".to_owned(), fix);
            return None;
        }
        Some("exec") => {
            let observe = (!raw.observe.is_empty()).then(|| raw.observe.clone());
            let command = raw.command.clone();
            (format!("exec:{}", raw.service), Some(Backend::Exec { command, observe, replicas }))
        }
        Some("recorder") => (format!("recorder:{replicas}"), Some(Backend::Recorder { replicas })),
        other => {
            let message = match other {
                Some(other) => format!("unknown orchestrator `{other}`"),
                None => "orchestrator is missing".to_owned(),
            };
            let fix = "write kubernetes, exec or recorder";
            problems.error(format!("{path}.orchestrator"), "C007", message, fix);
            return None;
        }
    };
    if let Some(backend) = backend {
        backends.insert(name.clone(), backend);
    }
    Some(Arc::from(name))
}

/// Tells of keys that the target's orchestrator does not look at.
fn idle_keys(path: &str, raw: &RawTarget, problems: &mut Problems) {
    let orchestrator = raw.orchestrator.as_deref().unwrap_or("none");
    let is_exec = orchestrator == "exec";
    let counts = is_exec || orchestrator == "recorder";
    for (key, is_written, has_effect) in [
        ("command", !raw.command.is_empty(), is_exec),
        ("observe", !raw.observe.is_empty(), is_exec),
        ("replicas", raw.replicas.is_some(), counts),
    ] {
        if is_written && !has_effect {
            let message = format!("has no effect with orchestrator {orchestrator}");
            problems.warning(format!("{path}.{key}"), "C015", message, "remove it");
        }
    }
}

/// Everything of the reference but its backend.
fn reference(raw: &RawTarget) -> TargetRef {
    let written = raw.reference.clone().unwrap_or_default();
    let is_kubernetes = raw.orchestrator.as_deref() == Some("kubernetes");
    let default = |text: &str| if is_kubernetes { text.to_owned() } else { String::new() };
    TargetRef {
        name: Arc::from(raw.service.as_str()),
        backend: Arc::from(""),
        kind: Arc::from(written.kind.unwrap_or_else(|| default("Deployment"))),
        api_version: Arc::from(written.api_version.unwrap_or_default()),
        namespace: Arc::from(written.namespace.unwrap_or_else(|| default("default"))),
        object: Arc::from(written.name.unwrap_or_else(|| raw.service.clone())),
    }
}

/// `None` if it is not a mode, `Some(None)` if nothing is written.
#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
fn parse_mode(path: &str, text: Option<&str>, problems: &mut Problems) -> Option<Option<Mode>> {
    match text {
        None => Some(None),
        Some("observe") => Some(Some(Mode::Observe)),
        Some("recommend") => Some(Some(Mode::Recommend)),
        Some("act") => Some(Some(Mode::Act)),
        Some(other) => {
            let message = format!("unknown mode `{other}`");
            problems.error(path, "C008", message, "write observe, recommend or act");
            None
        }
    }
}

//! Validated settings: numbers instead of strings, addresses instead of text, compiled rules.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use spanwise_analyzer::rules::RuleSet;
use spanwise_analyzer::rules::testing::TestCase;
use spanwise_analyzer::units::{DurationNs, SizeBytes};
use spanwise_model::{Problem, Severity};
use spanwise_wal::Durability;

use super::raw::{RawConfig, RawListen, RawScaler, RawShards};

mod archive;
mod forward;
mod listen;
mod memory;
mod sampler;
mod shards;
mod targets;
mod traces;

pub use self::shards::N_MAX as SHARDS_MAX;
pub use archive::{Archive, Peer, Windows};
pub use forward::{Destination, Forward, ForwardProtocol, Otlp, Sent};
pub use listen::address_of;
pub use targets::{Backend, Backends, known_targets};
pub use traces::{TraceMode, Traces, WAIT_NS_MAX};

/// Share of the memory limit that open traces may hold.
const WINDOW_SHARE_PERCENT: u64 = 35;
/// Share of the memory limit that open traces may hold as bytes of spans while the span log has them
/// too: so much need not be read back. The window gives them up earlier where its index needs the room.
const FULL_SHARE_PERCENT: u64 = 30;
/// Share of the spans that is kept.
const BUDGET_DEFAULT: &str = "1%";
/// Seed of every random choice.
const SEED_DEFAULT: u64 = 42;

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Memory for spans in flight and open traces, in bytes.
    pub memory_limit: u64,
    /// Directory for models and the decision log.
    pub data_dir: Option<PathBuf>,
    /// Addresses.
    pub listen: Listen,
    /// The span sampler.
    pub sampler: spanwise_sampler::Config,
    /// The trace window.
    pub assembler: spanwise_assembler::Config,
    /// Compiled rules.
    pub rules: Arc<RuleSet>,
    /// Targets and mode.
    pub scaler: spanwise_scaler::Config,
    /// Rules and targets as written: what a processor tells its sampler.
    pub raw_scaler: RawScaler,
    /// What stands behind the targets.
    pub backends: Backends,
    /// Destinations of what is kept.
    pub forward: Vec<Forward>,
    /// The trace sampler; `None` = whole traces are not sampled.
    pub traces: Option<Traces>,
    /// When a request is acknowledged, with a data directory and a trace sampler.
    pub ack_on: Durability,
    /// Threads that share the spans.
    pub shards: u32,
    /// Archives; `None` = none are made and none received.
    pub archive: Option<Archive>,
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// OTLP over gRPC, and the stream of sampled spans.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// API, metrics, health.
    pub http: SocketAddr,
    /// Whether addresses other than loopback are allowed.
    pub insecure: bool,
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

/// Validates a whole file. `None` if there is an error; problems may be warnings alone.
pub fn build(raw: &RawConfig) -> (Option<Config>, Vec<Problem>) {
    let mut problems = Problems::default();
    if raw.version.is_some_and(|version| version != 1) {
        problems.error(
            "version",
            "C001",
            "unknown version".to_owned(),
            "write `version: 1`, or leave it out",
        );
    }
    let memory_limit = memory::limit(raw, &mut problems);
    data_dir(raw, &mut problems);
    let listen = listen::listen(&raw.listen, &mut problems);
    let sampler = sampler::sampler(&raw.sampler, &mut problems);
    let (scaler, backends, known) = targets::build(&raw.scaler, &mut problems);
    let (rules, found) = RuleSet::compile(&raw.scaler.rules, &known);
    problems.0.extend(found);
    let forward = forward::forward(&raw.forward, listen.as_ref(), memory_limit, &mut problems);
    let traces = traces::build(&raw.sampler, &mut problems);
    let ack_on = ack_on(raw, &mut problems);
    let shards = shards::shards(raw, &mut problems);
    let archive = archive::build(raw, &forward, listen.as_ref(), &mut problems);
    if shards.is_some_and(|n| n > 1) && archive.iter().flatten().any(|a| a.windows.is_some()) {
        let message = "one thread gathers the windows of an archive".to_owned();
        problems.error("archive", "C022", message, "leave `shards` at 1, or make no windows here");
    }
    if raw.sampler.traces.is_none() {
        forward::check_spans_only(&forward, &mut problems);
    }
    if raw.data_dir.is_none() && scaler.as_ref().is_some_and(targets::acts_for_real) {
        problems.error(
            "scaler.mode",
            "C010",
            "mode act on a real orchestrator needs a log of its decisions".to_owned(),
            "set `data_dir:` (flag --data-dir)",
        );
    }
    let config = (|| {
        let memory_limit = memory_limit?;
        let window = memory_limit / 100 * WINDOW_SHARE_PERCENT;
        let traces = traces?;
        let assembler = spanwise_assembler::Config::default();
        let grace_ns = traces.as_ref().map_or(assembler.grace_ns, |traces| traces.wait_ns);
        Some(Config {
            memory_limit,
            data_dir: raw.data_dir.clone(),
            listen: listen?,
            sampler: sampler?,
            assembler: spanwise_assembler::Config {
                memory_bytes: window,
                full_bytes: memory_limit / 100 * FULL_SHARE_PERCENT,
                grace_ns,
                // Nor is a root waited for less.
                idle_ns: assembler.idle_ns.max(grace_ns),
                ..assembler
            },
            rules: Arc::new(rules?),
            scaler: scaler?,
            raw_scaler: raw.scaler.clone(),
            backends,
            forward,
            traces,
            ack_on: ack_on?,
            shards: shards?,
            archive: archive?,
        })
    })();
    (config, problems.0)
}

impl Config {
    /// The settings in force as a file that says them all.
    pub fn to_raw(&self, written: &RawConfig) -> RawConfig {
        let mut raw = written.clone();
        raw.version = Some(1);
        raw.shards = Some(RawShards::Number(self.shards.into()));
        raw.memory_limit = Some(SizeBytes(self.memory_limit).to_string());
        raw.listen = RawListen {
            otlp_grpc: Some(self.listen.otlp_grpc.to_string()),
            otlp_http: Some(self.listen.otlp_http.to_string()),
            http: Some(self.listen.http.to_string()),
            insecure: self.listen.insecure,
        };
        let default = |text: &Option<String>, default: &str| {
            Some(text.clone().unwrap_or_else(|| default.to_owned()))
        };
        raw.sampler.profile = default(&raw.sampler.profile, "default");
        raw.sampler.budget = default(&raw.sampler.budget, BUDGET_DEFAULT);
        raw.sampler.seed = Some(raw.sampler.seed.unwrap_or(SEED_DEFAULT));
        raw.scaler.mode = Some(self.scaler.mode.as_str().to_owned());
        if let Some(traces) = &mut raw.sampler.traces {
            traces.sampler = default(&traces.sampler, "hybrid");
            traces.budget = default(&traces.budget, traces::BUDGET_DEFAULT);
            let wait = &mut traces.decision_wait_after_root_received;
            *wait = default(wait, traces::WAIT_DEFAULT);
            raw.sampler.mode = default(&raw.sampler.mode, "sample");
            raw.ack_on = default(&raw.ack_on, "fsync");
        }
        if let (Some(archive), Some(written)) = (&self.archive, &mut raw.archive) {
            archive.write_to(written);
        }
        for (raw, target) in raw.scaler.targets.iter_mut().zip(&self.scaler.targets) {
            raw.min = Some(target.min);
            raw.cooldown = Some(DurationNs(target.cooldown_ns).to_string());
            raw.scalable = Some(target.scalable);
        }
        for (raw, forward) in raw.forward.iter_mut().zip(&self.forward) {
            forward.fill_in(raw);
        }
        raw
    }
}

impl Problems {
    pub(super) fn error(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        message: String,
        fix: &str,
    ) {
        let (path, fix) = (path.into(), fix.to_owned());
        self.0.push(Problem { path, code, severity: Severity::Error, message, fix });
    }

    pub(super) fn warning(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        message: String,
        fix: &str,
    ) {
        let (path, fix) = (path.into(), fix.to_owned());
        self.0.push(Problem { path, code, severity: Severity::Warning, message, fix });
    }

    pub(super) fn n_errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

/// What is wrong with the tests of a file whose rules are `config`'s.
pub fn check_tests(raw: &RawConfig, config: &Config) -> Vec<Problem> {
    let known = known_targets(&raw.scaler);
    let check = |(idx, case): (usize, &TestCase)| {
        case.check(&format!("tests[{idx}]"), &config.rules, &known)
    };
    raw.tests.iter().enumerate().flat_map(check).collect()
}

fn ack_on(raw: &RawConfig, problems: &mut Problems) -> Option<Durability> {
    match raw.ack_on.as_deref() {
        None | Some("fsync") => Some(Durability::Fsync),
        Some("write") => Some(Durability::Write),
        Some("memory") => Some(Durability::Memory),
        Some(other) => {
            let message = format!("unknown durability `{other}`");
            problems.error("ack_on", "C018", message, "write fsync, write or memory");
            None
        }
    }
}

fn data_dir(raw: &RawConfig, problems: &mut Problems) {
    let Some(dir) = &raw.data_dir else { return };
    let fix = "name a folder; it is created if it is missing";
    if dir.as_os_str().is_empty() {
        problems.error("data_dir", "C012", "is empty".to_owned(), fix);
    } else if dir.is_file() {
        problems.error("data_dir", "C012", format!("{} is a file", dir.display()), fix);
    }
}

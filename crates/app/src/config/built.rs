//! Validated settings: numbers instead of strings, addresses instead of text, compiled rules.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use spanwise_analyzer::rules::RuleSet;
use spanwise_analyzer::units::{DurationNs, SizeBytes};
use spanwise_model::{Problem, Severity};
use spanwise_sampler::{Profile, ScaleConfig};

use super::raw::{RawConfig, RawForward, RawListen, RawSampler, RawScaleProfile, RawScaler};

mod targets;

pub use targets::{Backend, Backends, known_targets};

/// Memory limit where the cgroup does not tell.
const MEMORY_LIMIT_DEFAULT: u64 = 512 << 20;
/// Least memory that makes sense.
const MEMORY_LIMIT_MIN: u64 = 64 << 20;
/// Share of the cgroup's limit that is used by default.
const CGROUP_SHARE_PERCENT: u64 = 60;
/// Share of the memory limit that open traces may hold.
const WINDOW_SHARE_PERCENT: u64 = 35;
/// Share of the spans that is kept.
const BUDGET_DEFAULT: &str = "1%";
/// Seed of every random choice.
const SEED_DEFAULT: u64 = 42;
/// Bytes that may wait for one destination.
const FORWARD_QUEUE_DEFAULT: u64 = 32 << 20;

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
    /// Destinations of kept spans.
    pub forward: Vec<Forward>,
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

/// A destination of kept spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Endpoint.
    pub endpoint: String,
    /// Protocol.
    pub protocol: ForwardProtocol,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Bytes that may wait.
    pub queue_bytes: u64,
    /// Whether `spanwise.sampling.*` attributes are appended.
    pub stamp: bool,
}

/// How kept spans are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP with protobuf.
    HttpProtobuf,
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
    let memory_limit = memory_limit(raw, &mut problems);
    let listen = listen(&raw.listen, &mut problems);
    let sampler = sampler(&raw.sampler, &mut problems);
    let (scaler, backends, known) = targets::build(&raw.scaler, &mut problems);
    let (rules, found) = RuleSet::compile(&raw.scaler.rules, &known);
    problems.0.extend(found);
    let forward: Vec<Forward> =
        (0..).zip(&raw.forward).filter_map(|(idx, raw)| forward(idx, raw, &mut problems)).collect();
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
        Some(Config {
            memory_limit,
            data_dir: raw.data_dir.clone(),
            listen: listen?,
            sampler: sampler?,
            assembler: spanwise_assembler::Config { memory_bytes: window, ..Default::default() },
            rules: Arc::new(rules?),
            scaler: scaler?,
            raw_scaler: raw.scaler.clone(),
            backends,
            forward,
        })
    })();
    (config, problems.0)
}

impl Config {
    /// The settings in force as a file that says them all.
    pub fn to_raw(&self, written: &RawConfig) -> RawConfig {
        let mut raw = written.clone();
        raw.version = Some(1);
        raw.memory_limit = Some(format!("{}MiB", self.memory_limit >> 20));
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
}

fn memory_limit(raw: &RawConfig, problems: &mut Problems) -> Option<u64> {
    let Some(text) = &raw.memory_limit else {
        return Some(cgroup_memory().map_or(MEMORY_LIMIT_DEFAULT, |limit| {
            (limit / 100 * CGROUP_SHARE_PERCENT).max(MEMORY_LIMIT_MIN)
        }));
    };
    match SizeBytes::parse(text) {
        Ok(SizeBytes(bytes)) if bytes >= MEMORY_LIMIT_MIN => Some(bytes),
        Ok(_) => {
            problems.error(
                "memory_limit",
                "C002",
                format!("{text} is too little"),
                "give at least 64MiB",
            );
            None
        }
        Err(error) => {
            problems.error(
                "memory_limit",
                "C002",
                error.to_string(),
                "write a size such as 512MiB",
            );
            None
        }
    }
}

/// The limit of the cgroup (version 2) this process runs in; `None` if there is none.
fn cgroup_memory() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

fn listen(raw: &RawListen, problems: &mut Problems) -> Option<Listen> {
    let mut address = |path: &str, text: &Option<String>, default: &str| {
        let text = text.as_deref().unwrap_or(default);
        let Ok(addr) = text.parse::<SocketAddr>() else {
            let message = format!("`{text}` is not an address with a port");
            problems.error(path, "C003", message, &format!("write {default}, with an ip address"));
            return None;
        };
        if let Err(error) = spanwise_otlp::receiver::check_bind(addr, raw.insecure) {
            problems.error(path, "C004", error.to_string(), "use 127.0.0.1, or write `insecure: true` under `listen` if something in front of it authenticates");
            return None;
        }
        Some(addr)
    };
    let otlp_grpc = address("listen.otlp_grpc", &raw.otlp_grpc, "127.0.0.1:4317");
    let otlp_http = address("listen.otlp_http", &raw.otlp_http, "127.0.0.1:4318");
    let http = address("listen.http", &raw.http, "127.0.0.1:7300");
    Some(Listen {
        otlp_grpc: otlp_grpc?,
        otlp_http: otlp_http?,
        http: http?,
        insecure: raw.insecure,
    })
}

fn sampler(raw: &RawSampler, problems: &mut Problems) -> Option<spanwise_sampler::Config> {
    let n_before = problems.0.len();
    let mut config = spanwise_sampler::Config {
        seed: raw.seed.unwrap_or(SEED_DEFAULT),
        ..spanwise_sampler::Config::default()
    };
    match raw.budget.as_deref().unwrap_or(BUDGET_DEFAULT).parse() {
        Ok(budget) => config.budget = budget,
        Err(error) => {
            let error: spanwise_sampler::Error = error;
            let fix = "write a share such as 1%, or a rate such as 200/s";
            problems.error("sampler.budget", "C009", error.to_string(), fix);
        }
    }
    match raw.profile.as_deref() {
        None | Some("default") => {
            if raw.scale.is_some() {
                problems.0.push(Problem {
                    path: "sampler.scale".to_owned(),
                    code: "C011",
                    severity: Severity::Warning,
                    message: "has no effect in profile default".to_owned(),
                    fix: "write `profile: scale`, or remove it".to_owned(),
                });
            }
        }
        Some("scale") => {
            let scale = raw.scale.clone().unwrap_or_default();
            config.profile = Profile::Scale(scale_profile(&scale, problems));
        }
        Some(other) => {
            let fix = "write default or scale";
            problems.error("sampler.profile", "C009", format!("unknown profile `{other}`"), fix);
        }
    }
    if let Err(error) = config.validate() {
        problems.error("sampler", "C009", error.to_string(), "give a value in range");
    }
    (problems.0[n_before..].iter().all(|problem| problem.severity == Severity::Warning))
        .then_some(config)
}

fn scale_profile(raw: &RawScaleProfile, problems: &mut Problems) -> ScaleConfig {
    let default = ScaleConfig::default();
    let max_duration_ms = match raw.max_duration.as_deref().map(DurationNs::parse).transpose() {
        Ok(parsed) => parsed.map_or(default.max_duration_ms, |DurationNs(ns)| ns as f64 / 1e6),
        Err(error) => {
            let fix = "write a duration such as 5s";
            problems.error("sampler.scale.max_duration", "C009", error.to_string(), fix);
            default.max_duration_ms
        }
    };
    ScaleConfig {
        n_tree: raw.n_tree.unwrap_or(default.n_tree),
        height: raw.height.unwrap_or(default.height),
        window_size: raw.window_size.unwrap_or(default.window_size),
        min_score: raw.min_score.unwrap_or(default.min_score),
        max_duration_ms,
        train_size: raw.train_size.unwrap_or(default.train_size),
    }
}

fn forward(idx: usize, raw: &RawForward, problems: &mut Problems) -> Option<Forward> {
    let path = format!("forward[{idx}]");
    let protocol = match raw.protocol.as_deref() {
        None | Some("grpc") => Some(ForwardProtocol::Grpc),
        Some("http/protobuf") => Some(ForwardProtocol::HttpProtobuf),
        Some(other) => {
            problems.error(
                format!("{path}.protocol"),
                "C005",
                format!("unknown protocol `{other}`"),
                "write grpc or http/protobuf",
            );
            None
        }
    };
    let gzip = match raw.compression.as_deref() {
        None | Some("none") => Some(false),
        Some("gzip") => Some(true),
        Some(other) => {
            problems.error(
                format!("{path}.compression"),
                "C005",
                format!("unknown compression `{other}`"),
                "write gzip or none",
            );
            None
        }
    };
    let queue = raw.queue.as_deref().map(SizeBytes::parse).transpose();
    let queue_bytes = match queue {
        Ok(bytes) => Some(bytes.map_or(FORWARD_QUEUE_DEFAULT, |SizeBytes(bytes)| bytes)),
        Err(error) => {
            problems.error(
                format!("{path}.queue"),
                "C005",
                error.to_string(),
                "write a size such as 32MiB",
            );
            None
        }
    };
    if !raw.endpoint.starts_with("http://") && !raw.endpoint.starts_with("https://") {
        problems.error(
            format!("{path}.endpoint"),
            "C005",
            format!("`{}` is not a url", raw.endpoint),
            "write http://host:4317",
        );
        return None;
    }
    Some(Forward {
        endpoint: raw.endpoint.clone(),
        protocol: protocol?,
        gzip: gzip?,
        queue_bytes: queue_bytes?,
        stamp: raw.stamp,
    })
}

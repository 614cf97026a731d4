//! The configuration file as it is written: optional fields and strings. [`super::built`] turns it
//! into validated settings; nothing else reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use spanwise_analyzer::rules::RuleConfig;
use spanwise_analyzer::rules::testing::TestCase;

use super::tail_sampling::RawPolicy;

/// The whole file. Every key is optional; no file at all is a valid configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Version of this schema; only 1 exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Memory the process may use for spans in flight and open traces, such as `512MiB`. Default:
    /// 60 % of the cgroup's limit, else `512MiB`. Raise it when `/metrics` shows evictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<String>,
    /// Directory for models and the decision log. Default: none, everything stays in memory and
    /// `act` on a real backend is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// When a request is acknowledged, with `data_dir` and `sampler.traces`: `fsync` (the default)
    /// when its spans are on disk, `write` when the system has them, `memory` when they are queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_on: Option<String>,
    /// Threads that share the spans, by trace: a number from 1 to 64, or `auto` for half of the
    /// processors. Default 1. The receivers' threads come on top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<RawShards>,
    /// Addresses to listen on.
    pub listen: RawListen,
    /// Which spans are kept.
    pub sampler: RawSampler,
    /// Rules and the targets they scale.
    pub scaler: RawScaler,
    /// Where kept spans are forwarded to.
    pub forward: Vec<RawForward>,
    /// Windows of traces as archives. Absent: none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<RawArchive>,
    /// Tests of the rules, for `spanwise rules test`; nothing else reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestCase>,
}

/// A number of shards, or a word.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum RawShards {
    /// So many.
    Number(u64),
    /// `auto`.
    Word(String),
}

/// Listeners.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawListen {
    /// OTLP over gRPC, and the stream of sampled spans. Default `127.0.0.1:4317`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<String>,
    /// OTLP over HTTP, protobuf and JSON. Default `127.0.0.1:4318`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<String>,
    /// API, metrics and health. Default `127.0.0.1:7300`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Allows addresses other hosts can reach, without TLS and without authentication. Default
    /// false; set it only behind something that authenticates.
    pub insecure: bool,
}

/// The span sampler.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSampler {
    /// `default`, or `scale` for the sampler of the SCALE paper as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What is kept: a share such as `1%` (the default) or a rate such as `200/s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// Seed of every random choice. Default 42.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Table I of the SCALE paper; only read by `profile: scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<RawScaleProfile>,
    /// `sample` (the default), or `tag`: every trace is kept and carries the verdict it would have
    /// got. Concerns whole traces only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Which whole traces are kept. Absent: whole traces are not sampled, single spans are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<RawTraces>,
}

/// The trace sampler.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraces {
    /// `hybrid` (the default), `samplehst`, `latency`, `structure`, `uniform`, `slowest` or
    /// `las-casas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// What is kept in all: `1%` (the default), `200/s`, `20k spans/s`, `5MB/s`, `100GB/month`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// How long after its root a trace is waited for, such as `6s`. Default `1s`, at most `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_wait_after_root_received: Option<String>,
    /// The bound holds within every minute and nothing is carried over. Default false; for
    /// destinations that must be protected.
    pub strict: bool,
    /// A budget for each tenant beside the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<RawTenant>,
    /// Budgets that are counted in the same pass and keep nothing, such as `[1%, 10%]`.
    pub shadow: Vec<String>,
    /// Policies in the words of the Collector's `tail_sampling`; asked before the sampler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<RawPolicy>,
    /// What becomes of traces that no policy keeps or drops: `sample` (the default) or `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// Whether no further policy is asked once one votes for a trace. Default false.
    pub sample_on_first_match: bool,
}

/// A budget for each tenant.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTenant {
    /// The resource attribute that names the tenant.
    pub attribute: String,
    /// What is kept of each.
    pub budget: String,
}

/// Table I of the SCALE paper.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawScaleProfile {
    /// Number of trees. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_tree: Option<u32>,
    /// Height of each tree. Default 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Observations in each window. Default 250.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_size: Option<u32>,
    /// Score above which a span is kept. Default 0.60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// Upper limit of the duration feature. Default `5000ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<String>,
    /// Spans to train on before scoring. Default 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_size: Option<u64>,
}

/// Windows of traces as archives.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawArchive {
    /// What is kept of a window: `l3` (the default), `l2`, `l1`, `l0`; `off` makes no windows, for a
    /// process that only receives archives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Longest time of a window. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Most traces of a window. Default 20,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<u64>,
    /// Share of a window's bytes that marked traces may have to be kept as they are. Default `1%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbatim: Option<String>,
    /// The least, or for distances the most, that figures of a window's fidelity may be; a window
    /// below it goes one level down. Default `{q1: 0.9, q3: 0.9, error_trace_rel: 0.1}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<BTreeMap<String, f64>>,
    /// Another spanwise that archives are sent to: `http://host:4317`. Default: they stay in `dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// File with certificates, in PEM, of authorities to trust beside the system's. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Folder for windows and archives. Default: `archive` in `data_dir`, else `spanwise-archive`
    /// where the process was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Most bytes of archives in each part of that folder; the oldest go first. Default `10GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<String>,
}

/// Rules and targets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawScaler {
    /// `observe` (the default), `recommend` or `act`: the furthest any target may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What can be scaled, and by whom.
    pub targets: Vec<RawTarget>,
    /// When to scale what.
    pub rules: Vec<RuleConfig>,
}

/// Something that can be scaled.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTarget {
    /// The service it serves; rules name it.
    pub service: String,
    /// `kubernetes`, `exec` or `recorder` (remembers what it was told; touches nothing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<String>,
    /// The workload, for `kubernetes`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<RawReference>,
    /// Command for `exec`: program and arguments, no shell. It reads the decision as JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Command for `exec` that prints `{"replicas": N}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observe: Vec<String>,
    /// Fewest replicas. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// Most replicas. Required for `act`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Most replicas to add at once. Default: the larger of 4 and the current number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Rest after an action. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<String>,
    /// The furthest this target may go; never further than `scaler.mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Default true. False for what must never be scaled, such as a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scalable: Option<bool>,
    /// Replicas the `recorder` starts with. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// Names a Kubernetes workload.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawReference {
    /// Kind with a `/scale` subresource. Default `Deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// API group and version of a custom kind, such as `argoproj.io/v1alpha1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Namespace. Default `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name. Default: the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A destination of what was kept: an endpoint, a folder, or standard output.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawForward {
    /// `http://host:port`; for `http/protobuf` the path defaults to `/v1/traces`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// `grpc` (the default) or `http/protobuf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `gzip` or `none` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// A folder for files `.otlp.pb.zst`, each complete once it has its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// When the next file is begun.
    #[serde(skip_serializing_if = "RawRotate::is_empty")]
    pub rotate: RawRotate,
    /// Writes one OTLP/JSON request a line to standard output.
    pub stdout: bool,
    /// `spans` (the default for endpoints), `traces` (the default for the others), or `archives`: what
    /// other spanwise have archived and send here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Bytes that may wait. Default `32MiB`; what does not fit is dropped and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Appends `spanwise.sampling.*` attributes behind the original bytes. Default false for spans,
    /// true for traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp: Option<bool>,
    /// File with certificates, in PEM, of authorities to trust beside the system's, for an endpoint
    /// with `https`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// When a file is complete.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRotate {
    /// After this time. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// After so many bytes of requests, before compression. Default `256MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

impl RawRotate {
    const fn is_empty(&self) -> bool {
        self.every.is_none() && self.size.is_none()
    }
}

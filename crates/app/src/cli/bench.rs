//! `bench`: speed and memory, each figure next to its rival in the same run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

mod footprint;
mod hst;
mod ingest;
mod scenario;
mod throughput;
mod traces;

pub use footprint::run as footprint;
pub use hst::run as hst;
pub use ingest::run as ingest;
pub use throughput::run as throughput;
pub use traces::run as traces;

/// Arguments of `bench hst`.
#[derive(Clone, Debug, Args)]
pub struct HstArgs {
    /// Trees.
    #[arg(long, default_value_t = 25)]
    pub trees: usize,
    /// Height.
    #[arg(long, default_value_t = 8)]
    pub height: usize,
    /// Window.
    #[arg(long, default_value_t = 1_000)]
    pub window: u32,
    /// Call sites.
    #[arg(long, default_value_t = 1_000)]
    pub sites: usize,
    /// Spans.
    #[arg(long, default_value_t = 20_000_000)]
    pub spans: u64,
}

/// Arguments of `bench ingest`.
#[derive(Clone, Debug, Args)]
pub struct IngestArgs {
    /// Requests of 512 spans.
    #[arg(long, default_value_t = 400)]
    pub requests: usize,
    /// How often the requests are sent.
    #[arg(long, default_value_t = 10)]
    pub repeats: usize,
}

/// Arguments of `bench traces`.
#[derive(Clone, Debug, Args)]
pub struct TracesArgs {
    /// Recorded spans, or `synthetic:traces|mixed[:seed]`.
    #[arg(default_value = "synthetic:mixed")]
    pub file: String,
    /// How often the traces are judged.
    #[arg(long, default_value_t = 5)]
    pub repeats: usize,
}

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// otelgen's `web_mobile`.
    MobileWeb,
    /// otelgen's `microservices`: 101 spans a trace.
    Microservices,
    /// Online Boutique, from --input.
    Boutique,
}

/// Arguments of `bench throughput` and `bench footprint`.
#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// What is generated.
    #[arg(long, default_value = "microservices")]
    pub scenario: Scenario,
    /// Traces [default: 20000 for throughput, 2000 for footprint].
    #[arg(long)]
    pub traces: Option<usize>,
    /// Recorded spans, for `boutique`.
    #[arg(long)]
    pub input: Option<PathBuf>,
}

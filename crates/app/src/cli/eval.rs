//! `eval`: the evaluation protocols over labelled files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

mod archive;
pub(super) mod input;
mod shocks;
mod spans;
mod traces;

pub use archive::{ArchiveArgs, run as archive};
pub use shocks::run as shocks;
pub use spans::run as spans;
pub use traces::run as traces;

/// Which label is the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Truth {
    /// The spans that caused a slow trace.
    RootCause,
    /// Those and their ancestors.
    SlowPath,
    /// Spans of the injected service within a fault's window (needs --faults).
    Fault,
    /// Spans of a trace with an error.
    Error,
}

/// Which sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// Two references per call site.
    Default,
    /// The SCALE paper as published.
    Scale,
}

/// Arguments of `eval spans`.
#[derive(Clone, Debug, Args)]
pub struct SpansArgs {
    /// Labelled spans, or `synthetic:unimodal|bimodal|cold|traces|mixed[:seed]`.
    pub file: String,
    /// Which label is the truth.
    #[arg(long)]
    pub truth: Truth,
    /// `site_dur`, `site_self`, cause, impact, transient, sum, `max_dur`, or duration for no model at
    /// all [default: cause for `root_cause`, impact otherwise].
    #[arg(long)]
    pub score: Option<String>,
    /// Rows that are ranked, 1-based positions in the file: `A..B` or `A..`.
    #[arg(long, default_value = "30001..")]
    pub rows: String,
    /// Injected faults, for `--truth fault` and the table by fault.
    #[arg(long)]
    pub faults: Option<PathBuf>,
    /// Which sampler.
    #[arg(long, default_value = "default")]
    pub profile: ProfileName,
    /// Number of seeds; figures are means with standard errors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
}

/// Which shocks are planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlantName {
    /// U(10, 20) times the stream's p99.
    #[value(name = "R1")]
    R1,
    /// Ten times its own duration plus 50 ms.
    #[value(name = "R2")]
    R2,
    /// SCALE's own: (d + 5 ms) times 15..19, on random spans.
    #[value(name = "R3")]
    R3,
}

/// Arguments of `eval shocks`.
#[derive(Clone, Debug, Args)]
pub struct ShocksArgs {
    /// Recorded spans, or `synthetic:unimodal|bimodal|cold|traces|mixed[:seed]`.
    pub file: String,
    /// Which shocks.
    #[arg(long)]
    pub plant: PlantName,
    /// One shock in this many spans.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of seeds; figures are means with standard errors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Score of the default profile, as of `eval spans` [default: cause].
    #[arg(long)]
    pub score: Option<String>,
    /// Injected faults: their neighbourhood is left out.
    #[arg(long)]
    pub faults: Option<PathBuf>,
}

/// Over what the bound of a budget holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BoundName {
    /// The whole stream.
    Total,
    /// Every five minutes of event time anew.
    #[value(name = "5min")]
    FiveMinutes,
}

/// Arguments of `eval traces`.
#[derive(Clone, Debug, Args)]
pub struct TracesArgs {
    /// Labelled spans, or `synthetic:unimodal|bimodal|cold|traces|mixed[:seed]`.
    pub file: String,
    /// Budgets in percent of the traces, such as `1%,5%`. A bare number from 1 on is a percentage
    /// too, below it is a share.
    #[arg(long, value_delimiter = ',', default_value = "1%,2%,5%,10%")]
    pub budget: Vec<String>,
    /// Who samples: hybrid, latency, structure, samplehst, las-casas, uniform, slowest.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "hybrid,latency,structure,samplehst,las-casas,uniform,slowest"
    )]
    pub sampler: Vec<String>,
    /// Over what kept <= B x seen holds.
    #[arg(long, default_value = "total")]
    pub bound: BoundName,
    /// Only one in so many anomalous traces is there.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub thin: u32,
    /// Shards the traces are spread over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub shards: u32,
    /// Traces at the beginning that are learned only [default: 1024, for files named `tt_..` 653].
    #[arg(long)]
    pub warmup: Option<u64>,
    /// Traces that may wait for budget at once; 0 = every verdict is final at once.
    #[arg(long, default_value_t = 2048)]
    pub waiting: u32,
    /// Seed of the models.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Folder for plots (SVG): coverage and precision by budget, what was kept over time.
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

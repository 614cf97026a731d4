//! `eval`: the evaluation protocols over labelled files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

mod archive;
mod input;
mod shocks;
mod spans;

pub use archive::{ArchiveArgs, run as archive};
pub use shocks::run as shocks;
pub use spans::run as spans;

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

//! `archive`: windows of traces as files, and back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use spanwise_archive::{Archive, Level, Limits, fidelity};

mod compress;
mod file;
mod generate;
mod inspect;
mod verify;
mod window;

use super::output::Output;
use crate::exit::Exit;

/// Compress traces into archives, and bring them back.
#[derive(Clone, Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Fit a window of recorded spans and write it as one file.
    #[command(
        after_help = "Examples:\n  spanwise archive compress day.otlp.pb.zst -o day.spwa\n  spanwise archive compress day.otlp.pb.zst -o day.spwa --level l2 --keep-verbatim errors"
    )]
    Compress(CompressArgs),
    /// Bring the traces of an archive back as OTLP.
    #[command(
        after_help = "Examples:\n  spanwise archive generate day.spwa -o again.otlp.pb.zst\n  spanwise archive generate day.spwa --to http://127.0.0.1:4317"
    )]
    Generate(GenerateArgs),
    /// Say what an archive holds, section by section, or list the archives of a folder.
    #[command(
        after_help = "Examples:\n  spanwise archive inspect day.spwa\n  spanwise archive inspect spanwise-archive/stored"
    )]
    Inspect(InspectArgs),
    /// Score an archive against the spans it was made from; exit 1 if its own score is another.
    #[command(after_help = "Examples:\n  spanwise archive verify day.otlp.pb.zst day.spwa")]
    Verify(VerifyArgs),
}

/// What an archive keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    /// Everything, to the bit.
    L0,
    /// Every trace; times and numbers to their bin.
    L1,
    /// A model; minute, shape and duration of every trace.
    L2,
    /// A model.
    L3,
    /// The networks of the Gen-T paper; needs a build with the cargo feature `ctgan`.
    Ctgan,
}

/// Arguments of `archive compress`; the file to write is `-o`.
#[derive(Clone, Debug, Args)]
pub struct CompressArgs {
    /// Recorded spans: `.otlp.pb[.zst|.gz]`, `.otlp.jsonl[.zst|.gz]`, `.parquet`.
    #[arg(required = true, value_name = "IN")]
    pub files: Vec<PathBuf>,
    /// What is kept.
    #[arg(long, default_value = "l3")]
    pub level: LevelName,
    /// Cut the input into windows of this time (`60s`) or this many traces (`20000`), a file each:
    /// `OUT` gets a number before its ending [default: one window].
    #[arg(long)]
    pub window: Option<String>,
    /// Traces that are stored as they are: `errors`, or a file with a trace id in hex a line.
    #[arg(long, value_name = "errors|FILE")]
    pub keep_verbatim: Option<String>,
    /// Largest share of the input's bytes that is stored verbatim.
    #[arg(long, default_value_t = 0.25)]
    pub verbatim_share: f64,
    /// Seeds tried, of which the best is stored.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seed_search: u32,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Weight of data bits in the model: more makes larger and more faithful files (0.03 to 3).
    #[arg(long, default_value_t = 1.0)]
    pub beta: f64,
    /// Passes over a window when networks are trained (`--level ctgan`).
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: u32,
}

/// Arguments of `archive generate`; the file to write is `-o`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// The archive.
    #[arg(value_name = "IN")]
    pub file: PathBuf,
    /// Send the spans to this OTLP endpoint, gRPC, instead of writing a file.
    #[arg(long, value_name = "OTLP_URL")]
    pub to: Option<String>,
}

/// Arguments of `archive inspect`.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The archive, or a folder of them.
    #[arg(value_name = "IN")]
    pub file: PathBuf,
}

/// Arguments of `archive verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The spans the archive was made from.
    pub real: PathBuf,
    /// The archive.
    pub archive: PathBuf,
}

/// Runs a command.
pub fn run(command: &ArchiveCommand, output: &Output) -> Result<Exit> {
    match command {
        ArchiveCommand::Compress(args) => compress::run(args, output),
        ArchiveCommand::Generate(args) => generate::run(args, output),
        ArchiveCommand::Inspect(args) => inspect::run(args, output),
        ArchiveCommand::Verify(args) => verify::run(args, output),
    }
}

/// Whether a command writes the file that `-o` names.
pub fn takes_file(command: &ArchiveCommand) -> bool {
    match command {
        ArchiveCommand::Compress(_) | ArchiveCommand::Generate(_) => true,
        ArchiveCommand::Inspect(_) | ArchiveCommand::Verify(_) => false,
    }
}

impl LevelName {
    pub(super) const fn level(self) -> Level {
        match self {
            Self::L0 => Level::Lossless,
            Self::L1 => Level::NearLossless,
            Self::L2 => Level::Pinned,
            Self::L3 | Self::Ctgan => Level::Model,
        }
    }
}

pub(super) use file::write as write_file;
pub(super) use verify::{generated, window};

/// All requests of a file, in memory.
pub(super) fn requests(path: &Path, output: &Output) -> Result<Vec<Bytes>> {
    let mut requests = spanwise_source::open_requests(path)?;
    let bar = output.progress(1_000, "reading");
    let mut all = Vec::new();
    while let Some(request) = requests.next() {
        bar.set_position((requests.progress() * 1_000.0) as u64);
        all.push(request?);
    }
    bar.finish_and_clear();
    Ok(all)
}

fn open(path: &Path) -> Result<Archive> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Archive::open(bytes.into(), &Limits::default()).with_context(|| path.display().to_string())
}

/// The metrics that tables show, in their order.
const SHOWN: [fidelity::Metric; 13] = {
    use fidelity::Metric as M;
    [
        M::Q1,
        M::Q2,
        M::Q3,
        M::Q4Err,
        M::Q4Ok,
        M::ErrorTraceRel,
        M::W1,
        M::P50Rel,
        M::P99Rel,
        M::TraceW1,
        M::P95MinuteRel,
        M::AttrTv,
        M::CorrMae,
    ]
};

/// The metrics that tables show, in their order.
pub(super) const fn shown_metrics() -> [fidelity::Metric; 13] {
    SHOWN
}

fn file_of<'a>(output: &'a Output, what: &str) -> Result<&'a Path> {
    match output.file() {
        Some(path) => Ok(path),
        None => bail!("no file to write\n  fix: add -o {what}"),
    }
}

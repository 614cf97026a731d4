//! `eval`: the evaluation protocols over labelled files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use spanwise_eval::{
    Fault, Figure, Judge, Labels, Meter, Recorded, Rows, Score, Stream, StreamBuilder,
    service_of_pod, shocks, spans,
};
use spanwise_model::Timestamp;
use spanwise_sim::synthetic::Scenario;

use super::output::Output;

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

/// Seed of the first run of `eval spans`; later runs count up from it.
const SEED_FIRST: u64 = 42;
/// Seed of a synthetic stream that names none.
const SYNTHETIC_SEED: u64 = 1;

/// An injection as `faults.json` holds it.
#[derive(Debug, Deserialize)]
struct RawFault {
    /// Unix seconds.
    t: f64,
    inject_type: String,
    inject_pod: String,
}

/// Runs `eval spans`.
pub fn spans(args: &SpansArgs, output: &Output) -> Result<()> {
    let truth = match args.truth {
        Truth::RootCause => spans::Truth::RootCause,
        Truth::SlowPath => spans::Truth::SlowPath,
        Truth::Fault => spans::Truth::Fault,
        Truth::Error => spans::Truth::Error,
    };
    let score = args.score.as_deref().map_or(Ok(truth.score()), Score::from_name)?;
    let judge = match args.profile {
        ProfileName::Default => Judge::Default(score),
        ProfileName::Scale => Judge::Scale,
    };
    let faults = faults(args.faults.as_deref())?;
    let rows = Rows::parse(&args.rows)?;
    let question = spans::Question { truth, judge, rows, faults: &faults };
    let mut stream = load(&args.file, 0, output)?;
    let started = Instant::now();
    let clock = || started.elapsed().as_nanos() as u64;
    let mut runs = Vec::new();
    for run in 0..args.seeds.max(1) {
        if run > 0 && args.file.starts_with("synthetic:") {
            stream = load(&args.file, run, output)?;
        }
        let bar = output.progress(stream.len() as u64, "eval");
        let meter = Meter { clock_ns: &clock, progress: &|n| bar.inc(n) };
        runs.push(spans::run(&stream, &question, SEED_FIRST + run, &meter)?);
        bar.finish_and_clear();
    }
    let report = spans::Report::of(&runs).context("no run")?;
    output.result(&report, |report| {
        let mut text = String::new();
        let mut line = |name: &str, figure: &Figure| {
            let _ = writeln!(text, "{name:<22} {}", show(figure));
        };
        line("spans", &report.spans);
        line("positives", &report.positives);
        line("average precision", &report.average_precision);
        line("best F1", &report.f1_max);
        line("area under the curve", &report.auc);
        for (share, recall) in &report.recall_at {
            line(&format!("recall at {share}"), recall);
        }
        line("ns per span", &report.ns_per_span);
        let _ = writeln!(text, "ranked by {}", report.score);
        text
    })
}

/// Runs `eval shocks`.
pub fn shocks(args: &ShocksArgs, output: &Output) -> Result<()> {
    let plant = match args.plant {
        PlantName::R1 => shocks::Plant::R1,
        PlantName::R2 => shocks::Plant::R2,
        PlantName::R3 => shocks::Plant::R3,
    };
    let score = args.score.as_deref().map_or(Ok(Score::Cause), Score::from_name)?;
    let faults = faults(args.faults.as_deref())?;
    let question = shocks::Question { plant, every: args.every, score, faults: &faults };
    let stream = load(&args.file, 0, output)?;
    let started = Instant::now();
    let clock = || started.elapsed().as_nanos() as u64;
    let mut runs = Vec::new();
    for run in 0..args.seeds.max(1) {
        let meter = Meter { clock_ns: &clock, progress: &|_| {} };
        runs.push(shocks::run(&stream, &question, args.seed + run, &meter)?);
    }
    let report = shocks::Report::of(&runs).context("no run")?;
    output.result(&report, |report| {
        let mut text = String::new();
        let default = report.default.figures();
        let scale = report.scale.figures();
        let _ = writeln!(
            text,
            "{:<24} {:>24} {:>24}",
            report.default.operating_point, report.default.score, report.scale.score
        );
        for ((name, default), (_, scale)) in default.iter().zip(&scale) {
            let _ = writeln!(text, "{name:<24} {:>24} {:>24}", show(default), show(scale));
        }
        text
    })
}

fn show(figure: &Figure) -> String {
    match (figure.mean, figure.se) {
        (None, _) => "-".to_owned(),
        (Some(mean), None | Some(0.0)) => format!("{mean:.4}"),
        (Some(mean), Some(se)) => format!("{mean:.4} +- {se:.4}"),
    }
}

/// Reads a file, or generates the stream of `synthetic:NAME[:SEED]`; `run` is added to its seed.
fn load(file: &str, run: u64, output: &Output) -> Result<Stream> {
    if let Some(name) = file.strip_prefix("synthetic:") {
        let (name, seed) = name.split_once(':').unwrap_or((name, ""));
        let seed = if seed.is_empty() {
            SYNTHETIC_SEED
        } else {
            seed.parse().with_context(|| format!("seed `{seed}` of {file}"))?
        };
        let Some(scenario) = Scenario::from_name(name) else {
            bail!("no synthetic stream `{name}`\n  fix: unimodal, bimodal, cold, traces or mixed");
        };
        return Ok(Stream::synthetic(scenario, seed.wrapping_add(run))?);
    }
    let bar = output.progress(1_000, "read");
    let rows = spanwise_source::open_rows(Path::new(file))?;
    let mut builder = StreamBuilder::new();
    for row in rows {
        let row = row?;
        let labels = &row.labels;
        builder.push(&Recorded {
            trace_id: row.trace_id,
            idx: row.idx,
            parent_idx: row.parent_idx,
            service: &row.service,
            operation: &row.operation,
            kind: row.kind,
            start: Timestamp(row.start_ns),
            dur_ns: row.dur_ns,
            labels: Labels {
                root_cause: labels.root_cause,
                slow_path: labels.slow_path,
                error: labels.error,
                judged: true,
                fault: u16::try_from(labels.fault).ok(),
            },
        })?;
    }
    bar.finish_and_clear();
    Ok(builder.finish())
}

fn faults(path: Option<&Path>) -> Result<Vec<Fault>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let named = || format!("faults in {}", path.display());
    let text = std::fs::read_to_string(path).with_context(named)?;
    let raw: Vec<RawFault> = serde_json::from_str(&text).with_context(named)?;
    let fault = |raw: &RawFault| Fault {
        begin: Timestamp((raw.t.max(0.0) * 1e9) as u64),
        kind: raw.inject_type.clone(),
        service: service_of_pod(&raw.inject_pod).to_owned(),
    };
    Ok(raw.iter().map(fault).collect())
}

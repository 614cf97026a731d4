//! `archive compress`: recorded spans to files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use spanwise_archive::evaluation::Recording;
use spanwise_archive::{Compressed, GanOptions, KeepVerbatim, Options, Rolling, compress, train};
use spanwise_model::TraceId;

use super::window::{Cut, numbered};
use super::{CompressArgs, LevelName, file, file_of, requests};
use crate::cli::output::Output;
use crate::exit::{Exit, OK};
use crate::resources;

/// A file that was written.
#[derive(Clone, Debug, serde::Serialize)]
struct Written {
    file: PathBuf,
    level: &'static str,
    traces: u64,
    spans: u64,
    traces_verbatim: u64,
    bytes_in: u64,
    bytes: u64,
    bytes_per_span: f64,
    fit_cpu_s: Option<f64>,
}

/// Compresses the input, a window at a time.
pub(super) fn run(args: &CompressArgs, output: &Output) -> Result<Exit> {
    let path = file_of(output, "OUT.spwa")?;
    let options = options(args)?;
    let cut = args.window.as_deref().map(Cut::parse).transpose()?;
    let mut all = Vec::new();
    for input in &args.files {
        all.extend(requests(input, output)?);
    }
    let written = match cut {
        None => vec![window(all, &options, path, &mut Rolling::default())?],
        Some(cut) => windows(all, &options, path, cut, output)?,
    };
    output.result(&written, |written| written.iter().map(line).collect())?;
    Ok(OK)
}

fn windows(
    requests: Vec<Bytes>,
    options: &Options,
    path: &Path,
    cut: Cut,
    output: &Output,
) -> Result<Vec<Written>> {
    let recording = Recording::read(requests)?;
    let windows = cut.windows(&recording);
    let bar = output.progress(windows.len() as u64, "compressing");
    let mut written = Vec::new();
    let mut rolling = Rolling::default();
    for (number, traces) in windows.iter().enumerate() {
        let path = numbered(path, number, windows.len());
        let requests = recording.encode(&traces.clone().collect::<Vec<_>>());
        written.push(window(requests, options, &path, &mut rolling)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(written)
}

/// Compresses a window; networks go on from the window before.
fn window(
    requests: Vec<Bytes>,
    options: &Options,
    path: &Path,
    rolling: &mut Rolling,
) -> Result<Written> {
    let began = resources::cpu_s();
    let Compressed { bytes, summary } = match &options.gan {
        None => compress(requests, options)?,
        Some(gan) => {
            let mut last = None;
            train(&requests, options, &[gan.epochs], rolling, &mut |_, file| last = Some(file))?;
            last.context("nothing was trained")?
        }
    };
    let fit_cpu_s = began.zip(resources::cpu_s()).map(|(began, ended)| ended - began);
    file::write(path, &bytes)?;
    let header = summary.header;
    Ok(Written {
        file: path.to_owned(),
        level: if options.gan.is_some() { header.method.name() } else { header.level.name() },
        traces: header.n_traces,
        spans: header.n_spans,
        traces_verbatim: summary.n_traces_verbatim,
        bytes_in: summary.n_bytes_in,
        bytes: bytes.len() as u64,
        bytes_per_span: bytes.len() as f64 / header.n_spans.max(1) as f64,
        fit_cpu_s,
    })
}

fn line(written: &Written) -> String {
    let smaller = written.bytes_in as f64 / written.bytes.max(1) as f64;
    format!(
        "{}: {}, {} traces, {} spans, {} bytes ({:.2} a span, {smaller:.0} times smaller)\n",
        written.file.display(),
        written.level,
        written.traces,
        written.spans,
        written.bytes,
        written.bytes_per_span,
    )
}

fn options(args: &CompressArgs) -> Result<Options> {
    if !(0.0..=1.0).contains(&args.verbatim_share) {
        bail!("--verbatim-share {} is no share\n  fix: give 0 to 1", args.verbatim_share);
    }
    if !(0.03..=3.0).contains(&args.beta) {
        bail!("--beta {} is out of range\n  fix: give 0.03 to 3", args.beta);
    }
    Ok(Options {
        level: args.level.level(),
        seed: args.seed,
        seed_search: args.seed_search,
        keep_verbatim: args.keep_verbatim.as_deref().map_or(Ok(KeepVerbatim::Nothing), kept)?,
        verbatim_share: args.verbatim_share,
        beta: args.beta,
        gan: (args.level == LevelName::Ctgan).then(|| GanOptions {
            epochs: args.epochs,
            seed: args.seed,
            ..GanOptions::default()
        }),
    })
}

fn kept(what: &str) -> Result<KeepVerbatim> {
    if what == "errors" {
        return Ok(KeepVerbatim::Errors);
    }
    let text = std::fs::read_to_string(what).with_context(|| {
        format!(
            "cannot read the trace ids in {what}\n  fix: give `errors`, or a file with an id a line"
        )
    })?;
    let mut ids = BTreeSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some(id) = TraceId::from_hex(line.trim()) else {
            bail!("{what}:{}: not a trace id\n  fix: give 32 hex digits a line", number + 1);
        };
        ids.insert(id);
    }
    Ok(KeepVerbatim::Traces(ids))
}

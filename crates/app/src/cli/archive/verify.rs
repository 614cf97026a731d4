//! `archive verify`: score an archive anew against the spans it was made from.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use spanwise_archive::evaluation::Recording;
use spanwise_archive::fidelity::{Fidelity, Metric, Scorer};
use spanwise_archive::traces::{Builder, Window};
use spanwise_archive::{Archive, Header};

use super::{VerifyArgs, open, requests};
use crate::cli::output::Output;
use crate::exit::{Exit, NEGATIVE, OK};

/// A score as an object of numbers; `null` where a figure does not apply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures(pub(super) Fidelity);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric.name(), value)))
    }
}

#[derive(Debug)]
struct Report {
    found: Fidelity,
    stored: Option<Fidelity>,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("fidelity", &Figures(self.found))?;
        map.serialize_entry("stored", &self.stored.map(Figures))?;
        map.serialize_entry("equal", &self.is_equal())?;
        map.end()
    }
}

impl Report {
    /// Whether the file's own score is what was found; `None` if it has none.
    fn is_equal(&self) -> Option<bool> {
        self.stored.map(|stored| stored == self.found)
    }
}

/// Scores and compares.
pub(super) fn run(args: &VerifyArgs, output: &Output) -> Result<Exit> {
    let archive = open(&args.archive)?;
    let stored = archive.fidelity()?;
    let real = real(&args.real, &archive.info().header, output)
        .with_context(|| args.real.display().to_string())?;
    let found = score(&real, &archive).with_context(|| args.archive.display().to_string())?;
    let report = Report { found, stored };
    output.result(&report, render)?;
    if report.is_equal() == Some(false) {
        output.note("the archive's own score is another\n  fix: give the spans it was made from");
        return Ok(NEGATIVE);
    }
    Ok(OK)
}

/// The real traces of the archive's window: windows are cut in order of the first start of a trace,
/// so they are as many as the archive has, from its start on.
fn real(path: &std::path::Path, header: &Header, output: &Output) -> Result<Window> {
    let recording = Recording::read(requests(path, output)?)?;
    let n_all = recording.n_traces() as u32;
    let Some(begin) = (0..n_all).find(|trace| recording.start_ns(*trace) >= header.start_ns) else {
        bail!("no trace starts in the archive's window\n  fix: give the spans it was made from");
    };
    let n_traces = u32::try_from(header.n_traces).unwrap_or(u32::MAX);
    if begin == 0 && n_traces >= n_all {
        return window(recording.requests().iter().cloned());
    }
    let end = n_all.min(begin.saturating_add(n_traces));
    window(recording.encode(&(begin..end).collect::<Vec<_>>()))
}

/// Requests as columns.
pub(in crate::cli) fn window(requests: impl IntoIterator<Item = Bytes>) -> Result<Window> {
    let mut builder = Builder::new();
    for request in requests {
        builder.push(request)?;
    }
    Ok(builder.finish(|_| false)?)
}

/// What the archive generates, as columns.
pub(in crate::cli) fn generated(archive: &Archive) -> Result<Window> {
    let mut builder = Builder::new();
    archive.generate(&mut |request| builder.push(request).map_err(std::io::Error::other))?;
    Ok(builder.finish(|_| false)?)
}

fn score(real: &Window, archive: &Archive) -> Result<Fidelity> {
    Ok(Scorer::new(&real.traces).score(&generated(archive)?.traces, 1.0))
}

fn render(report: &Report) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{:<24} {:>10} {:>10} best", "", "found", "stored");
    for (metric, found) in report.found.iter() {
        let stored = report.stored.and_then(|stored| stored.get(metric));
        let best = i32::from(Metric::is_greater_better(metric));
        let _ = writeln!(
            text,
            "{:<24} {:>10} {:>10} {best:>4}",
            metric.name(),
            shown(found),
            shown(stored)
        );
    }
    text
}

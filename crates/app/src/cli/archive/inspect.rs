//! `archive inspect`: what a file, or each file of a folder, says about itself.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use spanwise_api::format_time;
use spanwise_archive::Info;
use spanwise_archive::fidelity::{Fidelity, Metric};
use spanwise_model::Timestamp;

use super::verify::Figures;
use super::{InspectArgs, open};
use crate::cli::output::Output;
use crate::exit::{Exit, OK};

#[derive(Debug, Serialize)]
struct Report {
    archive_id: String,
    level: &'static str,
    method: &'static str,
    /// Nanoseconds as strings: JSON's numbers do not hold them.
    start_ns: String,
    end_ns: String,
    bucket_ns: String,
    traces: u64,
    spans: u64,
    seed: String,
    generator: u16,
    parent_id: Option<String>,
    bytes: u64,
    bytes_per_span: f64,
    holds_real_data: bool,
    sections: Vec<Section>,
    fidelity: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Section {
    name: String,
    bytes: u64,
    bytes_raw: u64,
}

/// One archive of a folder.
#[derive(Debug, Serialize)]
struct Line {
    file: String,
    level: &'static str,
    #[serde(skip)]
    start: u64,
    from: String,
    to: String,
    traces: u64,
    spans: u64,
    bytes: u64,
    bytes_per_span: f64,
    fidelity: Option<Figures>,
}

/// Prints header, sections and the file's own score.
pub(super) fn run(args: &InspectArgs, output: &Output) -> Result<Exit> {
    if args.file.is_dir() {
        return folder(&args.file, output);
    }
    let archive = open(&args.file)?;
    let report = report(&archive.info(), archive.fidelity()?.as_ref());
    output.result(&report, render)?;
    Ok(OK)
}

/// Prints a line for each archive in a folder, in order of their windows.
fn folder(dir: &Path, output: &Output) -> Result<Exit> {
    let mut lines = Vec::new();
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()));
    for entry in entries? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "spwa") {
            lines.push(line(&path)?);
        }
    }
    if lines.is_empty() {
        bail!("{} holds no archive\n  fix: name a folder with .spwa files, or one", dir.display());
    }
    lines.sort_by(|a: &Line, b| (a.start, &a.file).cmp(&(b.start, &b.file)));
    output.result(&lines, |lines| render_lines(lines))?;
    Ok(OK)
}

fn line(path: &Path) -> Result<Line> {
    let archive = open(path)?;
    let fidelity = archive.fidelity().with_context(|| path.display().to_string())?;
    let Info { header, n_bytes, .. } = archive.info();
    Ok(Line {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        level: header.level.name(),
        start: header.start_ns,
        from: format_time(Timestamp(header.start_ns)),
        to: format_time(Timestamp(header.end_ns)),
        traces: header.n_traces,
        spans: header.n_spans,
        bytes: n_bytes,
        bytes_per_span: n_bytes as f64 / header.n_spans.max(1) as f64,
        fidelity: fidelity.map(Figures),
    })
}

fn render_lines(lines: &[Line]) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{:<24} {:<5} {:>8} {:>9} {:>10} {:>7} {:>6} {:>6}  file",
        "from", "level", "traces", "spans", "bytes", "B/span", "q1", "q3"
    );
    for line in lines {
        let figure = |metric| {
            let value = line.fidelity.and_then(|Figures(fidelity)| fidelity.get(metric));
            value.map_or("-".to_owned(), |value| format!("{value:.3}"))
        };
        let _ = writeln!(
            text,
            "{:<24} {:<5} {:>8} {:>9} {:>10} {:>7.3} {:>6} {:>6}  {}",
            line.from,
            line.level,
            line.traces,
            line.spans,
            line.bytes,
            line.bytes_per_span,
            figure(Metric::Q1),
            figure(Metric::Q3),
            line.file,
        );
    }
    text
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn report(info: &Info, fidelity: Option<&Fidelity>) -> Report {
    let header = info.header;
    let section = |section: &spanwise_archive::SectionInfo| Section {
        name: section.tag.to_string(),
        bytes: section.stored_len,
        bytes_raw: section.raw_len,
    };
    let sections: Vec<Section> = info.sections.iter().map(section).collect();
    let is_model = matches!(header.level.name(), "l2" | "l3");
    let has_verbatim = sections.iter().any(|section| section.name.contains("VERB"));
    Report {
        archive_id: hex(&info.archive_id),
        level: header.level.name(),
        method: header.method.name(),
        start_ns: header.start_ns.to_string(),
        end_ns: header.end_ns.to_string(),
        bucket_ns: header.bucket_ns.to_string(),
        traces: header.n_traces,
        spans: header.n_spans,
        seed: header.seed.to_string(),
        generator: header.generator,
        parent_id: (header.parent_id != [0; 16]).then(|| hex(&header.parent_id)),
        bytes: info.n_bytes,
        bytes_per_span: info.n_bytes as f64 / header.n_spans.max(1) as f64,
        holds_real_data: !is_model || has_verbatim,
        sections,
        fidelity: fidelity.copied().map(Figures),
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let real = if report.holds_real_data { "yes: retention of raw traces applies" } else { "no" };
    let rows = [
        ("archive", report.archive_id.clone()),
        ("level", format!("{} ({})", report.level, report.method)),
        ("from, ns", report.start_ns.clone()),
        ("to, ns", report.end_ns.clone()),
        ("traces", report.traces.to_string()),
        ("spans", report.spans.to_string()),
        ("bytes", format!("{} ({:.3} a span)", report.bytes, report.bytes_per_span)),
        ("holds real spans", real.to_owned()),
        ("seed", report.seed.clone()),
    ];
    // Writing into a String cannot fail.
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<17} {value}");
    }
    let _ = writeln!(text, "\n{:<10} {:>12} {:>12}", "section", "bytes", "raw");
    for section in &report.sections {
        let _ =
            writeln!(text, "{:<10} {:>12} {:>12}", section.name, section.bytes, section.bytes_raw);
    }
    if let Some(Figures(fidelity)) = &report.fidelity {
        let _ = writeln!(text, "\n{:<24} {:>10}", "own score", "");
        for (metric, value) in fidelity.iter() {
            if let Some(value) = value {
                let _ = writeln!(text, "{:<24} {value:>10.4}", metric.name());
            }
        }
    }
    text
}

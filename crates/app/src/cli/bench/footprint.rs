//! `bench footprint`: live heap of a queue filled with whole traces, every span of which can be read
//! back byte for byte (SCALE Table III and eq. 10).

use std::fmt::Write as _;

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use spanwise_otlp::{Limits, decode};

use super::{Scenario, ScenarioArgs, scenario};
use crate::cli::output::Output;
use crate::pipeline::span_queue::SpanQueue;

/// Traces of the paper's table.
const TRACES_DEFAULT: usize = 2_000;

/// Result of `bench footprint`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bytes: u64,
    spans: u64,
    paper_bytes: Option<u64>,
    eq10: Eq10,
}

/// SCALE eq. 10: memory ~ N (d a).
#[derive(Debug, Serialize)]
struct Eq10 {
    /// Traces.
    n: u64,
    /// Spans per trace.
    d: f64,
    /// Bytes of one span on the wire.
    a: f64,
    /// N d a in bytes.
    predicted: f64,
}

/// Runs the benchmark.
pub fn run(args: &ScenarioArgs, output: &Output) -> Result<()> {
    let n_traces = args.traces.unwrap_or(TRACES_DEFAULT);
    let load = scenario::load(args, n_traces)?;
    let spans_of: Vec<u32> = load
        .requests
        .iter()
        .map(|request| Ok(decode(request.clone(), &Limits::default())?.batch.spans.len() as u32))
        .collect::<Result<_>>()?;
    let session = alloc_tracker::Session::new().no_stdout().no_file();
    let operation = session.operation("fill");
    let mut queue = SpanQueue::new(usize::MAX);
    {
        let _span = operation.measure_thread().iterations(1);
        for (request, n_spans) in load.requests.iter().zip(&spans_of) {
            ensure!(queue.push(request, *n_spans), "the queue refused a request");
        }
    }
    let report = session.to_report();
    let (_, measured) =
        report.operations().next().ok_or_else(|| anyhow!("the allocator counted nothing"))?;
    let peak = measured.peak_outstanding_bytes().ok_or_else(|| anyhow!("no peak was measured"))?;
    let wire: usize = load.requests.iter().map(bytes::Bytes::len).sum();
    for request in &load.requests {
        let read = queue.pop()?;
        ensure!(read.as_ref() == Some(request), "a request did not come back as it was");
    }
    let spans = load.n_spans.max(1);
    let (d, a) = (spans as f64 / n_traces.max(1) as f64, wire as f64 / spans as f64);
    let report = Report {
        bytes: peak as u64,
        spans: load.n_spans,
        paper_bytes: paper_bytes(args.scenario, n_traces),
        eq10: Eq10 { n: n_traces as u64, d, a, predicted: n_traces as f64 * d * a },
    };
    output.result(&report, |report| {
        let mut text = String::new();
        let per_span = report.bytes as f64 / spans as f64;
        let _ =
            writeln!(text, "live heap of the queue  {:12} B, {per_span:.1} B/span", report.bytes);
        let _ = writeln!(text, "N d a (eq. 10)          {:12.0} B", report.eq10.predicted);
        if let Some(paper) = report.paper_bytes {
            let ratio = report.bytes as f64 / paper as f64;
            let _ = writeln!(text, "the paper's table III   {paper:12} B, ratio {ratio:.3}");
        }
        text
    })
}

/// Table III, only for its own number of traces.
fn paper_bytes(scenario: Scenario, n_traces: usize) -> Option<u64> {
    match (scenario, n_traces) {
        (Scenario::MobileWeb, TRACES_DEFAULT) => Some(11_395_204),
        (Scenario::Microservices, TRACES_DEFAULT) => Some(94_141_443),
        _ => None,
    }
}

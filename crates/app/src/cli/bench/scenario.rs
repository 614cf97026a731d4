//! What `bench throughput` and `bench footprint` run on: whole traces as OTLP requests, generated or
//! read before the clock runs.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use spanwise_otlp::{Limits, RequestBuilder, decode};
use spanwise_sim::otelgen;

use super::{Scenario, ScenarioArgs};

/// Seed of generated traces.
const SEED: u64 = 42;

/// Requests, and how many spans are in them.
#[derive(Debug)]
pub(super) struct Load {
    /// One request per trace where traces are generated, else as recorded.
    pub requests: Vec<Bytes>,
    /// Spans of all requests.
    pub n_spans: u64,
}

/// Generates or reads `n_traces` traces.
pub(super) fn load(args: &ScenarioArgs, n_traces: usize) -> Result<Load> {
    match args.scenario {
        Scenario::MobileWeb => Ok(generated(otelgen::Scenario::MobileWeb, n_traces)),
        Scenario::Microservices => Ok(generated(otelgen::Scenario::Microservices, n_traces)),
        Scenario::Boutique => {
            let Some(input) = &args.input else {
                bail!("scenario boutique needs recorded spans\n  fix: add --input FILE");
            };
            recorded(input, n_traces)
        }
    }
}

fn generated(scenario: otelgen::Scenario, n_traces: usize) -> Load {
    let mut traces = scenario.traces(SEED);
    let mut builder = RequestBuilder::new();
    let mut load = Load { requests: Vec::new(), n_spans: 0 };
    let mut trace = Vec::new();
    for _ in 0..n_traces {
        trace.clear();
        traces.next_trace(&mut trace);
        load.n_spans += trace.len() as u64;
        for span in &trace {
            builder.push(span);
        }
        load.requests.push(builder.finish());
    }
    load
}

/// Requests of a file until `n_traces` different traces have been seen.
fn recorded(input: &std::path::Path, n_traces: usize) -> Result<Load> {
    let mut seen = std::collections::BTreeSet::new();
    let mut load = Load { requests: Vec::new(), n_spans: 0 };
    for request in spanwise_source::open_requests(input)? {
        let request = request.with_context(|| input.display().to_string())?;
        let batch = decode(request.clone(), &Limits::default())?.batch;
        seen.extend(batch.spans.iter().map(|span| span.trace_id));
        load.n_spans += batch.spans.len() as u64;
        load.requests.push(request);
        if seen.len() >= n_traces {
            break;
        }
    }
    Ok(load)
}

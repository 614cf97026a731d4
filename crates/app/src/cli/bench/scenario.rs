//! What `bench throughput` and `bench footprint` run on: whole traces as OTLP requests, generated or
//! read before the clock runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use spanwise_model::Timestamp;
use spanwise_otlp::{Limits, RequestBuilder, decode};
use spanwise_sim::otelgen;

use super::{Scenario, ScenarioArgs};

/// Seed of the first worker's traces.
const SEED: u64 = 42;
/// Workers of otelgen that run at once: about 20,000 spans of `microservices` a second of virtual
/// time, somewhat less than the rate the paper measured.
const WORKERS: usize = 1_000;

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

/// The traces of many workers of otelgen in the order in which they end, one request each. A single
/// worker makes a trace of `microservices` in five seconds: the queue would hold a day of traffic
/// and rules be decided on more often than they are in the traffic that is claimed.
fn generated(scenario: otelgen::Scenario, n_traces: usize) -> Load {
    let mut workers: Vec<_> =
        (0..WORKERS.min(n_traces) as u64).map(|n| scenario.traces(SEED + n)).collect();
    let mut builder = RequestBuilder::new();
    let mut load = Load { requests: Vec::new(), n_spans: 0 };
    let mut trace = Vec::new();
    let mut next_of = |worker: usize, builder: &mut RequestBuilder| {
        trace.clear();
        workers[worker].next_trace(&mut trace);
        for span in &trace {
            builder.push(span);
        }
        load.n_spans += trace.len() as u64;
        let end = trace.iter().map(|span| span.end).max().unwrap_or_default();
        Reverse(Ended { end, worker, request: builder.finish() })
    };
    let n_workers = WORKERS.min(n_traces);
    let mut running: BinaryHeap<_> =
        (0..n_workers).map(|worker| next_of(worker, &mut builder)).collect();
    let mut requests = Vec::with_capacity(n_traces);
    while let Some(Reverse(ended)) = running.pop() {
        if requests.len() + running.len() + 1 < n_traces {
            running.push(next_of(ended.worker, &mut builder));
        }
        requests.push(ended.request);
    }
    Load { requests, ..load }
}

/// The trace a worker has just finished.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ended {
    end: Timestamp,
    worker: usize,
    request: Bytes,
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

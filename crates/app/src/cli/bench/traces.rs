//! `bench traces`: what the trace stage costs beyond the span stage: words, scores, verdict, learning;
//! each sampler next to the others in the same run.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;
use spanwise_eval::traces::{Replay, Replayed, Thin};
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Ledger, Settled, Subject, TraceSampler,
};

use super::TracesArgs;
use crate::cli::eval::input::Input;
use crate::cli::output::Output;

/// What the stage may cost.
const GOAL_NS: (f64, f64) = (1_000.0, 50.0);
/// Budget of every sampler.
const SHARE: f64 = 0.05;
const SEED: u64 = 42;
/// Traces between two readings of the clock.
const N_PER_GO: usize = 256;

/// One sampler.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    sampler: &'static str,
    ns_per_trace: f64,
    ns_per_span: f64,
    /// 1 us a trace and 50 ns a span.
    goal_ns_per_trace: f64,
}

/// A sampler and the time of each of its passes.
struct Side {
    algorithm: Algorithm,
    sampler: TraceSampler,
    settled: Vec<Settled>,
    times_ns: Vec<f64>,
}

/// Runs the benchmark. Samplers take turns every few traces, so that what else the machine does hits
/// all alike; of the passes the median counts. The first one is not timed.
pub fn run(args: &TracesArgs, output: &Output) -> Result<()> {
    let stream = Input::parse(&args.file)?.load()?;
    let replay = Replay { stream: &stream, thin: Thin(1), n_shards: 1, seed: SEED };
    let mut traces: Vec<Replayed> = Vec::new();
    replay.run(|_| false, |replayed| traces.push(replayed))?;
    ensure!(!traces.is_empty(), "{} holds no traces", args.file);
    let mut sides = Algorithm::ALL.into_iter().map(Side::new).collect::<Result<Vec<_>>>()?;
    let length_ns = match (traces.first(), traces.last()) {
        (Some(first), Some(last)) => last.now.since(first.now) + 1,
        _ => 1,
    };
    for pass in 0..=args.repeats.max(1) {
        // Time does not go back.
        let shift_ns = pass as u64 * length_ns;
        let mut sums_ns = vec![0.0; sides.len()];
        for go in traces.chunks(N_PER_GO) {
            for (side, sum_ns) in sides.iter_mut().zip(&mut sums_ns) {
                *sum_ns += side.go(go, shift_ns);
            }
        }
        for (side, sum_ns) in sides.iter_mut().zip(sums_ns) {
            if pass > 0 {
                side.times_ns.push(sum_ns / traces.len() as f64);
            }
        }
    }
    let n_spans: usize = traces.iter().map(|replayed| replayed.trace.spans.len()).sum();
    let spans_per_trace = n_spans as f64 / traces.len() as f64;
    let rows: Vec<Row> = sides.iter_mut().map(|side| side.row(spans_per_trace)).collect();
    output.result(&rows, |rows| {
        let mut text = String::new();
        for row in rows {
            let _ = writeln!(
                text,
                "{:<10} {:8.0} ns/trace {:6.1} ns/span   (goal {:.0})",
                row.sampler, row.ns_per_trace, row.ns_per_span, row.goal_ns_per_trace
            );
        }
        text
    })
}

impl Side {
    fn new(algorithm: Algorithm) -> Result<Self> {
        let ledger = Ledger::new(Bound::whole(Budget::share(SHARE)))?;
        let config = Config { algorithm, seed: SEED, ..Config::default() };
        let sampler = TraceSampler::new(config, ledger)?;
        Ok(Self { algorithm, sampler, settled: Vec::new(), times_ns: Vec::new() })
    }

    /// Judges some traces; nanoseconds.
    fn go(&mut self, go: &[Replayed], shift_ns: u64) -> f64 {
        let started = Instant::now();
        for replayed in go {
            let Replayed { trace, scores, now, .. } = replayed;
            let subject = Subject { trace, scores, randomness: None, tenant: 0, sites: None };
            self.sampler.judge(&subject, now.plus_ns(shift_ns), &mut self.settled);
            self.settled.clear();
        }
        started.elapsed().as_nanos() as f64
    }

    fn row(&mut self, spans_per_trace: f64) -> Row {
        self.times_ns.sort_by(f64::total_cmp);
        let ns_per_trace = self.times_ns[self.times_ns.len() / 2];
        Row {
            sampler: self.algorithm.as_str(),
            ns_per_trace,
            ns_per_span: ns_per_trace / spans_per_trace,
            goal_ns_per_trace: GOAL_NS.0 + GOAL_NS.1 * spans_per_trace,
        }
    }
}

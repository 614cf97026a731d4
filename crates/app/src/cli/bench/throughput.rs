//! `bench throughput`: from queued OTLP requests to recorded decisions: predicates, conflation,
//! statistics, a recording orchestrator (SCALE Table IV and eq. 11).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::FutureExt as _;
use serde::Serialize;
use spanwise_analyzer::rules::{Context, Predicates, RuleWindows};
use spanwise_analyzer::statistics::Statistics;
use spanwise_model::{Batch, CallSites, Decision, SpanRef, Timestamp};
use spanwise_orchestrator::{Guard, Orchestrator as _, Recorder};
use spanwise_otlp::{Limits, WireAttributes, decode, decode_into};
use spanwise_scaler::{Refusal, Scaler};

use super::{Scenario, ScenarioArgs, scenario};
use crate::cli::output::Output;
use crate::config;
use crate::pipeline::core::{CALL_SITES_MAX, CALL_SITES_PER_SERVICE_MAX, intern};
use crate::pipeline::span_queue::SpanQueue;

/// Traces of the paper's table.
const TRACES_DEFAULT: usize = 20_000;

/// Result of `bench throughput`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    spans_per_s: f64,
    seconds: f64,
    spans: u64,
    paper_spans_per_s: Option<f64>,
}

/// The processor without its tasks.
struct Engine {
    sites: CallSites,
    predicates: Predicates,
    windows: RuleWindows,
    statistics: Statistics,
    scaler: Scaler,
    recorder: Recorder,
    now: Timestamp,
    n_decisions: usize,
    n_rounds: usize,
    /// The batch inspected last, whose tables serve the next one.
    batch: Arc<Batch>,
}

/// Runs the benchmark.
pub fn run(args: &ScenarioArgs, output: &Output) -> Result<()> {
    let load = scenario::load(args, args.traces.unwrap_or(TRACES_DEFAULT))?;
    let mut queue = SpanQueue::new(usize::MAX);
    let mut first = None;
    let mut services: Vec<String> = Vec::new();
    for request in &load.requests {
        let batch = decode(request.clone(), &Limits::default())?.batch;
        first = first.or_else(|| batch.spans.first().map(|span| span.end));
        if services.len() < 64 {
            services.extend(batch.spans.iter().map(|span| batch.service(span).to_owned()));
            services.sort_unstable();
            services.dedup();
        }
        ensure!(queue.push(request, batch.spans.len() as u32), "the queue refused a request");
    }
    let mut engine = Engine::new(&services, first.unwrap_or_default())?;
    let started = Instant::now();
    let mut decided_s = 0;
    while let Some(request) = queue.pop()? {
        queue.recycle(engine.inspect(request)?);
        if engine.now.as_secs() != decided_s {
            decided_s = engine.now.as_secs();
            engine.decide();
        }
    }
    engine.decide();
    let seconds = started.elapsed().as_secs_f64();
    let spans_per_s = load.n_spans as f64 / seconds;
    let (n_decisions, n_rounds) = (engine.n_decisions, engine.n_rounds);
    output
        .note(&format!("{n_decisions} decisions and non-decisions in {n_rounds} s of event time"));
    let paper_spans_per_s = match args.scenario {
        Scenario::MobileWeb => Some(86_207.0),
        Scenario::Microservices => Some(35_208.0),
        Scenario::Boutique => None,
    };
    let report = Report { spans_per_s, seconds, spans: load.n_spans, paper_spans_per_s };
    output.result(&report, |report| {
        let mut text = String::new();
        let _ = writeln!(text, "spans        {:14}", report.spans);
        let _ = writeln!(text, "seconds      {:14.3}", report.seconds);
        let _ = writeln!(text, "spans/s      {:14.0}", report.spans_per_s);
        if let Some(paper) = report.paper_spans_per_s {
            let ratio = report.spans_per_s / paper;
            let _ = writeln!(text, "the paper    {paper:14.0}, ratio {ratio:.1}");
        }
        text
    })
}

impl Engine {
    /// An engine with two latency rules on every service, one target each.
    fn new(services: &[String], now: Timestamp) -> Result<Self> {
        let mut yaml = String::from("scaler:\n  mode: act\n  targets:\n");
        for service in services {
            let _ =
                writeln!(yaml, "    - {{service: '{service}', orchestrator: recorder, max: 20}}");
        }
        yaml.push_str("  rules:\n");
        for (idx, service) in services.iter().enumerate() {
            for (name, over) in [("slow", "60ms"), ("very-slow", "95ms")] {
                let _ = writeln!(
                    yaml,
                    "    - {{name: {name}-{idx}, when: {{service: '{service}', op: '*', on: total, over: {over}, count: 20, window: 30s}}, do: {{scale: '{service}', by: 1}}}}"
                );
            }
        }
        let loaded = config::load::parse("bench", &yaml, |_| {})?;
        let rules = Arc::clone(&loaded.config.rules);
        Ok(Self {
            sites: CallSites::new(CALL_SITES_MAX, CALL_SITES_PER_SERVICE_MAX),
            predicates: Predicates::new(Arc::clone(&rules)),
            windows: RuleWindows::new(rules),
            statistics: Statistics::default(),
            scaler: Scaler::new(loaded.config.scaler, now),
            recorder: Recorder::new("recorder:1", 1),
            now,
            n_decisions: 0,
            n_rounds: 0,
            batch: Arc::default(),
        })
    }

    /// Inspects a request and gives its bytes back.
    fn inspect(&mut self, request: Bytes) -> Result<Bytes> {
        let unshared = Arc::make_mut(&mut self.batch);
        decode_into(request, &Limits::default(), unshared)?;
        intern(unshared, &mut self.sites, self.now);
        let batch = &self.batch;
        for (span_idx, head) in (0_u32..).zip(&batch.spans) {
            self.now = self.now.max(head.end);
            self.statistics.observe(head, self.now);
            let span = SpanRef { batch, span_idx };
            let ctx = Context { sites: &self.sites, attributes: &WireAttributes, now: self.now };
            self.predicates.arrived(span, &ctx);
        }
        Ok(std::mem::take(&mut Arc::make_mut(&mut self.batch).bytes))
    }

    fn decide(&mut self) {
        let mut counts = Vec::new();
        if self.predicates.drain(&mut counts) > 0 {
            self.windows.mark_hole(self.now);
        }
        for count in &counts {
            self.windows.add(count, self.now);
        }
        let mut findings = Vec::new();
        self.windows.tick(self.now, &mut findings);
        let mut decisions: Vec<Decision> = Vec::new();
        for finding in findings {
            self.scaler.push(finding, self.now, &mut decisions);
        }
        for target in self.scaler.pending() {
            // The recorder answers at once.
            let observed = self.recorder.observe(&target).now_or_never();
            let Some(Ok(observed)) = observed else { continue };
            let plan = self.scaler.decide(&target, Ok(&observed), self.now, &mut decisions);
            let Some(plan) = plan else { continue };
            let guard = Guard::of(&plan, self.now);
            let applied = self.recorder.apply(&plan.target, &plan.action, &guard).now_or_never();
            let result = match applied {
                Some(Ok(applied)) => Ok(applied.to_string()),
                Some(Err(error)) => Err(Refusal::Failed(error.to_string())),
                None => Err(Refusal::Failed("no answer".to_owned())),
            };
            decisions.extend(self.scaler.applied(plan.decision_id, result, self.now));
        }
        self.n_decisions += decisions.len();
        self.n_rounds += 1;
    }
}

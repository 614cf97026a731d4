//! `bench ingest`: from request bytes in memory to the decision about each span, next to the same
//! stages behind a decode into the structs of `opentelemetry-proto`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde::Serialize;
use spanwise_model::{
    Batch, SampledSpan, SpanHead, SpanId, SpanKind, StatusCode, Timestamp, TraceId,
};
use spanwise_otlp::{Limits, bench_payload, decode_into};

use super::IngestArgs;
use crate::cli::output::Output;
use crate::config;
use crate::pipeline::core::{self, Core};

/// Virtual time between two requests: 51,200 spans a second.
const STEP_NS: u64 = 10_000_000;
/// Virtual time of the first request. Models and windows only see differences.
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Result of `bench ingest`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the command's contract")]
pub(super) struct Report {
    ns_per_span: f64,
    prost_ns_per_span: f64,
    allocations_per_span: f64,
}

/// Runs the benchmark. Both sides take turns, pass by pass, and the median pass counts: what else
/// the machine does then hits both alike.
pub fn run(args: &IngestArgs, output: &Output) -> Result<()> {
    let requests = bench_payload(args.requests, 42);
    let mut ours = Side::new(|core, bytes, now, sampled| {
        let mut batch = core.spares().take();
        decode_into(bytes.clone(), &Limits::default(), &mut batch)?;
        batch.fit();
        core.batch(batch, now, sampled);
        Ok(())
    })?;
    let mut over_prost = Side::new(|core, bytes, now, sampled| {
        let request = ExportTraceServiceRequest::decode(bytes.clone())?;
        let batch = through_structs(core, &request, now);
        core.shared(&Arc::new(batch), now, sampled);
        Ok(())
    })?;
    let session = alloc_tracker::Session::new().no_stdout().no_file();
    let operation = session.operation("ingest");
    ours.pass(&requests)?;
    over_prost.pass(&requests)?;
    ours.forget_times();
    over_prost.forget_times();
    for _ in 0..args.repeats.max(1) {
        let counted = operation.measure_thread().iterations(1);
        ours.pass(&requests)?;
        drop(counted);
        over_prost.pass(&requests)?;
    }
    let allocations = session.to_report();
    let (_, allocations) =
        allocations.operations().next().ok_or_else(|| anyhow!("the allocator counted nothing"))?;
    let report = Report {
        ns_per_span: ours.median_ns(),
        prost_ns_per_span: over_prost.median_ns(),
        allocations_per_span: allocations.total_allocations_count() as f64 / ours.n_spans as f64,
    };
    output.result(&report, |report| {
        let mut text = String::new();
        let _ = writeln!(text, "bytes to decision   {:8.1} ns/span", report.ns_per_span);
        let _ = writeln!(text, "the same over prost {:8.1} ns/span", report.prost_ns_per_span);
        let _ = writeln!(
            text,
            "ratio               {:8.2}",
            report.prost_ns_per_span / report.ns_per_span
        );
        let _ = writeln!(text, "allocations         {:8.4} per span", report.allocations_per_span);
        text
    })
}

/// One way from bytes to decisions, with stages of its own.
struct Side<F> {
    core: Core,
    one: F,
    now: Timestamp,
    sampled: Vec<SampledSpan>,
    /// Nanoseconds per span of each pass.
    times_ns: Vec<f64>,
    n_spans: u64,
}

impl<F> Side<F>
where
    F: FnMut(&mut Core, &Bytes, Timestamp, &mut Vec<SampledSpan>) -> Result<()>,
{
    fn new(one: F) -> Result<Self> {
        let config = config::load::parse("defaults", "", |_| {})?.config;
        let core = Core::new(core::Config {
            sampler: config.sampler,
            assembler: config.assembler,
            rules: config.rules,
            traces: None,
        })?;
        let (sampled, times_ns) = (Vec::new(), Vec::new());
        Ok(Self { core, one, now: START, sampled, times_ns, n_spans: 0 })
    }

    /// Takes all requests once.
    fn pass(&mut self, requests: &[Bytes]) -> Result<()> {
        let n_before = self.core.counters().n_spans;
        let started = Instant::now();
        for bytes in requests {
            self.now = self.now.plus_ns(STEP_NS);
            (self.one)(&mut self.core, bytes, self.now, &mut self.sampled)?;
            self.core.tick(self.now, &mut self.sampled);
            self.core.recycle(&mut self.sampled);
        }
        let elapsed_ns = started.elapsed().as_nanos() as f64;
        let n_spans = (self.core.counters().n_spans - n_before).max(1);
        self.times_ns.push(elapsed_ns / n_spans as f64);
        self.n_spans += n_spans;
        Ok(())
    }

    fn forget_times(&mut self) {
        self.times_ns.clear();
        // Room for what is to come, so that it is not counted as an allocation of the stages.
        self.times_ns.reserve(1_024);
        self.n_spans = 0;
    }

    fn median_ns(&mut self) -> f64 {
        self.times_ns.sort_by(f64::total_cmp);
        self.times_ns[self.times_ns.len() / 2]
    }
}

/// The rival's way: everything is read from decoded structs.
fn through_structs(core: &mut Core, request: &ExportTraceServiceRequest, now: Timestamp) -> Batch {
    let mut batch = Batch::default();
    for resource_spans in &request.resource_spans {
        let attributes = resource_spans.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let service = attributes
            .iter()
            .find(|attribute| attribute.key == "service.name")
            .and_then(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or("unknown_service");
        for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
            batch.spans.extend(head(core, service, span, now));
        }
    }
    batch
}

fn head(core: &mut Core, service: &str, span: &Span, now: Timestamp) -> Option<SpanHead> {
    let kind = SpanKind::from_otlp(span.kind);
    let site = core.sites_mut().intern(service, &span.name, kind, now);
    let parent_id = match span.parent_span_id.as_slice() {
        [] => SpanId::default(),
        bytes => SpanId(bytes.try_into().ok()?),
    };
    Some(SpanHead {
        trace_id: TraceId(span.trace_id.as_slice().try_into().ok()?),
        span_id: SpanId(span.span_id.as_slice().try_into().ok()?),
        parent_id,
        start: Timestamp(span.start_time_unix_nano),
        end: Timestamp(span.end_time_unix_nano),
        site,
        service: core.sites().get(site).service_id,
        kind,
        status: StatusCode::from_otlp(span.status.as_ref().map_or(0, |status| status.code)),
        ..SpanHead::default()
    })
}

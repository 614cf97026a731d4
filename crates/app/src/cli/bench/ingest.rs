//! `bench ingest`: from request bytes in memory to the decision about each span, next to the same
//! stages behind a decode into the structs of `opentelemetry-proto`.

use std::fmt::Write as _;
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
use spanwise_otlp::{Limits, bench_payload, decode};

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

/// Runs the benchmark.
pub fn run(args: &IngestArgs, output: &Output) -> Result<()> {
    let requests = bench_payload(args.requests, 42);
    let (ns_per_span, allocations_per_span) =
        measure(args, &requests, |core, bytes, now, sampled| {
            let decoded = decode(bytes.clone(), &Limits::default())?;
            core.batch(decoded.batch, now, sampled);
            Ok(())
        })?;
    let (prost_ns_per_span, _) = measure(args, &requests, |core, bytes, now, sampled| {
        let request = ExportTraceServiceRequest::decode(bytes.clone())?;
        let batch = through_structs(core, &request, now);
        core.shared(&std::sync::Arc::new(batch), now, sampled);
        Ok(())
    })?;
    let report = Report { ns_per_span, prost_ns_per_span, allocations_per_span };
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

/// Nanoseconds and allocations per span, after one pass over the requests to warm up.
fn measure(
    args: &IngestArgs,
    requests: &[Bytes],
    mut one: impl FnMut(&mut Core, &Bytes, Timestamp, &mut Vec<SampledSpan>) -> Result<()>,
) -> Result<(f64, f64)> {
    let config = config::load::parse("defaults", "", |_| {})?.config;
    let mut core = Core::new(core::Config {
        sampler: config.sampler,
        assembler: config.assembler,
        rules: config.rules,
    })?;
    let mut sampled = Vec::new();
    let mut now = START;
    let mut pass = |core: &mut Core| -> Result<()> {
        for bytes in requests {
            now = now.plus_ns(STEP_NS);
            one(core, bytes, now, &mut sampled)?;
            core.tick(now, &mut sampled);
            sampled.clear();
        }
        Ok(())
    };
    pass(&mut core)?;
    let n_before = core.counters().n_spans;
    let session = alloc_tracker::Session::new().no_stdout().no_file();
    let operation = session.operation("ingest");
    let started = Instant::now();
    {
        let _span = operation.measure_thread().iterations(1);
        for _ in 0..args.repeats {
            pass(&mut core)?;
        }
    }
    let elapsed = started.elapsed();
    let n_spans = (core.counters().n_spans - n_before).max(1) as f64;
    let report = session.to_report();
    let (_, measured) =
        report.operations().next().ok_or_else(|| anyhow!("the allocator counted nothing"))?;
    let allocations = measured.total_allocations_count() as f64;
    Ok((elapsed.as_nanos() as f64 / n_spans, allocations / n_spans))
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

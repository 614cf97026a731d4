//! Between the messages of the wire and the types of the pipeline.

use std::sync::Arc;

use spanwise_model::{
    Batch, CallSite, CallSites, RuleCount, SampledSpan, ScoreKind, SpanKind, TraceId,
};

use crate::reframe::{KeptSpan, reframe};
use crate::sampled_spans::client::SampleReason;
use crate::sampled_spans::examples::CountReport;
use crate::sampled_spans::generated as wire;

pub(super) fn kept(batch: &Batch, span_idx: u32) -> KeptSpan<'_> {
    KeptSpan { batch, span_idx, stamp: &[] }
}

/// The spans of one batch and their reasons, without the fields that differ by subscriber.
pub(super) fn batch(spans: &[SampledSpan], sites: &CallSites) -> wire::SampledBatch {
    let kept: Vec<KeptSpan<'_>> = spans.iter().map(|s| kept(&s.batch, s.span_idx)).collect();
    let request = reframe(&kept);
    let spans = request.order.iter().filter_map(|&idx| spans.get(idx as usize));
    wire::SampledBatch {
        export_request: request.bytes,
        reasons: spans.map(|span| reason(span, sites)).collect(),
        ..wire::SampledBatch::default()
    }
}

fn reason(span: &SampledSpan, sites: &CallSites) -> wire::Reason {
    let why = &span.reason;
    // A reason names a site that was interned, unless the caller mixed up dictionaries.
    let site = (why.site.idx() < sites.id_bound()).then(|| call_site(sites.get(why.site)));
    wire::Reason {
        kind: score_kind(why.kind).into(),
        score: why.score,
        tail: why.tail,
        call_site: site,
        median_ns: why.median_ns,
        p99_ns: why.p99_ns,
        window_age_ns: why.window_age_ns,
        cold: why.cold,
        early: span.early,
    }
}

fn call_site(site: &CallSite) -> wire::CallSite {
    wire::CallSite {
        service: site.service.to_string(),
        operation: site.operation.to_string(),
        kind: site.kind as i32,
    }
}

pub(super) fn sample_reason(reason: wire::Reason) -> SampleReason {
    let site = reason.call_site.unwrap_or_default();
    SampleReason {
        kind: kind_of(reason.kind),
        score: reason.score,
        tail: reason.tail,
        service: site.service,
        operation: site.operation,
        span_kind: SpanKind::from_otlp(site.kind),
        median_ns: reason.median_ns,
        p99_ns: reason.p99_ns,
        window_age_ns: reason.window_age_ns,
        cold: reason.cold,
        early: reason.early,
    }
}

pub(super) fn rule_count(report: CountReport) -> wire::RuleCount {
    let count = report.count;
    wire::RuleCount {
        rule_idx: count.rule_idx,
        second: count.second,
        n_spans: count.n_spans,
        n_breaches: count.n_breaches,
        breaches: count.breaches,
        instances: count.instances,
        breaching_instances: count.breaching_instances,
        trace_ids: count.trace_ids.iter().map(|id| id.0.to_vec().into()).collect(),
        call_site: count.call_site.map(|(service, operation)| wire::CallSite {
            service: service.to_string(),
            operation: operation.to_string(),
            kind: 0,
        }),
        examples: report.examples.into(),
    }
}

pub(super) fn count_report(count: wire::RuleCount) -> CountReport {
    let trace_ids = count.trace_ids.iter().filter_map(|id| Some(TraceId(id[..].try_into().ok()?)));
    CountReport {
        count: RuleCount {
            rule_idx: count.rule_idx,
            second: count.second,
            n_spans: count.n_spans,
            n_breaches: count.n_breaches,
            breaches: count.breaches,
            instances: count.instances,
            breaching_instances: count.breaching_instances,
            trace_ids: trace_ids.collect(),
            call_site: count
                .call_site
                .map(|site| (Arc::from(site.service), Arc::from(site.operation))),
        },
        n_examples: 0,
        examples: count.examples.into(),
    }
}

const fn score_kind(kind: ScoreKind) -> wire::ScoreKind {
    match kind {
        ScoreKind::Cause => wire::ScoreKind::Cause,
        ScoreKind::Impact => wire::ScoreKind::Impact,
        ScoreKind::Transient => wire::ScoreKind::Transient,
        ScoreKind::SiteDuration => wire::ScoreKind::SiteDuration,
        ScoreKind::GlobalDuration => wire::ScoreKind::GlobalDuration,
        ScoreKind::River => wire::ScoreKind::River,
        ScoreKind::Cold => wire::ScoreKind::Cold,
        ScoreKind::InvalidTime => wire::ScoreKind::InvalidTime,
    }
}

/// A kind that is not known, from a newer server, is no score at all.
fn kind_of(kind: i32) -> ScoreKind {
    match wire::ScoreKind::try_from(kind) {
        Ok(wire::ScoreKind::Cause) => ScoreKind::Cause,
        Ok(wire::ScoreKind::Impact) => ScoreKind::Impact,
        Ok(wire::ScoreKind::Transient) => ScoreKind::Transient,
        Ok(wire::ScoreKind::SiteDuration) => ScoreKind::SiteDuration,
        Ok(wire::ScoreKind::GlobalDuration) => ScoreKind::GlobalDuration,
        Ok(wire::ScoreKind::River) => ScoreKind::River,
        Ok(wire::ScoreKind::InvalidTime) => ScoreKind::InvalidTime,
        Ok(wire::ScoreKind::Cold | wire::ScoreKind::Unspecified) | Err(_) => ScoreKind::Cold,
    }
}

//! Kept spans to their destinations: framed as OTLP around the bytes they came in, stamped only
//! where that was asked for, and queued.

use std::sync::Arc;

use spanwise_model::{CallSites, SampledSpan, Value};
use spanwise_otlp::exporter::Exporter;
use spanwise_otlp::{KeptSpan, reframe, span_attributes};

/// Spans of one forwarded request.
const SPANS_PER_REQUEST: usize = 512;

/// One destination.
#[derive(Clone, Debug)]
pub struct Forwarder {
    /// Its queue.
    pub exporter: Exporter,
    /// Whether `spanwise.sampling.*` attributes are appended.
    pub stamp: bool,
}

/// All destinations.
#[derive(Clone, Debug, Default)]
pub struct Forwarders(pub Vec<Forwarder>);

impl Forwarders {
    /// Queues spans for every destination. What a full queue does not take is dropped there and
    /// counted by its exporter.
    pub fn send(&self, sampled: &[SampledSpan], sites: &CallSites) {
        if self.0.is_empty() {
            return;
        }
        for spans in sampled.chunks(SPANS_PER_REQUEST) {
            for stamp in [false, true] {
                let takers: Vec<&Forwarder> =
                    self.0.iter().filter(|forwarder| forwarder.stamp == stamp).collect();
                if takers.is_empty() {
                    continue;
                }
                let stamps: Vec<Vec<u8>> = spans
                    .iter()
                    .map(|span| if stamp { self::stamp(span, sites) } else { Vec::new() })
                    .collect();
                let kept: Vec<KeptSpan<'_>> = spans
                    .iter()
                    .zip(&stamps)
                    .map(|(span, stamp)| KeptSpan {
                        batch: &span.batch,
                        span_idx: span.span_idx,
                        stamp,
                    })
                    .collect();
                let reframed = reframe(&kept);
                let n_spans = reframed.order.len() as u64;
                for taker in takers {
                    // The exporter counts what it does not take.
                    let _ = taker.exporter.send(reframed.bytes.clone(), n_spans);
                }
            }
        }
    }
}

/// Why a span was kept, as attributes behind its own.
fn stamp(span: &SampledSpan, sites: &CallSites) -> Vec<u8> {
    let reason = &span.reason;
    let site = sites.get(reason.site);
    let text = |text: &str| Value::Str(Arc::from(text));
    span_attributes(&[
        (Arc::from("spanwise.sampling.reason"), text(reason.kind.as_str())),
        (Arc::from("spanwise.sampling.score"), Value::Double(reason.score)),
        (Arc::from("spanwise.sampling.tail"), Value::Double(reason.tail)),
        (
            Arc::from("spanwise.sampling.call_site"),
            text(&format!("{}::{}", site.service, site.operation)),
        ),
    ])
}

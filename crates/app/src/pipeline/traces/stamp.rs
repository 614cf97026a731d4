//! What is appended behind the bytes of a kept trace's spans: why it was kept, on the root (else the
//! first span), and on every span the sampling threshold where a keep by chance changes it.

use std::sync::Arc;

use spanwise_model::{CallSiteId, CallSites, SpanFields as _, Value};
use spanwise_otlp::{WireAttributes, explicit_randomness, span_attributes, threshold_field};
use spanwise_sampler::trace::threshold::{self, Outgoing};
use spanwise_sampler::trace::{Claim, WordKind};

use super::kept::{KeptTrace, Why};

/// Positions of spans, in order, with the encoded fields to append.
pub(super) type Stamps = Vec<(usize, Vec<u8>)>;

pub(super) fn stamps(trace: &KeptTrace, sites: &CallSites) -> Stamps {
    let mut stamps = Stamps::new();
    let why = &trace.why;
    for (idx, span) in trace.refs().enumerate() {
        let head = span.head();
        let mut stamp = Vec::new();
        if why.threshold > 0 || why.erase_threshold || head.threshold > 0 {
            let state = WireAttributes.trace_state(span.batch, span.span_idx).as_bytes();
            let low = head.trace_id.low56();
            let randomness = explicit_randomness(state).unwrap_or(low);
            let (own, erase) = (why.threshold, why.erase_threshold);
            let field = match threshold::outgoing(head.threshold, randomness, own, erase) {
                Outgoing::Leave => None,
                Outgoing::Write(own) => threshold_field(state, Some(&threshold::digits(own))),
                Outgoing::Erase => threshold_field(state, None),
            };
            stamp.extend(field.into_iter().flatten());
        }
        if idx == trace.root {
            stamp.extend(attributes(trace, sites));
        }
        if !stamp.is_empty() {
            stamps.push((idx, stamp));
        }
    }
    stamps
}

fn attributes(trace: &KeptTrace, sites: &CallSites) -> Vec<u8> {
    let why = &trace.why;
    let text = |text: &str| Value::Str(Arc::from(text));
    let reason = match &trace.policy {
        Some(policy) => text(&format!("policy:{policy}")),
        None => text(why.reason),
    };
    let mut all = vec![(Arc::from("spanwise.sampling.reason"), reason)];
    if let Some(score) = why.score() {
        all.push((Arc::from("spanwise.sampling.score"), Value::Double(score)));
    }
    if let Some(tail) = why.tail {
        all.push((Arc::from("spanwise.sampling.tail"), Value::Double(tail)));
    }
    if let Some(cluster) = why.cluster() {
        all.push((Arc::from("spanwise.sampling.cluster"), Value::Int(cluster.cast_signed())));
    }
    if let Some(rule) = why.rule(sites) {
        all.push((Arc::from("spanwise.sampling.rule"), text(&rule)));
    }
    if why.late {
        all.push((Arc::from("spanwise.sampling.late"), Value::Bool(true)));
    }
    if let Some(decision) = why.decision {
        all.push((Arc::from("spanwise.sampling.decision"), text(decision.as_str())));
    }
    span_attributes(&all)
}

impl Why {
    /// The score that decided, if one did.
    pub fn score(&self) -> Option<f64> {
        let bits = self.claim.map(|claim| f64::from(claim.bits));
        bits.filter(|bits| bits.is_finite())
    }

    /// The cluster that decided, if one did.
    pub fn cluster(&self) -> Option<u64> {
        self.claim.filter(|_| self.reason == "cluster").map(|claim| claim.source)
    }

    /// The call site and, in the structure lane, the kind of word that decided.
    pub fn rule(&self, sites: &CallSites) -> Option<String> {
        let Claim { source, site, .. } = self.claim?;
        if site == CallSiteId::UNSET {
            return None;
        }
        let site = sites.get(site);
        let name = format!("{}::{}", site.service, site.operation);
        if self.reason != "structure" {
            return Some(name);
        }
        let word = match WordKind::of(source) {
            Some(WordKind::Callees) => "callees of",
            Some(WordKind::Repeats) => "repeated calls of",
            Some(WordKind::Shape) => "shape below",
            Some(WordKind::Error) => "failure of",
            None => return Some(name),
        };
        Some(format!("{word} {name}"))
    }
}

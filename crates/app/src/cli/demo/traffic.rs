//! The demo's traffic: recorded traces sent again and again with new ids, their times moved to now,
//! durations untouched, and on request slowed down by a fault as the real thing would be: the
//! delay runs up to every ancestor and pushes back what came after it.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use spanwise_model::{SpanId, SpanKind, SpanRecord, Timestamp, TraceId};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service works longer in every request to one operation.
    SlowWork {
        /// Service.
        service: &'static str,
        /// Operation of its SERVER spans.
        operation: &'static str,
        /// Added to each, in nanoseconds.
        added_ns: u64,
    },
    /// The network between callers and a service delays every call; the service itself is as fast
    /// as ever.
    SlowNetwork {
        /// The called service.
        callee: &'static str,
        /// Added to each call, in nanoseconds.
        added_ns: u64,
    },
}

/// A recorded trace: spans with times relative to its first start, parents by position.
#[derive(Clone, Debug)]
pub struct Template {
    spans: Vec<SpanRecord>,
    parents: Vec<Option<usize>>,
}

/// Sends templates in random order, seeded.
#[derive(Debug)]
pub struct Traffic {
    templates: Vec<Template>,
    rng: ChaCha8Rng,
    n_instances: u32,
}

impl Template {
    /// A template of one trace's spans; `None` if there are none.
    pub fn new(mut spans: Vec<SpanRecord>) -> Option<Self> {
        let first = spans.iter().map(|span| span.start).min()?;
        for span in &mut spans {
            span.start = Timestamp(span.start.since(first));
            span.end = Timestamp(span.end.since(first));
        }
        let position = |id: SpanId| spans.iter().position(|span| span.span_id == id);
        let parents = spans
            .iter()
            .enumerate()
            .map(|(idx, span)| position(span.parent_id).filter(|&parent| parent != idx))
            .collect();
        Some(Self { spans, parents })
    }

    /// Applies a fault.
    pub fn apply(&mut self, fault: Fault) {
        for idx in 0..self.spans.len() {
            let added_ns = match fault {
                Fault::SlowWork { service, operation, added_ns } => {
                    let span = &self.spans[idx];
                    let hit = span.kind == SpanKind::Server
                        && &*span.service == service
                        && &*span.operation == operation;
                    if hit { added_ns } else { 0 }
                }
                Fault::SlowNetwork { callee, added_ns } => {
                    let calls = self.parents.iter().enumerate().any(|(child, parent)| {
                        *parent == Some(idx) && &*self.spans[child].service == callee
                    });
                    let hit = calls && &*self.spans[idx].service != callee;
                    if hit { added_ns } else { 0 }
                }
            };
            if added_ns > 0 {
                self.delay(idx, added_ns);
            }
        }
    }

    /// Lets one span end later; its ancestors wait, and what started after its end starts later.
    fn delay(&mut self, idx: usize, added_ns: u64) {
        let end = self.spans[idx].end;
        let mut is_ancestor = vec![false; self.spans.len()];
        let mut ancestor = Some(idx);
        while let Some(idx) = ancestor {
            if is_ancestor[idx] {
                break;
            }
            is_ancestor[idx] = true;
            ancestor = self.parents[idx];
        }
        for (span, is_ancestor) in self.spans.iter_mut().zip(is_ancestor) {
            if is_ancestor {
                span.end = span.end.plus_ns(added_ns);
            } else if span.start >= end {
                span.start = span.start.plus_ns(added_ns);
                span.end = span.end.plus_ns(added_ns);
            }
        }
    }
}

impl Traffic {
    /// Traffic over the traces of `spans`; each service answers from `n_instances` instances.
    pub fn new(spans: Vec<SpanRecord>, n_instances: u32, seed: u64) -> Self {
        let mut by_trace: Vec<(TraceId, Vec<SpanRecord>)> = Vec::new();
        let mut sorted = spans;
        sorted.sort_by_key(|span| (span.trace_id, span.start));
        for span in sorted {
            match by_trace.last_mut() {
                Some((id, trace)) if *id == span.trace_id => trace.push(span),
                _ => by_trace.push((span.trace_id, vec![span])),
            }
        }
        let templates =
            by_trace.into_iter().filter_map(|(_, spans)| Template::new(spans)).collect();
        Self { templates, rng: ChaCha8Rng::seed_from_u64(seed), n_instances }
    }

    /// Number of recorded traces.
    pub fn n_templates(&self) -> usize {
        self.templates.len()
    }

    /// Appends one trace that ends at `end`, under the faults in force.
    pub fn trace(&mut self, end: Timestamp, faults: &[Fault], out: &mut Vec<SpanRecord>) {
        if self.templates.is_empty() {
            return;
        }
        let pick = (self.rng.next_u64() % self.templates.len() as u64) as usize;
        let mut template = self.templates[pick].clone();
        for &fault in faults {
            template.apply(fault);
        }
        let length = template.spans.iter().map(|span| span.end.as_ns()).max().unwrap_or(0);
        let start = end.minus_ns(length);
        let trace_id = self.trace_id();
        let base = self.rng.next_u64() | 1;
        let id_of = |idx: usize| SpanId(base.wrapping_add(idx as u64).max(1).to_be_bytes());
        let instance = self.rng.next_u32() % self.n_instances.max(1);
        for (idx, span) in template.spans.into_iter().enumerate() {
            let parent_id = template.parents[idx].map_or(SpanId::default(), id_of);
            out.push(SpanRecord {
                trace_id,
                span_id: id_of(idx),
                parent_id,
                instance: Arc::from(format!("{}-{instance}", span.service)),
                start: start.plus_ns(span.start.as_ns()),
                end: start.plus_ns(span.end.as_ns()),
                ..span
            });
        }
    }

    fn trace_id(&mut self) -> TraceId {
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        id[0] |= 1;
        TraceId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanwise_model::StatusCode;

    fn span(id: u8, parent: u8, service: &str, kind: SpanKind, times: (u64, u64)) -> SpanRecord {
        SpanRecord {
            trace_id: TraceId([7; 16]),
            span_id: SpanId([id; 8]),
            parent_id: SpanId([parent; 8]),
            service: Arc::from(service),
            instance: Arc::from(""),
            operation: Arc::from("op"),
            kind,
            start: Timestamp(1_000 + times.0),
            end: Timestamp(1_000 + times.1),
            status: StatusCode::Unset,
            trace_state: Arc::from(""),
            attributes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A frontend that calls cart, then works on.
    fn call() -> Vec<SpanRecord> {
        vec![
            span(1, 0, "frontend", SpanKind::Server, (0, 100)),
            span(2, 1, "frontend", SpanKind::Client, (10, 40)),
            span(3, 2, "cart", SpanKind::Server, (15, 35)),
            span(4, 1, "frontend", SpanKind::Internal, (50, 90)),
        ]
    }

    fn times(template: &Template) -> Vec<(u64, u64)> {
        template.spans.iter().map(|span| (span.start.0, span.end.0)).collect()
    }

    #[test]
    fn slow_work_lengthens_the_ancestors_and_pushes_back_what_follows() {
        let mut template = Template::new(call()).unwrap();
        template.apply(Fault::SlowWork { service: "cart", operation: "op", added_ns: 1_000 });
        assert_eq!(times(&template), [(0, 1_100), (10, 1_040), (15, 1_035), (1_050, 1_090)]);
    }

    #[test]
    fn a_slow_network_leaves_the_called_service_as_it_was() {
        let mut template = Template::new(call()).unwrap();
        template.apply(Fault::SlowNetwork { callee: "cart", added_ns: 500 });
        assert_eq!(times(&template), [(0, 600), (10, 540), (15, 35), (550, 590)]);
    }

    #[test]
    fn a_trace_ends_when_told_and_keeps_its_shape() {
        let mut traffic = Traffic::new(call(), 2, 1);
        let mut out = Vec::new();
        traffic.trace(Timestamp::from_secs(50), &[], &mut out);
        assert_eq!(out.len(), 4);
        assert_eq!(out[0].end, Timestamp::from_secs(50));
        assert_eq!(out[1].parent_id, out[0].span_id);
        assert_eq!(out[2].end.since(out[2].start), 20);
        assert_ne!(out[0].trace_id, TraceId([7; 16]));
        let mut again = Vec::new();
        Traffic::new(call(), 2, 1).trace(Timestamp::from_secs(50), &[], &mut again);
        assert_eq!(out, again);
    }
}

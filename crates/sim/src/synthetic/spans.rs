//! Streams of single spans: log-normal durations per call site, some slowed.
//!
//! Each span is a trace of its own. They come in order of their ends, so that the order of the
//! stream is the order in which a sampler meets them.

use std::sync::Arc;

use spanwise_model::{SpanKind, Timestamp};

use super::sites::{SHAPES, Shape};
use super::{Anomaly, BEGIN, Span};
use crate::draw::{Draw, cumulative};

/// Spans of a stream.
const N_SPANS: u32 = 400_000;
const N_OPERATIONS_PER_SERVICE: usize = 5;
/// Share of anomalous spans, and how many times slower they are.
const ANOMALOUS: f64 = 0.01;
const SLOWED_BY: (f64, f64) = (5.0, 20.0);
/// How often the slow one of two modes is taken.
const MISS_SHARE: f64 = 0.2;
/// Mean time between two spans.
const GAP_NS: f64 = 5e6;
/// A site's first spans, which do not count where sites are new.
const N_COLD: u32 = 32;

/// A call site of a generation.
#[derive(Clone, Debug)]
struct Site {
    service: Arc<str>,
    operation: Arc<str>,
    shape: Shape,
    n_spans: u32,
}

/// Iterator over the spans.
#[derive(Clone, Debug)]
pub(super) struct SpanStream {
    draw: Draw,
    sites: Vec<Site>,
    popularity: Vec<f64>,
    now_ns: f64,
    next: u32,
    n_generations: u32,
    bimodal: bool,
}

impl SpanStream {
    /// `n_generations` times the sites are replaced by new ones, after equally many spans.
    pub(super) fn new(seed: u64, n_generations: u32, bimodal: bool) -> Self {
        let weights = SHAPES.map(|shape| shape.weight);
        Self {
            draw: Draw::new(seed),
            sites: Vec::new(),
            popularity: cumulative(&weights),
            now_ns: 0.0,
            next: 0,
            n_generations,
            bimodal,
        }
    }

    /// The same shapes under new names.
    fn renew_sites(&mut self, generation: u32) {
        let site = |(i, shape): (usize, &Shape)| {
            let mut shape = *shape;
            match shape.miss_ratio {
                Some(_) if self.bimodal => shape.sigma /= 2.0,
                _ => shape.miss_ratio = None,
            }
            Site {
                service: format!("svc{}-gen{generation}", i / N_OPERATIONS_PER_SERVICE).into(),
                // Digits set apart would be folded, and all operations of a service be one.
                operation: format!("op{}", i % N_OPERATIONS_PER_SERVICE).into(),
                shape,
                n_spans: 0,
            }
        };
        self.sites = SHAPES.iter().enumerate().map(site).collect();
    }
}

impl Iterator for SpanStream {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if self.next >= N_SPANS {
            return None;
        }
        let n_per_generation = N_SPANS / self.n_generations;
        if self.next.is_multiple_of(n_per_generation) {
            self.renew_sites(self.next / n_per_generation);
        }
        let draw = &mut self.draw;
        let site = &mut self.sites[draw.weighted(&self.popularity)];
        let mut dur_ns = 1e6 * draw.log_normal(site.shape.median_ms, site.shape.sigma);
        if let Some(ratio) = site.shape.miss_ratio
            && draw.happens(MISS_SHARE)
        {
            dur_ns *= ratio;
        }
        let anomaly = draw.happens(ANOMALOUS).then_some(Anomaly::Latency);
        if anomaly.is_some() {
            dur_ns *= draw.uniform(SLOWED_BY.0, SLOWED_BY.1);
        }
        self.now_ns += draw.exponential(GAP_NS);
        site.n_spans += 1;
        let end = BEGIN.plus_ns(self.now_ns as u64);
        let trace = self.next;
        self.next += 1;
        Some(Span {
            trace,
            idx: 0,
            parent_idx: -1,
            service: Arc::clone(&site.service),
            operation: Arc::clone(&site.operation),
            kind: SpanKind::Server,
            start: Timestamp(end.as_ns() - dur_ns as u64),
            end,
            anomaly,
            trace_anomaly: anomaly,
            judged: self.n_generations == 1 || site.n_spans > N_COLD,
        })
    }
}

//! Seeded spans of a few call sites.

use std::sync::Arc;

use spanwise_model::{
    Batch, CallSiteId, CallSites, ClosedSpan, SpanHead, SpanId, SpanKind, Timestamp, TraceId,
};
use spanwise_sampler::{CloseScores, Config, SiteView, SpanSampler};

pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Streams begin here, at the start of a ten-minute slot.
pub(crate) const START: Timestamp = Timestamp(1_699_999_800 * SECOND_NS);

/// A call site with log-normal latencies.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) operation: &'static str,
    pub(crate) median_ms: f64,
    pub(crate) sigma: f64,
}

pub(crate) const CART: Shape = Shape { operation: "GetCart", median_ms: 20.0, sigma: 0.3 };
pub(crate) const PAY: Shape = Shape { operation: "Pay", median_ms: 150.0, sigma: 0.2 };

/// A sampler, its dictionary, and a generator of latencies.
pub(crate) struct Stream {
    pub(crate) sites: CallSites,
    pub(crate) sampler: SpanSampler,
    state: u64,
    n_spans: u64,
}

impl Stream {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let sampler = SpanSampler::new(config).unwrap();
        Self { sites: CallSites::new(1000, 100), sampler, state: seed, n_spans: 0 }
    }

    /// `SplitMix64`, in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn latency_ns(&mut self, shape: Shape) -> u64 {
        // Twelve uniforms make a normal that is good enough here.
        let normal = (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0;
        (shape.median_ms * 1e6 * (shape.sigma * normal).exp()) as u64
    }

    pub(crate) fn site(&mut self, shape: Shape) -> CallSiteId {
        self.sites.intern("shop", shape.operation, SpanKind::Server, START)
    }

    pub(crate) fn view(&mut self, shape: Shape) -> SiteView {
        let site = self.site(shape);
        self.sampler.site(site).unwrap()
    }

    /// A span of one trace of its own, all self time, that ends at `end`.
    pub(crate) fn span(&mut self, shape: Shape, latency_ns: u64, end: Timestamp) -> ClosedSpan {
        self.n_spans += 1;
        let site = self.site(shape);
        let service = self.sites.get(site).service_id;
        let head = SpanHead {
            trace_id: TraceId(u128::from(self.n_spans).to_be_bytes()),
            span_id: SpanId((self.n_spans + 7).to_be_bytes()),
            start: end.minus_ns(latency_ns),
            end,
            site,
            service,
            ..SpanHead::default()
        };
        ClosedSpan {
            batch: Arc::new(Batch { spans: vec![head], ..Batch::default() }),
            span_idx: 0,
            parent: -1,
            self_ns: latency_ns,
            own_ns: latency_ns,
            gap_ns: None,
            kept_early: false,
        }
    }

    /// Arrives and closes at once; whether it was kept, and its scores.
    pub(crate) fn send(
        &mut self,
        shape: Shape,
        latency_ns: u64,
        now: Timestamp,
    ) -> (bool, CloseScores) {
        let mut span = self.span(shape, latency_ns, now);
        span.kept_early = self.sampler.arrive(span.head(), now).is_some();
        let is_kept = self.sampler.close(&span, now).is_some() || span.kept_early;
        (is_kept, self.sampler.closed_scores().first().copied().unwrap_or_default())
    }

    /// `per_second` spans for `seconds`, latencies times `factor`; returns the mean `site_self`.
    pub(crate) fn run(
        &mut self,
        shape: Shape,
        from: Timestamp,
        seconds: u64,
        per_second: u64,
        factor: f64,
    ) -> f64 {
        let mut sum = 0.0;
        for i in 0..seconds * per_second {
            let now = from.plus_ns(i * SECOND_NS / per_second);
            let latency_ns = (self.latency_ns(shape) as f64 * factor) as u64;
            sum += f64::from(self.send(shape, latency_ns, now).1.site_self);
        }
        sum / (seconds * per_second) as f64
    }
}

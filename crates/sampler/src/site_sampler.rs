//! The default profile: a model per call site, evidence, tails and a budget.

mod share;
mod store;

use spanwise_hst::{Grid, Skeleton};
use spanwise_model::{
    CallSiteId, ClosedSpan, KeepReason, ScoreKind, ServiceId, SpanHead, Timestamp,
};

use crate::budget::Controller;
use crate::config::{Config, Decisive};
use crate::error::Error;
use crate::evidence::{ArrivalScores, CloseScores, IMPACT_STEP, NOT_SLOW};
use crate::family::Family;
use crate::latency::{Flipped, Latency, Policy};
use crate::pool::{Pool, Pools};
use crate::reference::Builder;
use crate::site::{Site, bin_ns};
use crate::stats::Stats;
use crate::tail::{Tail, Tails};
use crate::versions::Versions;
pub(crate) use share::SiteLesson;
use store::pools_of;

/// Cap quantile of a call site.
const SITE_CAP_SHARE: f64 = 0.995;
/// Only the clearest durations are kept on arrival: a duration says that something below was slow,
/// the self time at the close says what.
const EARLY_SHARE: f64 = 0.25;

/// A window that a single trace fills this far flips at once, whatever the order: no count of a bin
/// may overflow.
const N_LIVE_SURE: u32 = 1 << 15;

/// Models, tails and budget of one sampler.
#[derive(Clone, Debug)]
pub(crate) struct SiteSampler {
    pub(crate) config: Config,
    pub(crate) builder: Builder,
    pub(crate) sites: Vec<Option<Box<Site>>>,
    pub(crate) services: Vec<Option<Box<Pools>>>,
    pub(crate) global: Pools,
    pub(crate) arrival_tails: Tails,
    pub(crate) close_tails: Tails,
    pub(crate) controller: Controller,
    pub(crate) stats: Stats,
    versions: Versions,
    n_services: usize,
    /// Call sites with a model, by service.
    n_sites: Vec<u32>,
    eviction_hand: usize,
    family: Family,
    closed: Vec<CloseScores>,
    learned: Vec<Learned>,
    taught: Vec<(u16, u16)>,
    /// Sites whose window the trace at hand has filled.
    full: Vec<CallSiteId>,
}

/// What a closed span will teach once the whole trace is scored.
#[derive(Clone, Copy, Debug)]
struct Learned {
    bin: usize,
    is_valid: bool,
}

impl SiteSampler {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let (n_trees, height) = (config.n_trees as usize, config.height as usize);
        let n_bins = Grid::N_BINS;
        let skeleton = Skeleton::new(config.seed, n_trees, height, n_bins)?;
        Ok(Self {
            config,
            builder: Builder::new(skeleton),
            sites: Vec::new(),
            services: Vec::new(),
            global: Pools::new(),
            arrival_tails: Tails::new(),
            close_tails: Tails::new(),
            controller: Controller::new(config.budget),
            stats: Stats::default(),
            versions: Versions::default(),
            n_services: 0,
            n_sites: Vec::new(),
            eviction_hand: 0,
            family: Family::default(),
            closed: Vec::new(),
            learned: Vec::new(),
            taught: Vec::new(),
            full: Vec::new(),
        })
    }

    /// Scores the duration of a span that arrives, decides on an early keep, learns.
    pub(crate) fn arrive(&mut self, head: &SpanHead, now: Timestamp) -> Option<KeepReason> {
        let duration_ns = head.duration_ns()?;
        self.stats.n_seen += 1;
        self.controller.see(now);
        let bin = Grid::bin_of(duration_ns);
        let scores = self.arrival_scores(head, now)?;
        let reason = self.keep_early(head, scores, now);
        self.stats.n_kept_early += u64::from(reason.is_some());
        self.learn_duration(head.site, bin, now);
        reason
    }

    fn keep_early(
        &mut self,
        head: &SpanHead,
        scores: ArrivalScores,
        now: Timestamp,
    ) -> Option<KeepReason> {
        if scores.unknown {
            return None;
        }
        let bits = scores.max_dur();
        let tail = self.arrival_tails.judge(bits, lot(head), now);
        if !self.keep(tail, EARLY_SHARE) {
            return None;
        }
        let is_site = scores.site_dur >= scores.global_dur;
        let kind = if is_site { ScoreKind::SiteDuration } else { ScoreKind::GlobalDuration };
        let latency = self.site(head.site).map(|site| &site.dur);
        Some(KeepReason { kind, ..reason(head.site, bits, tail, latency, now) })
    }

    /// The scores a span would have if it arrived now. Makes the site's model if there is none;
    /// learns nothing else. `None` for invalid times and spans without a call site.
    pub(crate) fn arrival_scores(
        &mut self,
        head: &SpanHead,
        now: Timestamp,
    ) -> Option<ArrivalScores> {
        let bin = Grid::bin_of(head.duration_ns()?);
        self.ensure_site(head, now)?;
        let global_dur = self.global.dur.score(bin, &mut self.builder).unwrap_or(NOT_SLOW);
        let site = self.sites[head.site.idx()].as_ref()?;
        let cold = site.dur.is_cold();
        let site_dur = if cold {
            let service = pools_of(&mut self.services, head.service);
            let service = service.map(|pools| &mut pools.dur);
            fallback(service, bin, &mut self.builder).unwrap_or(global_dur)
        } else {
            site.dur.cell(bin).trusted.bits()
        };
        let unknown = cold && self.global.dur.is_cold();
        Some(ArrivalScores { site_dur, global_dur, cold, unknown })
    }

    /// Scores the spans of a closed trace, decides, learns. Kept spans go to `out` as (position,
    /// reason).
    pub(crate) fn close(
        &mut self,
        spans: &[ClosedSpan],
        now: Timestamp,
        out: &mut Vec<(u32, KeepReason)>,
    ) {
        let mut family = std::mem::take(&mut self.family);
        family.walk(spans);
        self.closed.clear();
        self.learned.clear();
        for (idx, span) in spans.iter().enumerate() {
            let top_ns = spans[family.top(idx)].head().duration_ns().unwrap_or(0);
            let scores = self.close_scores(span, top_ns, now);
            let bin = Grid::bin_of(span.self_ns);
            self.learned.push(Learned { bin, is_valid: scores.is_some() });
            self.closed.push(scores.unwrap_or(UNSCORED));
        }
        for (child, parent) in family.upwards() {
            let blame = self.closed[child].impact - IMPACT_STEP;
            let impact = &mut self.closed[parent].impact;
            *impact = impact.max(blame);
        }
        self.family = family;
        for (idx, span) in spans.iter().enumerate() {
            let reason = if self.learned[idx].is_valid {
                self.decide(span, self.closed[idx], now)
            } else {
                self.pass(span, now)
            };
            out.extend(reason.map(|reason| (idx as u32, reason)));
        }
        for (idx, span) in spans.iter().enumerate() {
            if self.learned[idx].is_valid {
                self.learn_self_time(span.head().site, self.learned[idx].bin, now);
            }
        }
        self.flip_full(now);
    }

    /// A service shows its version: after a deployment its call sites learn anew.
    pub(crate) fn see_version(&mut self, service: ServiceId, version: &[u8], now: Timestamp) {
        if service == ServiceId::UNSET || !self.versions.see(service, version, now) {
            return;
        }
        for site in self.sites.iter_mut().flatten().filter(|site| site.service == service) {
            site.dur.renew();
            site.own.renew();
        }
    }

    /// Scores of the trace closed last, in the order of its spans.
    pub(crate) fn closed(&self) -> &[CloseScores] {
        &self.closed
    }

    /// `None` for invalid times and spans without a call site.
    fn close_scores(
        &mut self,
        span: &ClosedSpan,
        top_ns: u64,
        now: Timestamp,
    ) -> Option<CloseScores> {
        /// 0.1 ms on both sides keeps the share of tiny spans of tiny requests from mattering.
        const SHARE_FLOOR_NS: f32 = 100_000.0;
        let head = span.head();
        let duration_ns = head.duration_ns()?;
        self.ensure_site(head, now)?;
        let bin = Grid::bin_of(span.self_ns);
        let global_self = self.global.own.score(bin, &mut self.builder).unwrap_or(NOT_SLOW);
        let mut scores = CloseScores { global_self, ..CloseScores::default() };
        let whole_ns = top_ns.max(duration_ns) as f32 + SHARE_FLOOR_NS;
        scores.share =
            crate::bits::log2((span.self_ns as f32 + SHARE_FLOOR_NS) / whole_ns).min(0.0);
        let site = self.sites[head.site.idx()].as_mut()?;
        scores.cold = site.own.is_cold();
        scores.unknown = scores.cold && self.global.own.is_cold();
        if scores.cold {
            let service = pools_of(&mut self.services, head.service);
            let service = service.map(|pools| &mut pools.own);
            let usual = fallback(service, bin, &mut self.builder);
            scores.site_self = usual.unwrap_or(scores.global_self);
            scores.transient = scores.site_self;
        } else {
            let cell = site.own.cell(bin);
            scores.site_self = cell.trusted.bits();
            scores.transient = cell.adaptive.bits();
            scores.crowd = site.crowd.bits(now);
        }
        scores.conclude();
        Some(scores)
    }

    fn decide(
        &mut self,
        span: &ClosedSpan,
        scores: CloseScores,
        now: Timestamp,
    ) -> Option<KeepReason> {
        let (kind, bits) = match self.config.decisive {
            Decisive::Cause => (ScoreKind::Cause, scores.cause),
            Decisive::Impact => (ScoreKind::Impact, scores.impact),
        };
        self.stats.n_cold += u64::from(scores.cold);
        if scores.unknown {
            return self.pass(span, now);
        }
        let tail = self.close_tails.judge(bits, lot(span.head()), now);
        if span.kept_early || !self.keep(tail, 1.0) {
            return None;
        }
        self.stats.n_kept_late += 1;
        let site = span.head().site;
        let latency = self.site(site).map(|site| &site.own);
        Some(KeepReason { kind, ..reason(site, bits, tail, latency, now) })
    }

    /// A span that is not judged: kept only if everything is.
    fn pass(&mut self, span: &ClosedSpan, now: Timestamp) -> Option<KeepReason> {
        let head = span.head();
        let is_invalid = head.duration_ns().is_none();
        self.stats.n_seen += u64::from(is_invalid);
        if span.kept_early || !self.controller.keeps_all() {
            return None;
        }
        self.stats.n_kept_late += 1;
        let kind = if is_invalid { ScoreKind::InvalidTime } else { ScoreKind::Cold };
        Some(KeepReason { kind, ..reason(head.site, 0.0, EVERY, None, now) })
    }

    /// Whether a tail passes the threshold and the budget pays for it.
    fn keep(&mut self, tail: Tail, share: f64) -> bool {
        if self.controller.keeps_all() {
            // On arrival only what is clear; the rest has better reasons at the close.
            return share >= 1.0 || f64::from(tail.drawn) <= share;
        }
        if f64::from(tail.drawn) > share * self.controller.threshold() {
            return false;
        }
        let is_paid = self.controller.pay();
        self.stats.n_over_budget += u64::from(!is_paid);
        is_paid
    }

    fn learn_duration(&mut self, id: CallSiteId, bin: usize, now: Timestamp) {
        let policy = self.policy(false);
        let Some(site) = self.sites[id.idx()].as_mut() else { return };
        site.last_seen = now;
        site.n_spans += 1;
        if site.dur.learn(bin, now) {
            self.flip_duration(id, policy, now);
        }
    }

    fn flip_duration(&mut self, id: CallSiteId, policy: Policy, now: Timestamp) {
        let Some(site) = self.sites[id.idx()].as_mut() else { return };
        self.stats.n_warm += u64::from(site.dur.is_cold());
        let flipped = site.dur.flip(now, &mut self.builder, policy, &mut self.taught);
        self.stats.flipped(flipped);
        self.teach_pools(id, flipped, now, |pools| &mut pools.dur);
    }

    /// Counts a span. Its site's window, if full, flips once the whole trace is counted: what is learned
    /// of a trace does not depend on the order of its spans.
    fn learn_self_time(&mut self, id: CallSiteId, bin: usize, now: Timestamp) {
        let Some(site) = self.sites[id.idx()].as_mut() else { return };
        site.crowd.count(!site.own.is_cold() && bin > site.own.trusted.p99.into(), now);
        if !site.own.learn(bin, now) {
            return;
        }
        if site.own.n_live < N_LIVE_SURE {
            self.full.push(id);
        } else {
            self.flip_self_time(id, self.policy(true), now);
        }
    }

    /// Flips the windows that a trace has filled, in order of their call sites.
    fn flip_full(&mut self, now: Timestamp) {
        if self.full.is_empty() {
            return;
        }
        let mut full = std::mem::take(&mut self.full);
        full.sort_unstable();
        full.dedup();
        for id in full.drain(..) {
            let is_full = |site: &Site| site.own.is_full(now);
            if self.site(id).is_some_and(is_full) {
                self.flip_self_time(id, self.policy(true), now);
            }
        }
        self.full = full;
    }

    fn flip_self_time(&mut self, id: CallSiteId, policy: Policy, now: Timestamp) {
        let Some(site) = self.sites[id.idx()].as_mut() else { return };
        let flipped = site.own.flip(now, &mut self.builder, policy, &mut self.taught);
        self.stats.flipped(flipped);
        self.teach_pools(id, flipped, now, |pools| &mut pools.own);
    }

    /// Hands what a site was taught on to its service and to all. An overflow site stands for
    /// unknown names and teaches nobody.
    fn teach_pools(
        &mut self,
        id: CallSiteId,
        flipped: Flipped,
        now: Timestamp,
        of: impl Fn(&mut Pools) -> &mut Pool,
    ) {
        let Some(site) = self.site(id) else { return };
        if site.is_overflow {
            return;
        }
        let service = site.service;
        let is_news = flipped.is_young || flipped.rebaselined;
        self.ensure_service(service);
        if let Some(pools) = pools_of(&mut self.services, service) {
            of(pools).teach(&self.taught, is_news, now);
        }
        of(&mut self.global).teach(&self.taught, is_news, now);
    }

    pub(crate) fn stats(&self) -> Stats {
        const SITE_BYTES: usize = size_of::<Site>() + 2 * Latency::HEAP_BYTES;
        let heap = self.stats.n_models as usize * SITE_BYTES
            + self.n_services * Pools::HEAP_BYTES
            + self.sites.capacity() * size_of::<Option<Box<Site>>>();
        Stats {
            heap_bytes: heap as u64,
            threshold: self.controller.threshold(),
            calibration_ks: self.close_tails.calibration_ks(),
            ..self.stats
        }
    }

    pub(crate) fn policy(&self, adaptive: bool) -> Policy {
        Policy {
            window_max: self.config.window,
            cap_share: SITE_CAP_SHARE,
            accept_after_ns: self.config.accept_after_ns,
            adaptive,
        }
    }
}

/// The tail of a span that is not judged: any other is as rare.
const EVERY: Tail = Tail { share: 1.0, drawn: 1.0 };

/// The scores of a span that is not judged.
const UNSCORED: CloseScores = CloseScores {
    site_self: NOT_SLOW,
    global_self: NOT_SLOW,
    transient: NOT_SLOW,
    crowd: 0.0,
    share: 0.0,
    cause: NOT_SLOW,
    impact: NOT_SLOW,
    cold: true,
    unknown: true,
};

fn fallback(pool: Option<&mut Pool>, bin: usize, builder: &mut Builder) -> Option<f32> {
    pool?.score(bin, builder)
}

/// Settles ties: uniform in [0, 1), a function of the span id alone. Never of the trace id, whose
/// randomness belongs to probability sampling: a keep by content must not lean on it.
fn lot(head: &SpanHead) -> f32 {
    /// 2^64 over the golden ratio: sequential ids are spread evenly.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let spread = u64::from_be_bytes(head.span_id.0).wrapping_mul(SPREAD);
    (spread >> 40) as f32 / 16_777_216.0
}

fn reason(
    site: CallSiteId,
    bits: f32,
    tail: Tail,
    latency: Option<&Latency>,
    now: Timestamp,
) -> KeepReason {
    let warm = latency.filter(|latency| !latency.is_cold());
    KeepReason {
        kind: ScoreKind::Cold,
        score: f64::from(bits),
        tail: f64::from(tail.share),
        site,
        median_ns: warm.map_or(0, |latency| bin_ns(latency.trusted.median)),
        p99_ns: warm.map_or(0, |latency| bin_ns(latency.trusted.p99)),
        window_age_ns: warm.map_or(0, |latency| now.since(latency.flipped)),
        cold: warm.is_none(),
    }
}

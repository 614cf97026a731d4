//! The span sampler: one front for both profiles.

use spanwise_model::{
    CallSite, CallSiteId, CallSites, ClosedSpan, KeepReason, ServiceId, SpanHead, Timestamp,
};

use crate::config::{Config, Profile};
use crate::error::Error;
use crate::evidence::{ArrivalScores, CloseScores};
use crate::inner::Inner;
use crate::scale::ScaleSampler;
use crate::site::SiteView;
use crate::site_sampler::{SiteLesson, SiteSampler};
use crate::snapshot;
use crate::stats::Stats;

/// Decides which spans to keep, and says why.
///
/// Two calls per span: [`SpanSampler::arrive`] when it comes, [`SpanSampler::close_trace`] with its
/// family when the window of its trace has closed. Both allocate nothing in steady state. Spans
/// with invalid times are neither scored nor learned; they are kept only if the budget is 100 %.
#[derive(Clone, Debug)]
pub struct SpanSampler {
    pub(crate) inner: Inner,
    kept: Vec<(u32, KeepReason)>,
}

/// What a sampler has seen since it last told others: see [`SpanSampler::lesson`].
#[derive(Clone, Debug, Default)]
pub struct Lesson(SiteLesson);

impl SpanSampler {
    /// A sampler that knows nothing yet.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let inner = match config.profile {
            Profile::Default => Inner::Sites(Box::new(SiteSampler::new(config)?)),
            Profile::Scale(scale) => Inner::Scale(Box::new(ScaleSampler::new(scale, config.seed)?)),
        };
        Ok(Self { inner, kept: Vec::new() })
    }

    /// Tells the name of a call site, best when it is interned. Only the `scale` profile listens:
    /// its calls have no kind.
    pub fn describe(&mut self, id: CallSiteId, site: &CallSite) {
        if let Inner::Scale(scale) = &mut self.inner {
            scale.describe(id, site);
        }
    }

    /// A span arrives: scores its duration, learns it, and keeps it at once if it is clearly
    /// anomalous. Whoever gets a reason passes `kept_early` on with the span.
    pub fn arrive(&mut self, head: &SpanHead, now: Timestamp) -> Option<KeepReason> {
        match &mut self.inner {
            Inner::Sites(sites) => sites.arrive(head, now),
            Inner::Scale(scale) => scale.arrive(head, now),
        }
    }

    /// A trace has closed: scores its spans by self time and context, then learns them. The kept
    /// ones are appended to `out` as (position in `spans`, reason); those kept early are not kept
    /// again. `parent` of each span is a position in `spans`.
    pub fn close_trace(
        &mut self,
        spans: &[ClosedSpan],
        now: Timestamp,
        out: &mut Vec<(u32, KeepReason)>,
    ) {
        if let Inner::Sites(sites) = &mut self.inner {
            sites.close(spans, now, out);
        }
    }

    /// Like [`SpanSampler::close_trace`] for a span without its family: it is judged by its own
    /// self time alone, so its share of the request and what happened below it do not count.
    pub fn close(&mut self, span: &ClosedSpan, now: Timestamp) -> Option<KeepReason> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        // The parent lies outside the slice and therefore counts as none.
        self.close_trace(std::slice::from_ref(span), now, &mut kept);
        let reason = kept.pop().map(|(_, reason)| reason);
        self.kept = kept;
        reason
    }

    /// The scores a span would get if it arrived now; nothing is learned. For evaluation. `None`
    /// for invalid times and in the `scale` profile.
    pub fn arrival_scores(&mut self, head: &SpanHead, now: Timestamp) -> Option<ArrivalScores> {
        match &mut self.inner {
            Inner::Sites(sites) => sites.arrival_scores(head, now),
            Inner::Scale(_) => None,
        }
    }

    /// The scores of the spans of the trace closed last, in their order. For evaluation. Empty in
    /// the `scale` profile.
    pub fn closed_scores(&self) -> &[CloseScores] {
        match &self.inner {
            Inner::Sites(sites) => sites.closed(),
            Inner::Scale(_) => &[],
        }
    }

    /// river's score of a span in [0, 1], 0 before training fills a window. For evaluation. `None`
    /// for invalid times and in the default profile.
    pub fn river_score(&mut self, head: &SpanHead) -> Option<f64> {
        match &mut self.inner {
            Inner::Sites(_) => None,
            Inner::Scale(scale) => scale.score(head),
        }
    }

    /// Drops the model of a retired call site.
    pub fn forget(&mut self, id: CallSiteId) {
        match &mut self.inner {
            Inner::Sites(sites) => sites.forget(id),
            Inner::Scale(scale) => scale.forget(id),
        }
    }

    /// An operator says that what a call site shows now is expected: its next full window becomes
    /// the trusted reference. Whether there is such a site.
    pub fn accept(&mut self, id: CallSiteId) -> bool {
        let Inner::Sites(sites) = &mut self.inner else { return false };
        let Some(Some(site)) = sites.sites.get_mut(id.idx()) else { return false };
        site.dur.accept();
        site.own.accept();
        true
    }

    /// A service shows its `service.version`, best once for each resource of a request. A version
    /// that was not seen within the last hour, where another one was, is a deployment: the third
    /// window of each of the service's call sites from then on becomes its trusted reference. Versions are
    /// not part of a snapshot. The `scale` profile does not listen.
    pub fn see_version(&mut self, service: ServiceId, version: &[u8], now: Timestamp) {
        if let Inner::Sites(sites) = &mut self.inner {
            sites.see_version(service, version, now);
        }
    }

    /// What is known of a call site; `None` if it has no model.
    pub fn site(&self, id: CallSiteId) -> Option<SiteView> {
        match &self.inner {
            Inner::Sites(sites) => sites.site(id).map(crate::site::Site::view),
            Inner::Scale(_) => None,
        }
    }

    /// Lets time pass where no spans do. Once a second is plenty.
    pub fn tick(&mut self, now: Timestamp) {
        if let Inner::Sites(sites) = &mut self.inner {
            sites.controller.tick(now);
        }
    }

    /// Appends all models to `out`, call sites by name. See `docs/formats/sampler-snapshot.md`.
    pub fn snapshot(&self, sites: &CallSites, out: &mut Vec<u8>) {
        snapshot::write(&self.inner, sites, out);
    }

    /// Replaces all models by those of a snapshot made with the same settings; its call sites are
    /// interned at `now`. On an error nothing has changed but the call sites interned.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        sites: &mut CallSites,
        now: Timestamp,
    ) -> Result<(), Error> {
        snapshot::restore(&mut self.inner, bytes, sites, now)
    }

    /// Adds what another sampler with the same settings has learned, by call site: masses and live
    /// counts add, exactly. Tails, budget and clocks stay ours. On an error nothing has changed but
    /// the call sites interned.
    pub fn merge(
        &mut self,
        bytes: &[u8],
        sites: &mut CallSites,
        now: Timestamp,
    ) -> Result<(), Error> {
        snapshot::merge(&mut self.inner, bytes, sites, now)
    }

    /// Takes what this shard has seen since the last call, for the other shards of the process; about
    /// once a second. Empty in the `scale` profile, whose shards learn alone.
    pub fn lesson(&mut self, sites: &CallSites) -> Lesson {
        match &mut self.inner {
            Inner::Sites(sampler) => Lesson(sampler.lesson(sites)),
            Inner::Scale(_) => Lesson::default(),
        }
    }

    /// Learns what other shards with the same settings have seen: counts of spans and of scores add,
    /// exactly, and a window is full when all shards together have filled it. Budgets stay apart.
    pub fn hear(&mut self, lessons: &[&Lesson], sites: &mut CallSites, now: Timestamp) {
        if let Inner::Sites(sampler) = &mut self.inner {
            let lessons: Vec<&SiteLesson> = lessons.iter().map(|lesson| &lesson.0).collect();
            sampler.hear(&lessons, sites, now);
        }
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        match &self.inner {
            Inner::Sites(sites) => sites.stats(),
            Inner::Scale(scale) => scale.stats,
        }
    }
}

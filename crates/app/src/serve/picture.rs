//! What a shard shows of itself, and the sum of all shards.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_analyzer::statistics::Statistics;
use spanwise_api::{ModelState, Site};
use spanwise_model::{CallSite, CallSiteId, CallSites, SiteStats, SpanKind, Timestamp};
use spanwise_sampler::SiteState;
use spanwise_sampler::trace::{Algorithm, Ledger};

use crate::config::TraceMode;
use crate::pipeline::core::{Core, Counters, Uncounted};
use crate::pipeline::traces::{self, Stage};

/// A look at a core, or at several.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) counters: Counters,
    /// Spans that rules did not count.
    pub(super) uncounted: Uncounted,
    pub(super) open: spanwise_assembler::Stats,
    pub(super) sampler: spanwise_sampler::Stats,
    /// Bytes that the stage of whole traces holds.
    pub(super) held_bytes: u64,
    /// Call sites in order of their numbers.
    pub(super) sites: Vec<Site>,
    /// The commonest names beyond the bounds of the dictionary.
    pub(super) overflow: Vec<(String, u64)>,
    pub(super) stage: Option<StagePicture>,
    /// What the figures of sites come from, where they are to be added up; numbers are those of `ids`.
    statistics: Option<(Statistics, Vec<CallSiteId>)>,
}

/// A look at the stage of whole traces.
#[derive(Clone, Debug)]
pub(super) struct StagePicture {
    pub(super) algorithm: Algorithm,
    pub(super) mode: TraceMode,
    pub(super) counters: traces::Counters,
    pub(super) sampler: spanwise_sampler::trace::Stats,
    /// Budget, traces seen, traces it would have kept.
    pub(super) shadows: Vec<(String, u64, u64)>,
    /// The account of all shards.
    pub(super) ledger: Ledger,
}

impl Picture {
    /// The only core there is.
    pub(super) fn of(core: &Core, now: Timestamp) -> Self {
        let mut stats = Vec::new();
        core.statistics().snapshot(now, &mut stats);
        Self { sites: sites(core.sites(), stats, models(core)), ..Self::counts(core) }
    }

    /// One core of several.
    pub(super) fn part(core: &Core) -> Self {
        let ids = core.sites().iter().map(|(id, _)| id).collect();
        let statistics = Some((core.statistics().clone(), ids));
        Self {
            sites: sites(core.sites(), Vec::new(), models(core)),
            statistics,
            ..Self::counts(core)
        }
    }

    fn counts(core: &Core) -> Self {
        let overflow = core.sites().overflow_names();
        Self {
            counters: core.counters(),
            uncounted: core.uncounted(),
            open: core.assembler().stats(),
            sampler: core.sampler().stats(),
            held_bytes: core.traces().map_or(0, Stage::held_bytes),
            sites: Vec::new(),
            overflow: overflow.map(|(name, count)| (name.to_owned(), count)).collect(),
            stage: core.traces().map(StagePicture::of),
            statistics: None,
        }
    }

    /// All cores as one; `None` until each has shown something. Sites are told apart by name.
    pub(super) fn sum(parts: &[Option<Self>], now: Timestamp) -> Option<Self> {
        let parts: Vec<&Self> = parts.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let mut sum = Self { statistics: None, sites: Vec::new(), ..(*parts.first()?).clone() };
        let mut numbers: FxHashMap<(Arc<str>, Arc<str>, SpanKind), CallSiteId> =
            FxHashMap::default();
        let mut statistics = Statistics::default();
        for (nth, part) in parts.into_iter().enumerate() {
            if nth > 0 {
                sum.add(part);
            }
            let Some((theirs, ids)) = &part.statistics else { continue };
            for (site, &id) in part.sites.iter().zip(ids) {
                let CallSite { service, operation, kind, .. } = &*site.site;
                let next = CallSiteId(numbers.len() as u32);
                let names = (Arc::clone(service), Arc::clone(operation), *kind);
                let number = *numbers.entry(names).or_insert(next);
                statistics.absorb((theirs, id), number);
                match sum.sites.get_mut(number.idx()) {
                    Some(known) if known.model.is_none() => known.model.clone_from(&site.model),
                    Some(_) => {}
                    None => sum.sites.push(Site { stats: None, ..site.clone() }),
                }
            }
        }
        for (number, site) in (0..).map(CallSiteId).zip(&mut sum.sites) {
            site.stats = statistics.site(number, now);
        }
        Some(sum)
    }

    fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        let (uncounted, more) = (&mut self.uncounted, other.uncounted);
        uncounted.n_invalid_time += more.n_invalid_time;
        uncounted.n_late += more.n_late;
        uncounted.n_ahead += more.n_ahead;
        uncounted.n_long_lived += more.n_long_lived;
        uncounted.n_dropped += more.n_dropped;
        let (open, more) = (&mut self.open, &other.open);
        open.n_open_traces += more.n_open_traces;
        open.n_open_spans += more.n_open_spans;
        open.bytes += more.bytes;
        open.n_closed_evicted += more.n_closed_evicted;
        open.n_closed_full += more.n_closed_full;
        open.n_duplicates += more.n_duplicates;
        open.n_lightened += more.n_lightened;
        let (sampler, more) = (&mut self.sampler, &other.sampler);
        sampler.n_seen += more.n_seen;
        sampler.n_kept_early += more.n_kept_early;
        sampler.n_kept_late += more.n_kept_late;
        sampler.heap_bytes += more.heap_bytes;
        // Each knows what all know.
        sampler.n_warm = sampler.n_warm.max(more.n_warm);
        sampler.calibration_ks = sampler.calibration_ks.max(more.calibration_ks);
        self.held_bytes += other.held_bytes;
        for (name, count) in &other.overflow {
            match self.overflow.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += count,
                None => self.overflow.push((name.clone(), *count)),
            }
        }
        if let (Some(stage), Some(more)) = (&mut self.stage, &other.stage) {
            stage.add(more);
        }
    }
}

impl StagePicture {
    fn of(stage: &Stage) -> Self {
        let shadows = stage.shadows().iter();
        Self {
            algorithm: stage.algorithm(),
            mode: stage.mode(),
            counters: stage.counters(),
            sampler: stage.sampler_stats(),
            shadows: shadows.map(|one| (one.name.clone(), one.n_seen, one.n_kept)).collect(),
            ledger: stage.ledger().clone(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        let (counters, more) = (&mut self.sampler.counters, other.sampler.counters);
        counters.n_seen += more.n_seen;
        counters.n_kept += more.n_kept;
        counters.n_promoted += more.n_promoted;
        counters.n_given_up += more.n_given_up;
        counters.n_budget_exhausted += more.n_budget_exhausted;
        self.sampler.n_held += other.sampler.n_held;
        for (shadow, more) in self.shadows.iter_mut().zip(&other.shadows) {
            shadow.1 += more.1;
            shadow.2 += more.2;
        }
    }
}

/// Call sites with their figures and models.
pub(super) fn sites(
    sites: &CallSites,
    mut stats: Vec<SiteStats>,
    model: impl Fn(CallSiteId) -> Option<ModelState>,
) -> Vec<Site> {
    stats.sort_by_key(|stats| stats.site);
    let find =
        |id| stats.binary_search_by_key(&id, |stats| stats.site).ok().map(|idx| stats[idx].clone());
    sites
        .iter()
        .map(|(id, site)| Site { site: Arc::clone(site), stats: find(id), model: model(id) })
        .collect()
}

fn models(core: &Core) -> impl Fn(CallSiteId) -> Option<ModelState> {
    |id| core.sampler().site(id).map(|view| model_state(&view))
}

fn model_state(view: &spanwise_sampler::SiteView) -> ModelState {
    ModelState {
        ready: view.state != SiteState::Cold,
        n_spans: view.n_spans,
        median_ns: view.self_time.median_ns,
        p99_ns: view.self_time.p99_ns,
        window_age_ns: view.last_seen.since(view.first_seen),
    }
}

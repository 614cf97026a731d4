//! Where the models are kept: found by number, made on first sight, bounded, merged.

use spanwise_model::{CallSiteId, ServiceId, SpanFlags, SpanHead, Timestamp};

use super::SiteSampler;
use crate::pool::Pools;
use crate::site::Site;

/// How many models are looked at to find one to make room.
const N_EVICTION_CANDIDATES: usize = 64;

impl SiteSampler {
    pub(crate) fn site(&self, id: CallSiteId) -> Option<&Site> {
        self.sites.get(id.idx())?.as_deref()
    }

    pub(crate) fn forget(&mut self, id: CallSiteId) {
        if let Some(site) = self.sites.get_mut(id.idx()).and_then(Option::take) {
            self.stats.n_models -= 1;
            self.stats.n_warm -= u64::from(!site.dur.is_cold());
            self.leave(site.service);
        }
    }

    /// A service has one call site less; with the last one go its pools, which no snapshot could
    /// name any more.
    fn leave(&mut self, service: ServiceId) {
        let idx = service.0 as usize;
        let Some(n_sites) = self.n_sites.get_mut(idx) else { return };
        *n_sites = n_sites.saturating_sub(1);
        if *n_sites == 0 && self.services.get_mut(idx).and_then(Option::take).is_some() {
            self.n_services -= 1;
        }
    }

    /// Puts a restored model in place.
    pub(crate) fn place(&mut self, id: CallSiteId, site: Box<Site>) {
        self.forget(id);
        self.make_room();
        if self.sites.len() <= id.idx() {
            self.sites.resize_with(id.idx() + 1, || None);
        }
        self.stats.n_models += 1;
        self.stats.n_warm += u64::from(!site.dur.is_cold());
        if site.service != ServiceId::UNSET {
            let idx = site.service.0 as usize;
            if self.n_sites.len() <= idx {
                self.n_sites.resize(idx + 1, 0);
            }
            self.n_sites[idx] += 1;
        }
        self.sites[id.idx()] = Some(site);
    }

    pub(crate) fn service(&self, id: ServiceId) -> Option<&Pools> {
        self.services.get(id.0 as usize)?.as_deref()
    }

    /// Puts a restored service in place.
    pub(crate) fn place_service(&mut self, id: ServiceId, pools: Box<Pools>) {
        self.ensure_service(id);
        if let Some(Some(slot)) = self.services.get_mut(id.0 as usize) {
            *slot = pools;
        }
    }

    pub(crate) fn merge_service(&mut self, id: ServiceId, other: &Pools) {
        self.ensure_service(id);
        if let Some(pools) = pools_of(&mut self.services, id) {
            pools.merge(other);
        }
    }

    /// Makes the pools of a service if there is room: as many as there may be models.
    pub(super) fn ensure_service(&mut self, id: ServiceId) {
        if id == ServiceId::UNSET {
            return;
        }
        let idx = id.0 as usize;
        if self.services.len() <= idx {
            self.services.resize_with(idx + 1, || None);
        }
        if self.services[idx].is_none() && self.n_services < self.config.n_models_max as usize {
            self.n_services += 1;
            self.services[idx] = Some(Box::new(Pools::new()));
        }
    }

    pub(crate) fn merge_site(&mut self, id: CallSiteId, other: Box<Site>) {
        let (dur_policy, own_policy) = (self.policy(false), self.policy(true));
        let Some(Some(site)) = self.sites.get_mut(id.idx()) else {
            self.place(id, other);
            return;
        };
        self.stats.n_warm += u64::from(site.dur.is_cold() && !other.dur.is_cold());
        site.dur.merge(&other.dur, &mut self.builder, dur_policy);
        site.own.merge(&other.own, &mut self.builder, own_policy);
        site.n_spans += other.n_spans;
        site.first_seen = site.first_seen.min(other.first_seen);
        site.last_seen = site.last_seen.max(other.last_seen);
    }

    /// Makes the site's model unless it is there; `None` for a span that was never interned.
    pub(super) fn ensure_site(&mut self, head: &SpanHead, now: Timestamp) -> Option<()> {
        if head.site == CallSiteId::UNSET {
            return None;
        }
        if !matches!(self.sites.get(head.site.idx()), Some(Some(_))) {
            let is_overflow = head.flags.contains(SpanFlags::OVERFLOW_SITE);
            self.place(head.site, Box::new(Site::new(head.service, is_overflow, now)));
        }
        Some(())
    }

    /// Below the bound on models: of 64 models in turn the one not seen for longest goes.
    fn make_room(&mut self) {
        if self.stats.n_models < u64::from(self.config.n_models_max) {
            return;
        }
        let n_sites = self.sites.len();
        let mut oldest: Option<(Timestamp, usize)> = None;
        let mut n_found = 0;
        for step in 0..n_sites {
            let idx = (self.eviction_hand + step) % n_sites;
            let Some(site) = &self.sites[idx] else { continue };
            if oldest.is_none_or(|(seen, _)| site.last_seen < seen) {
                oldest = Some((site.last_seen, idx));
            }
            n_found += 1;
            if n_found == N_EVICTION_CANDIDATES {
                self.eviction_hand = idx + 1;
                break;
            }
        }
        if let Some((_, idx)) = oldest {
            self.forget(CallSiteId(idx as u32));
            self.stats.n_evicted += 1;
        }
    }
}

pub(super) fn pools_of(services: &mut [Option<Box<Pools>>], id: ServiceId) -> Option<&mut Pools> {
    services.get_mut(id.0 as usize)?.as_deref_mut()
}

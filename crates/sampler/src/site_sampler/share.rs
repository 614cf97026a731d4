//! What shards tell each other, so that each knows what all have seen.
//!
//! A shard sees its part of the traces and would learn that many times slower. So each tells the
//! others, about once a second, how many spans of each call site fell into which bin: counts of equal
//! grids add, exactly, and a window is full when all shards together have filled it. Every shard then
//! flips its own copy. Nobody waits, nothing is shared while spans are scored.

use std::sync::Arc;

use spanwise_model::{CallSite, CallSiteId, CallSites, Timestamp};

use super::SiteSampler;
use crate::crowd::Bucket;
use crate::latency::LatencyNews;
use crate::site::Site;
use crate::tail::TailNews;

/// What one shard has seen since it last told the others, call sites by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SiteLesson {
    sites: Vec<SiteNews>,
    arrival: TailNews,
    close: TailNews,
}

#[derive(Clone, Debug)]
struct SiteNews {
    site: Arc<CallSite>,
    dur: LatencyNews,
    own: LatencyNews,
    crowd: Bucket,
}

impl SiteSampler {
    /// Takes what others do not know yet. Overflow sites stand for other names elsewhere: they are
    /// left out.
    pub(crate) fn lesson(&mut self, names: &CallSites) -> SiteLesson {
        let mut lesson = SiteLesson {
            arrival: self.arrival_tails.news(),
            close: self.close_tails.news(),
            ..SiteLesson::default()
        };
        for (id, site) in (0..).map(CallSiteId).zip(&mut self.sites) {
            let Some(site) = site else { continue };
            let (dur, own, crowd) = (site.dur.news(), site.own.news(), site.crowd.news());
            if (dur.is_empty() && own.is_empty()) || site.is_overflow {
                continue;
            }
            lesson.sites.push(SiteNews { site: Arc::clone(names.get(id)), dur, own, crowd });
        }
        lesson
    }

    /// Learns what other shards have seen. A window is flipped once, however much came.
    pub(crate) fn hear(&mut self, lessons: &[&SiteLesson], names: &mut CallSites, now: Timestamp) {
        let mut touched: Vec<CallSiteId> = Vec::new();
        for lesson in lessons {
            self.arrival_tails.hear(&lesson.arrival, now);
            self.close_tails.hear(&lesson.close, now);
            for news in &lesson.sites {
                touched.extend(self.hear_site(news, names, now));
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let (dur_policy, own_policy) = (self.policy(false), self.policy(true));
        for id in touched {
            let Some(site) = self.sites[id.idx()].as_ref() else { continue };
            let (is_dur_full, is_own_full) = (site.dur.is_full(now), site.own.is_full(now));
            if is_dur_full {
                self.flip_duration(id, dur_policy, now);
            }
            if is_own_full {
                self.flip_self_time(id, own_policy, now);
            }
        }
    }

    fn hear_site(
        &mut self,
        news: &SiteNews,
        names: &mut CallSites,
        now: Timestamp,
    ) -> Option<CallSiteId> {
        let CallSite { service, operation, kind, .. } = &*news.site;
        let id = names.intern(service, operation, *kind, now);
        let known = names.get(id);
        if known.overflow {
            return None;
        }
        if !matches!(self.sites.get(id.idx()), Some(Some(_))) {
            self.place(id, Box::new(Site::new(known.service_id, false, now)));
        }
        let site = self.sites[id.idx()].as_mut()?;
        site.dur.hear(&news.dur, now);
        site.own.hear(&news.own, now);
        site.crowd.hear(news.crowd, now);
        Some(id)
    }
}

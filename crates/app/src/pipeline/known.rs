//! Call sites as the receivers see them: they look up the names of a request right after they have
//! decoded it, while its bytes are near. The worker, on another core, then needs no byte of most spans.
//!
//! What they see is a copy of the worker's dictionary, made when that has changed. A name that is not
//! in it is left to the worker, and so is a whole request if a site has retired since.

use std::sync::Arc;

use parking_lot::RwLock;
use spanwise_model::{Batch, CallSite, CallSiteId, CallSites, SpanFlags, SpanHead};

/// A copy of one shard's dictionary.
#[derive(Debug)]
pub struct Known {
    sites: RwLock<Arc<CallSites>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { sites: RwLock::new(Arc::new(CallSites::new(0, 0))) }
    }
}

impl Known {
    /// Replaces the copy if the dictionary has changed.
    pub fn follow(&self, sites: &CallSites) {
        if self.sites.read().revision() != sites.revision() {
            let copy = Arc::new(sites.clone());
            *self.sites.write() = copy;
        }
    }

    /// Gives the spans of a request the call sites that are known.
    pub fn name(&self, batch: &mut Batch) {
        let sites = Arc::clone(&self.sites.read());
        let mut spans = std::mem::take(&mut batch.spans);
        let mut folded = String::new();
        for head in &mut spans {
            if batch.is_synthetic(head) {
                continue;
            }
            let names = (batch.service_bytes(head), head.name.of(&batch.bytes));
            if let Some(id) = sites.look_up(names, head.kind, &mut folded) {
                put(head, id, sites.get(id));
            }
        }
        batch.spans = spans;
        batch.sites_epoch = sites.epoch();
    }
}

/// Writes a call site into a head.
pub(super) fn put(head: &mut SpanHead, id: CallSiteId, site: &CallSite) {
    head.site = id;
    head.service = site.service_id;
    if site.overflow {
        head.flags.insert(SpanFlags::OVERFLOW_SITE);
    }
}

#[cfg(test)]
mod tests {
    use spanwise_model::{SpanKind, Timestamp};
    use spanwise_otlp::{Limits, bench_payload, decode};

    use super::*;
    use crate::pipeline::core::intern;

    const DAY_NS: u64 = 86_400_000_000_000;

    fn batch() -> Batch {
        decode(bench_payload(1, 7).remove(0), &Limits::default()).unwrap().batch
    }

    fn sites_of(batch: &Batch) -> Vec<(CallSiteId, u32, SpanFlags)> {
        batch.spans.iter().map(|head| (head.site, head.service.0, head.flags)).collect()
    }

    #[test]
    fn names_that_are_known_need_no_second_look_up() {
        let mut sites = CallSites::new(1_000, 100);
        let mut expected = batch();
        intern(&mut expected, &mut sites, Timestamp(1));
        let known = Known::default();
        let mut named = batch();
        known.name(&mut named);
        assert!(named.spans.iter().all(|head| head.site == CallSiteId::UNSET));
        known.follow(&sites);
        known.name(&mut named);
        assert_eq!(sites_of(&named), sites_of(&expected));
        // Without its bytes nothing could be looked up any more.
        named.bytes = bytes::Bytes::new();
        intern(&mut named, &mut sites, Timestamp(2));
        assert_eq!(sites_of(&named), sites_of(&expected));
        assert_eq!(sites.last_seen(named.spans[0].site), Timestamp(2));
    }

    #[test]
    fn a_site_that_was_looked_up_and_then_retired_is_looked_up_again() {
        let mut sites = CallSites::new(1_000, 100);
        intern(&mut batch(), &mut sites, Timestamp(1));
        let known = Known::default();
        known.follow(&sites);
        let mut named = batch();
        known.name(&mut named);
        let mut retired = Vec::new();
        sites.expire(Timestamp(DAY_NS), DAY_NS / 4, &mut retired);
        assert!(retired.contains(&named.spans[0].site));
        // The number names somebody else now.
        let other = sites.intern("other", "site", SpanKind::Server, Timestamp(2 * DAY_NS));
        assert!(retired.contains(&other));
        intern(&mut named, &mut sites, Timestamp(2 * DAY_NS));
        for head in &named.spans {
            let site = sites.get(head.site);
            assert_ne!(head.site, other);
            assert_eq!((&*site.service, site.kind), (named.service(head), head.kind));
        }
    }
}

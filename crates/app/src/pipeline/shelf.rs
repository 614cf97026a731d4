//! Recent kept traces for people: what is known of each and a copy of its spans, bounded in number,
//! in bytes and in traces a second.

use std::collections::VecDeque;
use std::sync::Arc;

use spanwise_api::KeptTrace as Shown;
use spanwise_model::{CallSites, SpanFlags, StatusCode, Timestamp};

use super::traces::{KeptTrace, pack};

/// Traces at once.
const N_MAX: usize = 1_000;
/// Bytes of their spans at once.
const BYTES_MAX: usize = 16 << 20;
/// Traces shelved in one second; a flood is sent and counted, not shown.
const N_PER_S_MAX: u32 = 200;
/// A larger trace is shown without its spans.
const TRACE_BYTES_MAX: u64 = 4 << 20;

/// The recent ones.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    traces: VecDeque<Arc<Shown>>,
    n_bytes: usize,
    last_seq: u64,
    second: u64,
    n_in_second: u32,
}

impl Shelf {
    pub(super) fn put(&mut self, kept: &KeptTrace, sites: &CallSites, now: Timestamp) {
        if self.second != now.as_secs() {
            (self.second, self.n_in_second) = (now.as_secs(), 0);
        }
        self.n_in_second += 1;
        self.last_seq += 1;
        if self.n_in_second > N_PER_S_MAX {
            return;
        }
        let shown = shown(self.last_seq, kept, sites);
        self.n_bytes += shown.request.len();
        self.traces.push_back(Arc::new(shown));
        while self.traces.len() > N_MAX || self.n_bytes > BYTES_MAX {
            let Some(oldest) = self.traces.pop_front() else { break };
            self.n_bytes -= oldest.request.len();
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Shown>> {
        self.traces.iter().cloned().collect()
    }
}

fn shown(seq: u64, kept: &KeptTrace, sites: &CallSites) -> Shown {
    let is_small = kept.n_bytes() <= TRACE_BYTES_MAX;
    let packs = if is_small { pack(std::slice::from_ref(kept), sites, true) } else { Vec::new() };
    // Requests behind one another are one request.
    let request = packs.iter().map(|pack| &pack.bytes[..]).collect::<Vec<_>>().concat().into();
    let heads = || kept.refs().map(|span| span.head());
    let valid = || heads().filter(|head| !head.flags.contains(SpanFlags::INVALID_TIME));
    let start = valid().map(|head| head.start).min();
    let end = valid().map(|head| head.end).max();
    let mut services: Vec<Arc<str>> =
        heads().map(|head| Arc::clone(&sites.get(head.site).service)).collect();
    services.sort_unstable();
    services.dedup();
    let root = kept.refs().nth(kept.root);
    let site = root.map(|root| sites.get(root.head().site));
    let why = &kept.why;
    Shown {
        seq,
        at: kept.at,
        trace_id: kept.trace_id,
        service: site.map_or_else(|| Arc::from(""), |site| Arc::clone(&site.service)),
        operation: site.map_or_else(|| Arc::from(""), |site| Arc::clone(&site.operation)),
        start: start.unwrap_or_default(),
        duration_ns: start.zip(end).map(|(start, end)| end.since(start)),
        n_spans: kept.spans.len() as u32,
        services,
        n_errors: heads().filter(|head| head.status == StatusCode::Error).count() as u32,
        reason: why.reason,
        score: why.score(),
        tail: why.tail,
        cluster: why.cluster(),
        rule: kept.policy.as_deref().map(str::to_owned).or_else(|| why.rule(sites)),
        late: why.late,
        decision: why.decision.map(super::traces::Decision::as_str),
        request,
    }
}

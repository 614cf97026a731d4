//! Counts, for every rule, the spans that breach it: on all spans, before and independent of any
//! sampling (SCALE eq. 4, left side).
//!
//! `total` is counted when a span arrives, everything else when its trace has closed and self time
//! and gap exist. What a rule covers is resolved once per call site, so a span costs one look-up in
//! a table; nothing is allocated per span in steady state. Counts are kept per rule and second of
//! the spans' end times until [`Predicates::drain`].
//!
//! Never a trigger: spans with invalid times, overflow sites, and, unless the rule says
//! `kind: consumer`, consumer, streaming and batch spans (a root with links that is not a server
//! handles many messages at once): their duration says nothing about latency.

use std::sync::Arc;

use spanwise_model::{
    AttributeSource, CallSiteId, CallSites, ClosedSpan, ClosedTrace, RuleCount, SpanFlags,
    SpanHead, SpanKind, SpanRef, StatusCode, Timestamp,
};

use super::compile::{Rule, RuleSet};
use super::config::{CountOn, Metric, Status};
use super::floor::Floors;
use super::hash::stable_hash;
use super::tally::{Tally, weight};
use super::windows::oldest_s;

/// Spans that ended longer ago are not counted.
pub const EVENT_AGE_NS_MAX: u64 = 3_600 * 1_000_000_000;
/// Spans that end later than this after now are not counted.
pub const EVENT_AHEAD_NS_MAX: u64 = 120 * 1_000_000_000;
/// Seconds one rule may have open between two drains. With a drain a second only forged end times
/// need more: the oldest second then makes room, and the next drain reports what went with it.
const OPEN_SECONDS_MAX: usize = 256;
/// Example spans per rule and window that should travel with the counts.
const EXAMPLES_MAX: u32 = 100;

/// What predicates need to know beside the span.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The dictionary the spans' call sites are numbered by.
    pub sites: &'a CallSites,
    /// Reads attributes of spans; called only for breaches of rules that ask for attributes.
    pub attributes: &'a dyn AttributeSource,
    /// Now.
    pub now: Timestamp,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What became of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Rules it breached.
    pub n_breached: u32,
    /// Whether it should travel with the counts as an example, whatever the budget: it breached a
    /// rule that has sent fewer than 100 examples in its current window.
    pub is_example: bool,
}

/// What predicates counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredicateStats {
    /// Spans looked at because a rule covers their call site, once per rule.
    pub n_evaluated: u64,
    /// Breaches.
    pub n_breaches: u64,
    /// Spans with invalid times.
    pub n_invalid_time: u64,
    /// Spans that ended longer ago than the rule's window and two minutes, or an hour, once per
    /// rule.
    pub n_late: u64,
    /// Spans that end more than two minutes from now.
    pub n_ahead: u64,
    /// Consumer, streaming and batch spans that a rule would cover otherwise.
    pub n_not_triggering: u64,
    /// Spans whose counts were dropped because a rule had too many seconds open.
    pub n_dropped: u64,
    /// Gaps taken without a floor because too many edges are known.
    pub n_without_floor: u64,
}

/// The counting side of rules.
#[derive(Clone, Debug)]
pub struct Predicates {
    rules: Arc<RuleSet>,
    /// Rules per call site, by its id; `None` until the site was met.
    sites: Vec<Option<Covering>>,
    counters: Vec<Counter>,
    floors: Floors,
    stats: PredicateStats,
    n_dropped_at_drain: u64,
}

/// Indices of the rules that cover a call site.
#[derive(Clone, Debug, Default)]
struct Covering {
    on_arrival: Box<[u32]>,
    on_close: Box<[u32]>,
    needs: Needs,
}

/// What the rules of a call site need: nothing, for most sites.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    on_arrival: bool,
    on_close: bool,
    gap: bool,
}

/// What one rule counted since the last drain, by second; reused from drain to drain.
#[derive(Clone, Debug, Default)]
struct Counter {
    open: Vec<Slot>,
    n_open: usize,
    examples_since: Timestamp,
    n_examples: u32,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    second: u64,
    /// The site of the tally's `call_site`, so that names are cloned once per slot and site.
    site: CallSiteId,
    tally: Tally,
}

/// A span with the figures rules compare.
struct Measured<'a> {
    span: SpanRef<'a>,
    second: u64,
    instance: u64,
    duration_ns: u64,
    self_ns: u64,
    gap_ns: Option<u64>,
    floor_ns: u64,
    is_sampled: bool,
}

impl Predicates {
    /// Counters for a rule set, all at zero.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let counters = vec![Counter::default(); rules.len()];
        Self {
            rules,
            sites: Vec::new(),
            counters,
            floors: Floors::default(),
            stats: PredicateStats::default(),
            n_dropped_at_drain: 0,
        }
    }

    /// The rules that are counted for.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// A span arrived. Counts rules on `total` over all spans.
    pub fn arrived(&mut self, span: SpanRef<'_>, ctx: &Context<'_>) -> Matched {
        let head = span.head();
        if !self.resolve(head.site, ctx.sites).on_arrival {
            return Matched::default();
        }
        let Some((duration_ns, second)) = self.judge_time(head, ctx.now) else {
            return Matched::default();
        };
        let measured = Measured {
            span,
            second,
            instance: stable_hash(span.batch.instance(head)),
            duration_ns,
            self_ns: duration_ns,
            gap_ns: None,
            floor_ns: 0,
            is_sampled: false,
        };
        self.count(&measured, true, ctx)
    }

    /// The trace of a span closed. Counts all other rules. `span` is one of `trace.spans`;
    /// `is_sampled` says whether the sampler kept it, early or now.
    pub fn closed(
        &mut self,
        span: &ClosedSpan,
        trace: &ClosedTrace,
        is_sampled: bool,
        ctx: &Context<'_>,
    ) -> Matched {
        let head = span.head();
        let needs = self.resolve(head.site, ctx.sites);
        if !needs.on_close {
            return Matched::default();
        }
        let Some((duration_ns, second)) = self.judge_time(head, ctx.now) else {
            return Matched::default();
        };
        let floor_ns = if needs.gap { self.floor(span, trace) } else { 0 };
        let measured = Measured {
            span: span.span_ref(),
            second,
            instance: stable_hash(span.batch.instance(head)),
            duration_ns,
            // Own work of an entry span; equal to the self time of any other.
            self_ns: span.own_ns,
            gap_ns: span.gap_ns,
            floor_ns,
            is_sampled,
        };
        self.count(&measured, false, ctx)
    }

    /// Whether a span whose attributes are not at hand cannot be counted.
    pub fn asks_for_attributes(&self) -> bool {
        self.rules.rules().iter().any(|rule| !rule.attributes.is_empty())
    }

    /// Moves what was counted since the last drain to `out`, ordered by rule and second. Returns
    /// how many spans' counts were dropped meanwhile; if that is not 0, tell
    /// [`RuleWindows::mark_hole`](super::RuleWindows::mark_hole). Call it about once a second.
    #[must_use = "dropped counts leave a hole in the windows, which must be marked"]
    pub fn drain(&mut self, out: &mut Vec<RuleCount>) -> u64 {
        for (rule_idx, counter) in (0_u32..).zip(&mut self.counters) {
            let open = &mut counter.open[..counter.n_open];
            open.sort_unstable_by_key(|slot| slot.second);
            out.extend(open.iter().map(|slot| slot.tally.to_count(rule_idx, slot.second)));
            counter.n_open = 0;
        }
        let n_dropped = self.stats.n_dropped - self.n_dropped_at_drain;
        self.n_dropped_at_drain = self.stats.n_dropped;
        n_dropped
    }

    /// Forgets what belongs to a retired call site, whose id may come back as another site.
    pub fn forget(&mut self, site: CallSiteId) {
        if let Some(covering) = self.sites.get_mut(site.idx()) {
            *covering = None;
        }
        self.floors.forget(site);
    }

    /// What was counted since the start.
    pub fn stats(&self) -> PredicateStats {
        PredicateStats { n_without_floor: self.floors.n_refused(), ..self.stats }
    }

    /// What the rules of a site need; finds them the first time the site is met.
    fn resolve(&mut self, site: CallSiteId, sites: &CallSites) -> Needs {
        if let Some(Some(covering)) = self.sites.get(site.idx()) {
            return covering.needs;
        }
        if self.rules.is_empty() || site.idx() >= sites.id_bound() {
            return Needs::default();
        }
        let call_site = sites.get(site);
        let (mut on_arrival, mut on_close) = (Vec::new(), Vec::new());
        let mut gap = false;
        for (rule_idx, rule) in (0_u32..).zip(self.rules.rules()) {
            if !rule.covers(call_site) {
                continue;
            }
            if rule.decides_on_arrival() {
                on_arrival.push(rule_idx);
            } else {
                gap |= matches!(rule.metric, Metric::Gap | Metric::SelfAndGap);
                on_close.push(rule_idx);
            }
        }
        let needs =
            Needs { on_arrival: !on_arrival.is_empty(), on_close: !on_close.is_empty(), gap };
        if self.sites.len() <= site.idx() {
            self.sites.resize(sites.id_bound(), None);
        }
        let (on_arrival, on_close) = (Box::from(on_arrival), Box::from(on_close));
        self.sites[site.idx()] = Some(Covering { on_arrival, on_close, needs });
        needs
    }

    /// Duration and second of the end, if the span may be counted at all.
    fn judge_time(&mut self, head: &SpanHead, now: Timestamp) -> Option<(u64, u64)> {
        let Some(duration_ns) = head.duration_ns() else {
            self.stats.n_invalid_time += 1;
            return None;
        };
        if now.since(head.end) > EVENT_AGE_NS_MAX {
            self.stats.n_late += 1;
            return None;
        }
        if head.end.since(now) > EVENT_AHEAD_NS_MAX {
            self.stats.n_ahead += 1;
            return None;
        }
        Some((duration_ns, head.end.as_secs()))
    }

    /// What the way from the caller usually takes; learns from this span.
    fn floor(&mut self, span: &ClosedSpan, trace: &ClosedTrace) -> u64 {
        let parent = usize::try_from(span.parent).ok().and_then(|idx| trace.spans.get(idx));
        match (span.gap_ns, parent) {
            (Some(gap_ns), Some(parent)) => {
                self.floors.learn(parent.head().site, span.head().site, gap_ns)
            }
            _ => 0,
        }
    }

    fn count(&mut self, measured: &Measured<'_>, on_arrival: bool, ctx: &Context<'_>) -> Matched {
        let head = measured.span.head();
        let Some(Some(covering)) = self.sites.get(head.site.idx()) else {
            return Matched::default();
        };
        let rules = if on_arrival { &covering.on_arrival } else { &covering.on_close };
        let mut matched = Matched::default();
        for &rule_idx in rules {
            let rule = &self.rules.rules()[rule_idx as usize];
            if is_long_lived(head) && !rule.admits_streaming() {
                self.stats.n_not_triggering += 1;
                continue;
            }
            // No window can reach it any more: it must not take the room of one that counts.
            if measured.second < oldest_s(rule, ctx.now.as_secs()) {
                self.stats.n_late += 1;
                continue;
            }
            self.stats.n_evaluated += 1;
            let counter = &mut self.counters[rule_idx as usize];
            let Some(slot) = counter.slot(measured.second, &mut self.stats.n_dropped) else {
                continue;
            };
            slot.tally.n_spans += 1;
            slot.tally.instances.insert(measured.instance);
            if !breaches(rule, measured, ctx) {
                continue;
            }
            slot.add_breach(measured, ctx.sites);
            self.stats.n_breaches += 1;
            matched.n_breached += 1;
            matched.is_example |= counter.take_example(rule, ctx.now);
        }
        matched
    }
}

impl Counter {
    /// The slot of a second, opened if it is not. With no room the oldest second is given up, maybe
    /// this one; `n_dropped` grows by its spans.
    fn slot(&mut self, second: u64, n_dropped: &mut u64) -> Option<&mut Slot> {
        let open = &self.open[..self.n_open];
        // The newest second stands last and is nearly always the one.
        if let Some(at) = open.iter().rposition(|slot| slot.second == second) {
            return self.open.get_mut(at);
        }
        if self.n_open < OPEN_SECONDS_MAX {
            if self.n_open == self.open.len() {
                self.open.push(Slot::default());
            }
            let slot = &mut self.open[self.n_open];
            *slot = Slot { second, ..Slot::default() };
            self.n_open += 1;
            return Some(slot);
        }
        let oldest = self.open.iter_mut().min_by_key(|slot| slot.second)?;
        if oldest.second > second {
            *n_dropped += 1;
            return None;
        }
        *n_dropped += oldest.tally.n_spans;
        *oldest = Slot { second, ..Slot::default() };
        Some(oldest)
    }

    fn take_example(&mut self, rule: &Rule, now: Timestamp) -> bool {
        if now.since(self.examples_since) >= rule.window_ns() {
            self.examples_since = now;
            self.n_examples = 0;
        }
        let room = self.n_examples < EXAMPLES_MAX;
        self.n_examples += u32::from(room);
        room
    }
}

impl Slot {
    fn add_breach(&mut self, measured: &Measured<'_>, sites: &CallSites) {
        let head = measured.span.head();
        self.tally.n_breaches += 1;
        self.tally.breaches += weight(head);
        self.tally.breaching_instances.insert(measured.instance);
        self.tally.trace_ids.insert(head.trace_id);
        if self.site != head.site {
            self.site = head.site;
            let site = sites.get(head.site);
            self.tally.merge_site(&(Arc::clone(&site.service), Arc::clone(&site.operation)));
        }
    }
}

/// Whether the span breaches the rule: cheapest comparison first, attributes last.
fn breaches(rule: &Rule, measured: &Measured<'_>, ctx: &Context<'_>) -> bool {
    let head = measured.span.head();
    if rule.count_on == CountOn::Sampled && !measured.is_sampled {
        return false;
    }
    let floor_ns = measured.floor_ns.min(rule.over_ns / 2);
    let gap_ns = measured.gap_ns.unwrap_or(0).saturating_sub(floor_ns);
    let value_ns = match rule.metric {
        Metric::Total => measured.duration_ns,
        Metric::SelfTime => measured.self_ns,
        Metric::Gap => gap_ns,
        Metric::SelfAndGap => measured.self_ns.saturating_add(gap_ns),
    };
    if value_ns <= rule.over_ns {
        return false;
    }
    let status = match rule.status {
        Status::Any => true,
        Status::Error => head.status == StatusCode::Error,
        Status::Ok => head.status != StatusCode::Error,
    };
    let SpanRef { batch, span_idx } = measured.span;
    status
        && rule
            .attributes
            .iter()
            .all(|(key, value)| value.equals(ctx.attributes.attribute(batch, span_idx, key)))
}

/// A span that lives as long as a stream or handles a batch of messages. A SERVER root with links
/// is neither: public endpoints start a new trace and link to the caller's.
fn is_long_lived(head: &SpanHead) -> bool {
    let batch = head.is_root()
        && head.flags.contains(SpanFlags::HAS_LINKS)
        && head.kind != SpanKind::Server;
    batch || head.flags.contains(SpanFlags::STREAMING)
}

//! Whole traces: judged when they close, kept within the budget, and followed by what comes late.
//!
//! Synchronous like the rest of the core. It holds no bytes of open traces, the window does; it does
//! hold a copy of each trace that waits for budget, and the latest requests, from which a dropped
//! trace is promoted when a late span turns out to be an anomaly.

mod kept;
mod late;
mod recent;
mod shadow;
mod stamp;

use std::sync::Arc;

use anyhow::Result;
use rustc_hash::FxHashMap;
use spanwise_assembler::{Decided, Known, LateConfig, Note};
use spanwise_model::{
    Batch, CallSiteId, CallSites, ClosedTrace, SpanFields as _, Timestamp, TraceId,
};
use spanwise_otlp::{Limits, WireAttributes, explicit_randomness};
use spanwise_sampler::trace::policy::{Payment, PolicySet, Ruling};
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Ledger, Reason, Settled, Stats, Subject, Ticket, TraceSampler,
    Verdict,
};
use spanwise_sampler::{Budget as Rate, CloseScores};

use super::stored::{Filled, Placed, ReadBack, copy_of, cut_out, fill, heap_bytes};
use crate::config::{TraceMode, Traces};

pub use kept::{Decision, KeptTrace, Pack, Why, pack};
pub use late::LateCounters;
use recent::Recent;
pub use shadow::Shadow;

/// What a trace that waits for budget counts as: less unusual than those that got it.
const WAITING_TAIL: f64 = 0.5;

/// Settings of the stage.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sampler and budgets.
    pub traces: Traces,
    /// Bytes of the latest requests that are held for promotions.
    pub recent_bytes: u64,
    /// Verdicts are listed for a log.
    pub is_logged: bool,
    /// The accounts of all shards.
    pub accounts: Accounts,
    /// Shards that share the traces; bytes, and what may wait, are those of one.
    pub n_shards: u32,
}

/// What all shards keep to together: the ledger of keeps, and one for each budget that is only counted.
#[derive(Clone, Debug)]
pub struct Accounts {
    kept: Ledger,
    shadows: Vec<Ledger>,
}

/// What a stage has learned since it last told the other shards: its sampler, and each of the shadows.
#[derive(Clone, Debug)]
pub struct Lesson(Vec<spanwise_sampler::trace::Lesson>);

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Traces judged.
    pub n_seen: u64,
    /// Traces kept, promoted ones included.
    pub n_kept: u64,
    /// Traces dropped.
    pub n_dropped: u64,
    /// Spans of kept traces, late ones included.
    pub n_kept_spans: u64,
    /// Raw bytes of these spans.
    pub n_kept_bytes: u64,
    /// What came late.
    pub late: LateCounters,
}

/// A verdict for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicted {
    /// Which trace.
    pub trace_id: TraceId,
    /// Spans of the trace in requests up to this number have gone into it.
    pub through: u64,
    /// Kept with this; `None` = dropped.
    pub kept: Option<Note>,
}

/// A trace that waits for budget.
#[derive(Debug)]
struct Parked {
    trace_id: TraceId,
    /// Heads alone where the span log has the bytes, else a copy: its requests would hold many others.
    spans: Vec<Placed>,
    n_bytes: u64,
    /// The log has its spans, so that a process that dies does not take it along.
    is_logged: bool,
}

/// The stage.
#[derive(Debug)]
pub struct Stage {
    config: Config,
    sampler: TraceSampler,
    policies: PolicySet,
    ledger: Ledger,
    shadows: Vec<Shadow>,
    decided: Decided,
    parked: FxHashMap<Ticket, Parked>,
    parked_ids: FxHashMap<TraceId, Ticket>,
    parked_bytes: u64,
    settled: Vec<Settled>,
    recent: Recent,
    kept: Vec<KeptTrace>,
    verdicts: Vec<Verdicted>,
    counters: Counters,
    /// Number of the last request that was taken whole.
    mark: u64,
    /// The budget allows everything.
    is_everything: bool,
}

impl Counters {
    /// Adds what another shard has counted.
    pub fn add(&mut self, other: &Self) {
        self.n_seen += other.n_seen;
        self.n_kept += other.n_kept;
        self.n_dropped += other.n_dropped;
        self.n_kept_spans += other.n_kept_spans;
        self.n_kept_bytes += other.n_kept_bytes;
        self.late.add(&other.late);
    }
}

impl Config {
    /// Settings of the only shard.
    pub fn alone(traces: Traces, recent_bytes: u64, is_logged: bool) -> Result<Self> {
        let accounts = Accounts::new(&traces)?;
        Ok(Self { traces, recent_bytes, is_logged, accounts, n_shards: 1 })
    }
}

impl Accounts {
    /// Accounts in which nothing stands yet.
    pub fn new(traces: &Traces) -> Result<Self> {
        let shadow = |budget: &Budget| Ledger::new(shadow::bound(traces.bound, *budget));
        Ok(Self {
            kept: Ledger::new(traces.bound)?,
            shadows: traces.shadow.iter().map(shadow).collect::<Result<_, _>>()?,
        })
    }
}

impl Stage {
    /// A stage that knows nothing yet.
    pub fn new(config: Config) -> Result<Self> {
        let Traces { sampler, bound, shadow: budgets, .. } = &config.traces;
        let Accounts { kept: ledger, shadows } = config.accounts.clone();
        let n_shards = config.n_shards.max(1);
        let mut sampler_config = *sampler;
        let waiting = &mut sampler_config.waiting;
        waiting.n_traces = waiting.n_traces.div_ceil(n_shards);
        waiting.n_bytes /= u64::from(n_shards);
        let shadow_config = sampler_config;
        if is_everything(*bound) {
            // Nothing waits for a budget that is always there.
            sampler_config.waiting.n_traces = 0;
        }
        let shadows = budgets.iter().zip(shadows);
        let shadow =
            |(budget, ledger): (&Budget, Ledger)| Shadow::new(shadow_config, *budget, ledger);
        Ok(Self {
            policies: config.traces.policies.set(n_shards)?,
            sampler: TraceSampler::new(sampler_config, ledger.clone())?,
            shadows: shadows.map(shadow).collect::<Result<_>>()?,
            ledger,
            decided: Decided::new(late_config(sampler.seed, n_shards)),
            parked: FxHashMap::default(),
            parked_ids: FxHashMap::default(),
            parked_bytes: 0,
            settled: Vec::new(),
            recent: Recent::new(config.recent_bytes),
            kept: Vec::new(),
            verdicts: Vec::new(),
            counters: Counters::default(),
            mark: 0,
            is_everything: is_everything(*bound),
            config,
        })
    }

    /// Holds a request for a while. Requests it lets go for that are appended to `out`.
    pub fn arrived(&mut self, batch: &Arc<Batch>, now: Timestamp, out: &mut Vec<Arc<Batch>>) {
        self.recent.push(batch, now, out);
    }

    /// Requests up to this number of a log have been taken whole; verdicts say so.
    pub fn mark(&mut self, seq: u64) {
        self.mark = seq;
    }

    /// Whether there is a verdict on a trace, so that its spans need not be waited for.
    pub fn is_decided(&mut self, id: TraceId) -> bool {
        self.parked_ids.contains_key(&id) || self.decided.find(id).is_some()
    }

    /// A trace has closed: judges it, or lets it follow an earlier verdict. `scores` are what the
    /// span sampler said of its spans; `is_anomalous` whether it kept one of them. Where the trace is
    /// kept for what it is, or waits to be, the share of traces that are at least as unusual.
    pub fn closed(
        &mut self,
        trace: &ClosedTrace,
        scores: &[CloseScores],
        is_anomalous: bool,
        sites: &CallSites,
        now: Timestamp,
    ) -> Option<f64> {
        if let Some(&ticket) = self.parked_ids.get(&trace.trace_id) {
            self.join(ticket, trace);
            return None;
        }
        match self.decided.find(trace.trace_id) {
            Some(Known::Kept(note)) => self.follow_keep(trace, note, now),
            // What is known of older drops errs once in four thousand traces: such a trace is lost. Were a
            // root judged anew for that, every late one would be: without its children it is anomalous.
            Some(Known::Dropped) => self.follow_drop(trace, is_anomalous, now),
            None => return self.judge(trace, scores, sites, now),
        }
        None
    }

    /// Brings what the last calls have settled to its end.
    pub fn settle(&mut self, now: Timestamp) {
        let mut settled = std::mem::take(&mut self.settled);
        for Settled { ticket, keep } in settled.drain(..) {
            let Some(parked) = self.parked.remove(&ticket) else { continue };
            self.parked_ids.remove(&parked.trace_id);
            self.parked_bytes -= parked.n_bytes;
            let Some(keep) = keep else {
                self.drop(parked.trace_id, parked.spans.len(), now);
                continue;
            };
            self.keep(KeptTrace::new(parked.trace_id, parked.spans, Why::kept(keep), now));
        }
        self.settled = settled;
    }

    /// Writes what the sampler has learned to `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        self.sampler.snapshot(out);
    }

    /// Reads back what a sampler with the same settings has learned.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> Result<()> {
        Ok(self.sampler.restore(bytes, now)?)
    }

    /// Takes what was learned since the last call, for the other shards.
    pub fn lesson(&mut self) -> Lesson {
        let shadows = self.shadows.iter_mut().map(Shadow::lesson);
        Lesson(std::iter::once(self.sampler.lesson()).chain(shadows).collect())
    }

    /// Learns what another shard has learned.
    pub fn hear(&mut self, lesson: &Lesson, now: Timestamp) {
        let Some((own, shadows)) = lesson.0.split_first() else { return };
        self.sampler.hear(own, now);
        for (shadow, lesson) in self.shadows.iter_mut().zip(shadows) {
            shadow.hear(lesson, now);
        }
    }

    /// The number of a retired call site may soon name another one.
    pub fn forget(&mut self, site: CallSiteId) {
        self.sampler.forget(site);
        for shadow in &mut self.shadows {
            shadow.forget(site);
        }
    }

    /// Lets time pass. Call it at least once a second, then [`Stage::settle`].
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Arc<Batch>>) {
        self.decided.tick(now);
        self.recent.tick(now, out);
        self.sampler.tick(now, &mut self.settled);
        for shadow in &mut self.shadows {
            shadow.tick(now);
        }
    }

    /// Settles what waits; call [`Stage::settle`] next. Nothing is held afterwards but verdicts.
    pub fn drain(&mut self, now: Timestamp, out: &mut Vec<Arc<Batch>>) {
        self.sampler.drain(now, &mut self.settled);
        self.recent.drain(out);
    }

    /// Takes the traces kept since the last call.
    pub fn take_kept(&mut self, out: &mut Vec<KeptTrace>) {
        out.append(&mut self.kept);
    }

    /// Takes the verdicts since the last call, if they are listed.
    pub fn take_verdicts(&mut self, out: &mut Vec<Verdicted>) {
        out.append(&mut self.verdicts);
    }

    /// What is remembered of decided traces.
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    /// The same, to be restored into.
    pub fn decided_mut(&mut self) -> &mut Decided {
        &mut self.decided
    }

    /// Whether traces are looked into before they are judged.
    pub fn has_policies(&self) -> bool {
        !self.policies.is_empty()
    }

    /// How traces are chosen.
    pub fn algorithm(&self) -> Algorithm {
        self.config.traces.sampler.algorithm
    }

    /// What verdicts do.
    pub fn mode(&self) -> TraceMode {
        self.config.traces.mode
    }

    /// Budgets that are only counted.
    pub fn shadows(&self) -> &[Shadow] {
        &self.shadows
    }

    /// The account that keeps are paid from.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Gauges and counters of the sampler.
    pub fn sampler_stats(&self) -> Stats {
        self.sampler.stats()
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes held: the latest requests, and traces that wait.
    pub fn held_bytes(&self) -> u64 {
        self.recent.n_bytes() + self.parked_bytes + self.decided.stats().bytes
    }

    fn judge(
        &mut self,
        trace: &ClosedTrace,
        scores: &[CloseScores],
        sites: &CallSites,
        now: Timestamp,
    ) -> Option<f64> {
        self.counters.n_seen += 1;
        let tenant = self.tenant(trace, now);
        let (randomness, sites) = (randomness(trace), Some(sites));
        let subject = Subject { trace, scores, randomness, tenant, sites };
        let ruling = self.rule(&subject, now);
        let verdict = self.sampler.judge_ruled(&subject, ruling, now, &mut self.settled);
        if !is_settled(&ruling) {
            for shadow in &mut self.shadows {
                shadow.judge(&subject, now);
            }
        }
        let is_dropped = matches!(ruling, Ruling::Drop { .. });
        let why = match (verdict, self.config.traces.mode) {
            (Verdict::Keep(keep), TraceMode::Sample) => Some(Why::kept(keep)),
            (Verdict::Keep(keep), TraceMode::Tag) => {
                Some(Why { decision: Some(Decision::Keep), ..Why::kept(keep) })
            }
            (_, TraceMode::Tag) => Some(Why::tagged(Decision::Drop)),
            (_, TraceMode::Sample) => (self.is_everything && !is_dropped).then(|| {
                self.pay(&KeptTrace::spans_of(trace), tenant, now);
                Why::EVERYTHING
            }),
        };
        match (why, verdict) {
            (Some(mut why), _) => {
                if self.is_everything || why.decision.is_some() {
                    // Whatever the verdict says, nothing is left to chance.
                    (why.threshold, why.erase_threshold) = (0, false);
                }
                let spans = KeptTrace::spans_of(trace);
                let policy = self.policy(&verdict);
                self.keep(KeptTrace { policy, ..KeptTrace::new(trace.trace_id, spans, why, now) });
            }
            (None, Verdict::Hold(ticket)) => self.park(ticket, trace),
            (None, _) => self.drop(trace.trace_id, trace.spans.len(), now),
        }
        match verdict {
            Verdict::Keep(keep) => (keep.reason != Reason::Probability).then_some(keep.tail),
            Verdict::Hold(_) => Some(WAITING_TAIL),
            Verdict::Drop => None,
        }
    }

    /// What the policies say to a trace.
    fn rule(&mut self, subject: &Subject<'_>, now: Timestamp) -> Ruling {
        if self.policies.is_empty() {
            return Ruling::Pass { erase_threshold: false };
        }
        let trace = subject.trace;
        let randomness = subject.randomness.unwrap_or_else(|| trace.trace_id.low56());
        self.policies.judge(trace, &WireAttributes, randomness, now)
    }

    /// The name of the policy that keeps a trace.
    fn policy(&self, verdict: &Verdict) -> Option<Arc<str>> {
        let Verdict::Keep(keep) = verdict else { return None };
        let idx = (keep.reason == Reason::Policy).then_some(keep.claim.source)?;
        let policy = self.policies.policies().get(usize::try_from(idx).ok()?)?;
        Some(Arc::clone(&policy.name))
    }

    fn keep(&mut self, kept: KeptTrace) {
        self.counters.n_kept += 1;
        let note = kept.why.note();
        self.decided.keep(kept.trace_id, note);
        self.list(kept.trace_id, Some(note));
        self.hand_out(kept);
    }

    fn hand_out(&mut self, mut kept: KeptTrace) {
        kept.through = self.mark;
        self.counters.n_kept_spans += kept.spans.len() as u64;
        self.counters.n_kept_bytes += kept.n_bytes();
        self.kept.push(kept);
    }

    fn drop(&mut self, id: TraceId, n_spans: usize, now: Timestamp) {
        self.counters.n_dropped += 1;
        self.decided.drop(id, u32::try_from(n_spans).unwrap_or(u32::MAX), now);
        self.list(id, None);
    }

    fn list(&mut self, trace_id: TraceId, kept: Option<Note>) {
        if self.config.is_logged {
            self.verdicts.push(Verdicted { trace_id, through: self.mark, kept });
        }
    }

    /// Holds a trace. Without a place in the log it counts there as dropped until it is kept: a
    /// process that dies gives up what waits.
    fn park(&mut self, ticket: Ticket, trace: &ClosedTrace) {
        let parked = Parked {
            trace_id: trace.trace_id,
            spans: Vec::new(),
            n_bytes: 0,
            is_logged: self.config.is_logged,
        };
        self.parked_ids.insert(trace.trace_id, ticket);
        self.parked.insert(ticket, parked);
        self.add_parked(ticket, trace);
    }

    /// Late spans of a trace that waits.
    fn join(&mut self, ticket: Ticket, trace: &ClosedTrace) {
        self.counters.late.n_joined += trace.spans.len() as u64;
        self.add_parked(ticket, trace);
    }

    fn add_parked(&mut self, ticket: Ticket, trace: &ClosedTrace) {
        let Some(parked) = self.parked.get_mut(&ticket) else { return };
        let (mut spans, is_leased) = cut_out(&KeptTrace::spans_of(trace));
        let n_bytes = heap_bytes(&spans);
        parked.n_bytes += n_bytes;
        self.parked_bytes += n_bytes;
        parked.spans.append(&mut spans);
        if parked.is_logged && !is_leased {
            parked.is_logged = false;
            self.list(trace.trace_id, None);
        }
    }

    /// Takes into memory what waits so long that the log could free nothing behind it; in the log it
    /// counts as dropped from now on.
    pub fn relieve(&mut self, stored: &mut dyn ReadBack) -> Filled {
        let mut filled = Filled::default();
        let is_old = |parked: &Parked| {
            let first = parked.spans.first();
            parked.is_logged && first.is_some_and(|(batch, _)| stored.is_old(batch))
        };
        let mut old: Vec<Ticket> =
            self.parked.iter().filter(|(_, parked)| is_old(parked)).map(|(at, _)| *at).collect();
        old.sort_unstable();
        for ticket in old {
            let Some(parked) = self.parked.get_mut(&ticket) else { continue };
            filled += fill(&mut parked.spans, stored);
            parked.spans = copy_of(&parked.spans);
            parked.is_logged = false;
            self.parked_bytes -= parked.n_bytes;
            parked.n_bytes = heap_bytes(&parked.spans);
            self.parked_bytes += parked.n_bytes;
            let id = parked.trace_id;
            self.list(id, None);
        }
        filled
    }

    /// The number of a trace's tenant, by what its root's resource says; 0 if it says nothing.
    fn tenant(&self, trace: &ClosedTrace, now: Timestamp) -> u32 {
        let Some(attribute) = &self.config.traces.tenant else { return 0 };
        let Some(root) = trace.spans.get(root_of(trace)) else { return 0 };
        let resource_idx = root.head().resource_idx;
        let value = WireAttributes.resource_attribute(&root.batch, resource_idx, attribute);
        let mut name = Vec::new();
        let is_named = value.is_some_and(|value| kept::tenant_name(value, &mut name));
        if is_named { self.ledger.tenant(&name, now) } else { 0 }
    }
}

/// What a shard remembers of decided traces: of those with ids its part, and as many in filters as one
/// alone, which a start with another number of shards reads.
fn late_config(seed: u64, n_shards: u32) -> LateConfig {
    let all = LateConfig::default();
    let part = |n: u32| n.div_ceil(n_shards);
    LateConfig { seed, n_keeps: part(all.n_keeps), n_exact: part(all.n_exact), ..all }
}

/// Whether a bound allows to keep whatever is seen.
fn is_everything(bound: Bound) -> bool {
    let allows_all = |budget: Budget| matches!(budget.rate, Rate::Share(share) if share >= 1.0);
    allows_all(bound.total) && bound.per_tenant.is_none_or(allows_all)
}

/// Whether the budget has no say in what becomes of a trace.
fn is_settled(ruling: &Ruling) -> bool {
    match ruling {
        Ruling::Drop { .. } => true,
        Ruling::Keep(keep) => keep.payment == Payment::Exempt,
        Ruling::Pass { .. } => false,
    }
}

/// Where the root of a trace stands, else its first span.
fn root_of(trace: &ClosedTrace) -> usize {
    trace.spans.iter().position(|span| span.head().is_root()).unwrap_or(0)
}

/// The randomness that a trace's `tracestate` states.
fn randomness(trace: &ClosedTrace) -> Option<u64> {
    let root = trace.spans.get(root_of(trace))?;
    explicit_randomness(WireAttributes.trace_state(&root.batch, root.span_idx).as_bytes())
}

/// Whatever was received within the receivers' limits is within these.
pub(super) fn limits() -> Limits {
    Limits {
        request_bytes: u64::from(u32::MAX),
        decoded_cost_bytes: u64::MAX,
        n_items: u32::MAX,
        ..Limits::default()
    }
}

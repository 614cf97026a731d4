//! From batches to sampled spans and rule counts: call sites, span sampler, rule predicates,
//! statistics and the trace window, in the order in which a span meets them.
//!
//! Synchronous: no clock, no task, no channel. The same code runs in `serve`, in `rules test`, in
//! the benchmarks and in the evaluation of rules under sampling.

use std::sync::Arc;

use anyhow::Result;
use spanwise_analyzer::rules::{Context, PredicateStats, Predicates, RuleSet};
use spanwise_analyzer::statistics::Statistics;
use spanwise_assembler::Assembler;
use spanwise_model::{
    Batch, CallSiteId, CallSites, ClosedTrace, KeepReason, Reserved, RuleCount, SampledSpan,
    SpanFlags, SpanRef, Timestamp,
};
use spanwise_otlp::WireAttributes;
use spanwise_otlp::sampled_spans::RuleSetId;
use spanwise_sampler::SpanSampler;

use super::known::{self, Known};
use super::spares::Spares;
use super::stored::{Filled, Placed, ReadBack, fill, fill_trace};
use super::traces::{self, KeptTrace, Stage};
use super::windows::{Collector, Piece};

/// Call sites known at once, and of one service.
pub const CALL_SITES_MAX: usize = 10_000;
/// Call sites of one service.
pub const CALL_SITES_PER_SERVICE_MAX: usize = 1_000;
/// A call site that sent nothing for this long is forgotten.
const SITE_IDLE_NS: u64 = 6 * 3600 * 1_000_000_000;
/// How often idle call sites are looked for.
const EXPIRE_EVERY_NS: u64 = 60 * 1_000_000_000;

/// Emptied batches kept for the next ones: as many as spare tables.
const SHELLS_MAX: usize = super::spares::N_MAX;

/// Settings of the stages up to the rule counts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The span sampler.
    pub sampler: spanwise_sampler::Config,
    /// The trace window.
    pub assembler: spanwise_assembler::Config,
    /// The rules to count for.
    pub rules: Arc<RuleSet>,
    /// Whole traces; `None` = they are not sampled.
    pub traces: Option<traces::Config>,
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests.
    pub n_batches: u64,
    /// Spans.
    pub n_spans: u64,
    /// Spans with invalid times: stored and forwarded, never judged.
    pub n_invalid_time: u64,
    /// Spans that were generated, not measured: counted here and nowhere else.
    pub n_synthetic: u64,
    /// Traces whose window closed.
    pub n_traces: u64,
    /// Spans kept on arrival.
    pub n_kept_early: u64,
    /// Spans kept when their trace closed.
    pub n_kept_late: u64,
    /// Spans whose bytes were read back from the log.
    pub n_read_back: u64,
    /// Spans whose bytes could not be read back.
    pub n_unreadable: u64,
}

/// Spans at call sites of rules that were not counted, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Times are invalid.
    pub n_invalid_time: u64,
    /// Ended before every window that is still open: a slow exporter or a clock that is behind.
    pub n_late: u64,
    /// End more than two minutes from now: a clock that is ahead.
    pub n_ahead: u64,
    /// Consumer, streaming and batch spans.
    pub n_long_lived: u64,
    /// Dropped for lack of room; windows know of the hole.
    pub n_dropped: u64,
}

impl Uncounted {
    fn add(&mut self, stats: &PredicateStats) {
        self.n_invalid_time += stats.n_invalid_time;
        self.n_late += stats.n_late;
        self.n_ahead += stats.n_ahead;
        self.n_long_lived += stats.n_not_triggering;
        self.n_dropped += stats.n_dropped;
    }
}

/// Names a rule set that is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RulesId {
    /// The rules of this process's own configuration.
    Own,
    /// Rules a subscriber sent.
    Subscribed(RuleSetId),
}

/// What one rule set counted since the last time.
#[derive(Debug)]
pub struct Counted<'a> {
    /// The rule set.
    pub rules: RulesId,
    /// Its counts.
    pub counts: &'a [RuleCount],
    /// Spans that show breaches.
    pub examples: &'a [Example],
    /// Counts that were dropped for lack of room.
    pub n_dropped: u64,
}

/// A span that breached a rule and travels with its counts, whatever the budget.
#[derive(Clone, Debug)]
pub struct Example {
    /// The rule set it breached a rule of.
    pub rules: RulesId,
    /// The batch that holds it.
    pub batch: Arc<Batch>,
    /// Position in [`Batch::spans`].
    pub span_idx: u32,
}

/// What a core has learned since it last told the other shards.
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    spans: spanwise_sampler::Lesson,
    traces: Option<traces::Lesson>,
}

/// The stages, and the dictionary they share.
#[derive(Debug)]
pub struct Core {
    sites: CallSites,
    sampler: SpanSampler,
    rules: Vec<(RulesId, Predicates)>,
    /// Of rule sets that are gone.
    uncounted: Uncounted,
    examples: Vec<Example>,
    statistics: Statistics,
    assembler: Assembler,
    traces: Option<Box<Stage>>,
    /// Where bytes come from that are not in memory.
    stored: Option<Box<dyn ReadBack>>,
    /// Gathers closed traces for the archive, if there is one.
    windows: Option<Collector>,
    closed: Vec<ClosedTrace>,
    /// Requests that were let go and may be used again.
    released: Vec<Arc<Batch>>,
    /// Tables of batches nobody holds any more.
    spares: Arc<Spares>,
    /// Where receivers look names up.
    known: Arc<Known>,
    /// Emptied batches, to be filled and shared again.
    shells: Vec<Arc<Batch>>,
    counts: Vec<RuleCount>,
    kept: Vec<(u32, KeepReason)>,
    counters: Counters,
    /// Call sites the sampler knows by name.
    n_described: usize,
    expire_next: Timestamp,
}

impl Core {
    /// The stages with empty models.
    pub fn new(config: Config) -> Result<Self> {
        let mut core = Self {
            sites: CallSites::new(CALL_SITES_MAX, CALL_SITES_PER_SERVICE_MAX),
            sampler: SpanSampler::new(config.sampler)?,
            rules: vec![(RulesId::Own, Predicates::new(config.rules))],
            uncounted: Uncounted::default(),
            examples: Vec::new(),
            statistics: Statistics::default(),
            assembler: Assembler::new(config.assembler)?,
            traces: config.traces.map(|traces| Stage::new(traces).map(Box::new)).transpose()?,
            stored: None,
            windows: None,
            closed: Vec::new(),
            released: Vec::new(),
            spares: Arc::default(),
            known: Arc::default(),
            shells: Vec::new(),
            counts: Vec::new(),
            kept: Vec::new(),
            counters: Counters::default(),
            n_described: 0,
            expire_next: Timestamp::default(),
        };
        core.reserve();
        Ok(core)
    }

    /// Requests that are stored may lose the bytes of their spans; from here they come back.
    pub fn read_back_from(&mut self, stored: Box<dyn ReadBack>) {
        self.stored = Some(stored);
    }

    /// The same core, gathering closed traces in windows as well.
    #[must_use]
    pub fn with_windows(self, windows: Option<Collector>) -> Self {
        Self { windows, ..self }
    }

    /// Takes one decoded request. Sampled spans are appended to `sampled`.
    pub fn batch(&mut self, mut batch: Batch, now: Timestamp, sampled: &mut Vec<SampledSpan>) {
        intern(&mut batch, &mut self.sites, now);
        self.describe();
        self.see_versions(&batch, now);
        let batch = self.share(batch);
        self.shared(&batch, now, sampled);
    }

    /// Takes one request whose spans already carry call sites of [`Core::sites_mut`].
    pub fn shared(&mut self, batch: &Arc<Batch>, now: Timestamp, sampled: &mut Vec<SampledSpan>) {
        self.counters.n_batches += 1;
        self.counters.n_spans += batch.spans.len() as u64;
        for (span_idx, head) in (0_u32..).zip(&batch.spans) {
            if batch.is_synthetic(head) {
                self.counters.n_synthetic += 1;
                continue;
            }
            let kept = if head.duration_ns().is_some() {
                self.arrive(batch, span_idx, now, sampled)
            } else {
                self.counters.n_invalid_time += 1;
                false
            };
            let is_first = self.assembler.push(batch, span_idx, kept, now, &mut self.closed);
            if let (true, Some(traces)) = (is_first, &mut self.traces)
                && traces.is_decided(head.trace_id)
            {
                self.assembler.hurry();
            }
        }
        if let Some(traces) = &mut self.traces {
            traces.arrived(batch, now, &mut self.released);
        }
        self.close(now, sampled);
    }

    /// Closes what is due. Call it at least once a second.
    pub fn tick(&mut self, now: Timestamp, sampled: &mut Vec<SampledSpan>) {
        self.assembler.tick(now, &mut self.closed);
        if let Some(traces) = &mut self.traces {
            traces.tick(now, &mut self.released);
            if let Some(stored) = &mut self.stored {
                self.counters.note(traces.relieve(stored.as_mut()));
            }
        }
        self.close(now, sampled);
        self.sampler.tick(now);
        if now >= self.expire_next {
            self.expire_next = now.plus_ns(EXPIRE_EVERY_NS);
            self.expire(now);
        }
        self.known.follow(&self.sites);
    }

    /// Closes every open trace; the stages hold no span afterwards.
    pub fn drain(&mut self, now: Timestamp, sampled: &mut Vec<SampledSpan>) {
        self.assembler.drain(now, &mut self.closed);
        self.close(now, sampled);
        if let Some(traces) = &mut self.traces {
            traces.drain(now, &mut self.released);
            self.close(now, sampled);
        }
        if let Some(windows) = &mut self.windows {
            windows.drain(now);
        }
    }

    /// Hands what each rule set counted since the last call, and the spans that show it, to `take`.
    pub fn counted(&mut self, mut take: impl FnMut(Counted<'_>)) {
        self.fill_examples();
        let mut counts = std::mem::take(&mut self.counts);
        for (id, predicates) in &mut self.rules {
            counts.clear();
            let n_dropped = predicates.drain(&mut counts);
            let mine = |example: &mut Example| example.rules == *id;
            let examples: Vec<Example> = self.examples.extract_if(.., mine).collect();
            take(Counted { rules: *id, counts: &counts, examples: &examples, n_dropped });
        }
        self.examples.clear();
        self.counts = counts;
    }

    /// Reads the bytes of examples back that are in the log alone.
    fn fill_examples(&mut self) {
        let Some(stored) = &mut self.stored else { return };
        for example in &mut self.examples {
            let mut placed = [(Arc::clone(&example.batch), example.span_idx)];
            self.counters.note(fill(&mut placed, stored.as_mut()));
            [(example.batch, example.span_idx)] = placed;
        }
    }

    /// When [`Core::tick`] has something to close.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.assembler.next_deadline()
    }

    /// Counts for one more rule set from now on, or for another one under the same id. Each costs
    /// one look-up per span.
    pub fn add_rules(&mut self, id: RulesId, rules: Arc<RuleSet>) {
        self.remove_rules(id);
        self.rules.push((id, Predicates::new(rules)));
        self.reserve();
    }

    /// The rule sets that are counted for.
    pub fn rule_sets(&self) -> Vec<RulesId> {
        self.rules.iter().map(|(id, _)| *id).collect()
    }

    /// Stops counting for a rule set; what it has not handed out is lost.
    pub fn remove_rules(&mut self, id: RulesId) {
        for (_, predicates) in self.rules.extract_if(.., |(known, _)| *known == id) {
            self.uncounted.add(&predicates.stats());
        }
        self.reserve();
    }

    /// Spans at call sites of rules that no rule counted, since the start, once per rule.
    pub fn uncounted(&self) -> Uncounted {
        let mut uncounted = self.uncounted;
        for (_, predicates) in &self.rules {
            uncounted.add(&predicates.stats());
        }
        uncounted
    }

    /// Call sites that rules name are kept apart however many others there are.
    fn reserve(&mut self) {
        let reserved =
            self.rules.iter().map(|(_, set)| Arc::clone(set.rules()) as Arc<dyn Reserved>);
        self.sites.reserve(reserved.collect());
    }

    /// Writes the models to `out`, to be read back by [`Core::restore`].
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        self.sampler.snapshot(&self.sites, out);
    }

    /// Reads models back. On an error the models stay empty.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> Result<()> {
        self.sampler.restore(bytes, &mut self.sites, now)?;
        Ok(())
    }

    /// Takes what was learned since the last call, for the other shards.
    pub fn lesson(&mut self) -> Lesson {
        Lesson {
            spans: self.sampler.lesson(&self.sites),
            traces: self.traces.as_mut().map(|traces| traces.lesson()),
        }
    }

    /// Learns what other shards have learned.
    pub fn hear(&mut self, lessons: &[Arc<Lesson>], now: Timestamp) {
        let spans: Vec<&spanwise_sampler::Lesson> =
            lessons.iter().map(|lesson| &lesson.spans).collect();
        self.sampler.hear(&spans, &mut self.sites, now);
        self.describe();
        if let Some(traces) = &mut self.traces {
            for lesson in lessons.iter().filter_map(|lesson| lesson.traces.as_ref()) {
                traces.hear(lesson, now);
            }
        }
    }

    /// Reads the bytes of sampled spans back that are in the log alone: for whoever gets them whole.
    pub fn fill_sampled(&mut self, sampled: &mut [SampledSpan]) {
        let Some(stored) = &mut self.stored else { return };
        let place = |span: &SampledSpan| (Arc::clone(&span.batch), span.span_idx);
        let mut placed: Vec<Placed> = sampled.iter().map(place).collect();
        self.counters.note(fill(&mut placed, stored.as_mut()));
        for (span, (batch, span_idx)) in sampled.iter_mut().zip(placed) {
            (span.batch, span.span_idx) = (batch, span_idx);
        }
    }

    /// Lets sampled spans go that have been handed on, so that their batches' memory is used again.
    pub fn recycle(&mut self, sampled: &mut Vec<SampledSpan>) {
        for span in sampled.drain(..) {
            reclaim(span.batch, &self.spares, &mut self.shells);
        }
    }

    /// Takes what windows have gathered since the last call.
    pub fn take_pieces(&mut self, out: &mut Vec<Piece>) {
        if let Some(windows) = &mut self.windows {
            windows.take(out);
        }
    }

    /// Takes the traces kept since the last call.
    pub fn take_kept(&mut self, out: &mut Vec<KeptTrace>) {
        let Some(traces) = &mut self.traces else { return };
        let n_before = out.len();
        traces.take_kept(out);
        let Some(stored) = &mut self.stored else { return };
        for trace in &mut out[n_before..] {
            self.counters.note(fill(&mut trace.spans, stored.as_mut()));
        }
    }

    /// Lets kept traces go that have been handed on.
    pub fn recycle_kept(&mut self, kept: &mut Vec<KeptTrace>) {
        for (batch, _) in kept.drain(..).flat_map(|trace| trace.spans) {
            reclaim(batch, &self.spares, &mut self.shells);
        }
    }

    /// Requests up to this number of a log have been taken whole.
    pub fn mark(&mut self, seq: u64) {
        if let Some(traces) = &mut self.traces {
            traces.mark(seq);
        }
    }

    /// The stage of whole traces, if they are sampled.
    pub fn traces(&self) -> Option<&Stage> {
        self.traces.as_deref()
    }

    /// The same, to be restored into and to take verdicts from.
    pub fn traces_mut(&mut self) -> Option<&mut Stage> {
        self.traces.as_deref_mut()
    }

    /// Tables to decode into: those of batches of which no span is open or kept any more.
    pub fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Where names are looked up before a request queues.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Puts its tables where others do.
    pub fn share_spares(&mut self, spares: &Arc<Spares>) {
        self.spares = Arc::clone(spares);
    }

    /// The dictionary of call sites.
    pub fn sites(&self) -> &CallSites {
        &self.sites
    }

    /// The dictionary, for those who intern spans themselves.
    pub fn sites_mut(&mut self) -> &mut CallSites {
        &mut self.sites
    }

    /// The span sampler.
    pub fn sampler(&self) -> &SpanSampler {
        &self.sampler
    }

    /// Statistics per call site.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The trace window.
    pub fn assembler(&self) -> &Assembler {
        &self.assembler
    }

    /// The trace window, to bound it.
    pub fn assembler_mut(&mut self) -> &mut Assembler {
        &mut self.assembler
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Tells the sampler which versions of which services sent spans.
    fn see_versions(&mut self, batch: &Batch, now: Timestamp) {
        let mut resource_idx = u32::MAX;
        for head in &batch.spans {
            if head.resource_idx == resource_idx {
                continue;
            }
            resource_idx = head.resource_idx;
            let resource = batch.resources.get(resource_idx as usize);
            let version = resource.map_or(&[][..], |resource| resource.version.of(&batch.bytes));
            if !version.is_empty() && !batch.is_synthetic(head) {
                self.sampler.see_version(head.service, version, now);
            }
        }
    }

    /// Tells the sampler the names of call sites that are new.
    fn describe(&mut self) {
        while self.n_described < self.sites.id_bound() {
            let id = CallSiteId(self.n_described as u32);
            self.sampler.describe(id, self.sites.get(id));
            self.n_described += 1;
        }
    }

    /// A span with valid times arrives; whether it is kept at once.
    fn arrive(
        &mut self,
        batch: &Arc<Batch>,
        span_idx: u32,
        now: Timestamp,
        sampled: &mut Vec<SampledSpan>,
    ) -> bool {
        let span = SpanRef { batch, span_idx };
        self.statistics.observe(span.head(), now);
        let ctx = Context { sites: &self.sites, attributes: &WireAttributes, now };
        for (rules, predicates) in &mut self.rules {
            if predicates.arrived(span, &ctx).is_example {
                self.examples.push(Example { rules: *rules, batch: Arc::clone(batch), span_idx });
            }
        }
        let Some(reason) = self.sampler.arrive(span.head(), now) else {
            return false;
        };
        self.counters.n_kept_early += 1;
        sampled.push(SampledSpan { batch: Arc::clone(batch), span_idx, reason, early: true });
        true
    }

    /// Has the trace sampler judge a closed trace. How unusual the trace is, if something marks it:
    /// the trace sampler where there is one, else the span sampler.
    fn judge(&mut self, trace: &ClosedTrace, now: Timestamp) -> Option<f64> {
        let is_early = trace.spans.iter().any(|span| span.kept_early);
        let Some(traces) = &mut self.traces else {
            let tails = self.kept.iter().map(|(_, reason)| reason.tail);
            // What was kept on arrival was unusual enough not to wait for the rest.
            return tails.chain(is_early.then_some(0.0)).min_by(f64::total_cmp);
        };
        let is_anomalous = !self.kept.is_empty() || is_early;
        traces.closed(trace, self.sampler.closed_scores(), is_anomalous, &self.sites, now)
    }

    fn close(&mut self, now: Timestamp, sampled: &mut Vec<SampledSpan>) {
        let asks = |(_, rules): &(RulesId, Predicates)| rules.asks_for_attributes();
        let is_looked_into = self.windows.is_some()
            || self.traces.as_deref().is_some_and(Stage::has_policies)
            || self.rules.iter().any(asks);
        let mut closed = std::mem::take(&mut self.closed);
        for mut trace in closed.drain(..) {
            self.counters.n_traces += 1;
            self.kept.clear();
            self.sampler.close_trace(&trace.spans, now, &mut self.kept);
            if let Some(stored) = &mut self.stored
                && (is_looked_into || states_randomness(&trace))
            {
                self.counters.note(fill_trace(&mut trace, stored.as_mut()));
            }
            let mark = self.judge(&trace, now);
            if let Some(windows) = &mut self.windows {
                windows.closed(&trace, mark, now);
            }
            let ctx = Context { sites: &self.sites, attributes: &WireAttributes, now };
            let mut kept = self.kept.iter().peekable();
            for (idx, span) in (0_u32..).zip(&trace.spans) {
                let reason =
                    kept.next_if(|(kept_idx, _)| *kept_idx == idx).map(|(_, reason)| *reason);
                let is_sampled = span.kept_early || reason.is_some();
                let (batch, span_idx) = (&span.batch, span.span_idx);
                for (rules, predicates) in &mut self.rules {
                    if predicates.closed(span, &trace, is_sampled, &ctx).is_example {
                        let batch = Arc::clone(batch);
                        self.examples.push(Example { rules: *rules, batch, span_idx });
                    }
                }
                let Some(reason) = reason else { continue };
                self.counters.n_kept_late += 1;
                let batch = Arc::clone(batch);
                sampled.push(SampledSpan { batch, span_idx, reason, early: false });
            }
            for span in trace.spans.drain(..) {
                reclaim(span.batch, &self.spares, &mut self.shells);
            }
            self.assembler.recycle(trace);
        }
        self.closed = closed;
        if let Some(windows) = &mut self.windows {
            windows.flush(now, &mut self.released);
        }
        if let Some(traces) = &mut self.traces {
            traces.settle(now);
        }
        for batch in self.released.drain(..) {
            reclaim(batch, &self.spares, &mut self.shells);
        }
    }

    /// Shares a batch, in a shell that is at hand if there is one.
    fn share(&mut self, batch: Batch) -> Arc<Batch> {
        if let Some(mut shell) = self.shells.pop()
            && let Some(place) = Arc::get_mut(&mut shell)
        {
            *place = batch;
            return shell;
        }
        Arc::new(batch)
    }

    fn expire(&mut self, now: Timestamp) {
        let mut retired: Vec<CallSiteId> = Vec::new();
        self.sites.expire(now, SITE_IDLE_NS, &mut retired);
        for site in retired {
            self.sampler.forget(site);
            if let Some(traces) = &mut self.traces {
                traces.forget(site);
            }
            for (_, predicates) in &mut self.rules {
                predicates.forget(site);
            }
            self.statistics.forget(site);
        }
    }
}

/// Whether chance must go by what a span of the trace says, not by the trace's id.
fn states_randomness(trace: &ClosedTrace) -> bool {
    trace.spans.iter().any(|span| span.head().flags.contains(SpanFlags::STATED_RANDOMNESS))
}

impl Counters {
    fn note(&mut self, filled: Filled) {
        self.n_read_back += filled.n_read;
        self.n_unreadable += filled.n_unread;
    }

    /// Adds what another shard has counted.
    pub fn add(&mut self, other: &Self) {
        self.n_batches += other.n_batches;
        self.n_spans += other.n_spans;
        self.n_invalid_time += other.n_invalid_time;
        self.n_traces += other.n_traces;
        self.n_kept_early += other.n_kept_early;
        self.n_kept_late += other.n_kept_late;
        self.n_read_back += other.n_read_back;
        self.n_unreadable += other.n_unreadable;
    }
}

/// Lets a batch go; if this was the last one to hold it, its memory is kept for another.
fn reclaim(mut batch: Arc<Batch>, spares: &Spares, shells: &mut Vec<Arc<Batch>>) {
    if let Some(unheld) = Arc::get_mut(&mut batch) {
        spares.put(std::mem::take(unheld));
        if shells.len() < SHELLS_MAX {
            shells.push(batch);
        }
    }
}

/// Gives every span of a decoded request its call site and service, where it has none of this
/// dictionary yet. Generated spans get none: their names do not enter the dictionary.
pub fn intern(batch: &mut Batch, sites: &mut CallSites, now: Timestamp) {
    let mut spans = std::mem::take(&mut batch.spans);
    let is_looked_up = batch.sites_epoch == sites.epoch();
    for head in &mut spans {
        if batch.is_synthetic(head) {
            continue;
        }
        if is_looked_up && head.site != CallSiteId::UNSET {
            sites.see(head.site, now);
            continue;
        }
        let (service, name) = (batch.service_bytes(head), head.name.of(&batch.bytes));
        let known = sites.intern_known(service, name, head.kind, now);
        let intern = || sites.intern(batch.service(head), batch.name(head), head.kind, now);
        let id = known.unwrap_or_else(intern);
        known::put(head, id, sites.get(id));
    }
    batch.spans = spans;
}

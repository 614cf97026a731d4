//! What the process shows of itself: the picture behind the API, the metrics, and the models on
//! disk.

use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use spanwise_api::{Check, Site, Snapshot, SpanCounts, Status, TraceCounts, TraceSampling};
use spanwise_model::Timestamp;
use spanwise_sampler::{Budget, Profile};
use tokio::sync::watch;

use super::lateness::Lateness;
use super::outlets::{Outlets, Shedding, Waiting};
use super::picture::{self, Picture, StagePicture};
use super::saved::Saved;
use super::{Addresses, Role, archived, sampling};
use crate::archiving;
use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::core::Core;
use crate::pipeline::inspector::Inspected;
use crate::pipeline::keeper::{Showing, Shown};
use crate::pipeline::processor;
use crate::pipeline::records::Records;
use crate::pipeline::remote::Account;
use crate::telemetry::metrics::{Metrics, OutcomeLabel, ReasonLabel, ReceiverLabels, follow};

/// Models are written this often: after a crash at most this much learning is lost.
const SAVE_EVERY_NS: u64 = 30 * 1_000_000_000;
/// Names under which requests arrive.
const PROTOCOLS: [&str; 3] = ["grpc", "http_protobuf", "http_json"];

/// What is open in the trace window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Open traces.
    pub n_open_traces: u64,
    /// Spans in them.
    pub n_open_spans: u64,
}

/// Shared by everything that shows something.
#[derive(Debug)]
pub struct State {
    /// Decisions, anomalies, events.
    pub records: Records,
    /// The families.
    pub metrics: Metrics,
    /// Prints the families.
    pub registry: Arc<Registry>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    base: Status,
    budget_share: Option<f64>,
    saved: Option<Saved>,
    n_shards: usize,
    /// The shard that panics when it shows itself next.
    #[cfg(test)]
    panics_at: Mutex<Option<usize>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    in_flight: InFlight,
    processor: Option<processor::Shown>,
    account: Option<watch::Receiver<Account>>,
    outlets: Option<Outlets>,
    shedding: Shedding,
    /// Where whole traces are judged.
    lateness: Option<Lateness>,
    keeper: Option<Shown>,
    /// The latest of each shard, where there are several.
    pictures: Vec<Option<Picture>>,
    /// Shards that keep nothing any more.
    n_ended: usize,
    archives: Option<archiving::Shown>,
    saved: Timestamp,
    stopping: bool,
}

impl State {
    /// The state of a process that starts now; opens the decision log.
    pub fn open(config: &Config, role: &Role, clock: Clock, at: Addresses) -> Result<Arc<Self>> {
        let started = clock.started_at();
        let records = match &config.data_dir {
            Some(dir) => Records::open(dir, started)?,
            None => Records::in_memory(started),
        };
        let (metrics, registry) = Metrics::register();
        let budget_share = match config.sampler.budget {
            Budget::Share(share) => Some(share),
            Budget::PerSecond(_) => None,
        };
        let base = base(config, role, started, at, budget_share);
        let mut status = base.clone();
        status.checks.push(starting());
        let decisions = records.decisions();
        let snapshot = Arc::new(Snapshot { status, decisions, ..Snapshot::default() });
        Ok(Arc::new(Self {
            records,
            metrics,
            registry: Arc::new(registry),
            snapshot: watch::Sender::new(snapshot),
            base,
            budget_share,
            saved: config.data_dir.as_deref().map(Saved::new),
            n_shards: config.shards as usize,
            #[cfg(test)]
            panics_at: Mutex::default(),
            inner: Mutex::default(),
        }))
    }

    /// Follows the picture.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// What was open in the trace window when it was last shown.
    pub fn in_flight(&self) -> InFlight {
        self.inner.lock().in_flight
    }

    /// What destinations have not taken yet.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let inner = self.inner.lock();
        inner.outlets.as_ref().map(Outlets::waiting).unwrap_or_default()
    }

    /// The process is about to stop: readiness goes.
    pub fn stopping(&self) {
        self.inner.lock().stopping = true;
        let mut picture = Snapshot::clone(&self.snapshot.borrow());
        picture.status.checks.push(stopping());
        self.snapshot.send_replace(Arc::new(picture));
    }

    /// Names where the processor shows what it saw of targets and rules.
    pub fn follow_processor(&self, shown: processor::Shown) {
        self.inner.lock().processor = Some(shown);
    }

    /// Names where the keeper of the span log shows its figures.
    pub fn follow_keeper(&self, shown: Shown) {
        self.inner.lock().keeper = Some(shown);
    }

    /// Where the keeper of the span log shows its figures, if there is one.
    pub fn keeper(&self) -> Option<Shown> {
        self.inner.lock().keeper.clone()
    }

    /// Names where archives show their figures.
    pub fn follow_archives(&self, shown: archiving::Shown) {
        self.inner.lock().archives = Some(shown);
    }

    /// Names where the account of the subscription is kept.
    pub fn follow_account(&self, account: watch::Receiver<Account>) {
        self.inner.lock().account = Some(account);
    }

    /// Names where what leaves the process is counted.
    pub(super) fn follow_outlets(&self, outlets: Outlets) {
        self.inner.lock().outlets = Some(outlets);
    }

    /// Reads back what an earlier process learned, if there is any, and into the first shard's core,
    /// which has the account of all, what it spent.
    pub fn restore(&self, shard: usize, core: &mut Core, now: Timestamp) {
        let Some(saved) = &self.saved else { return };
        saved.restore(core, now);
        if shard == 0 {
            saved.restore_budget(core, now);
        }
    }

    /// Lets the thread of a shard panic within a second.
    #[cfg(test)]
    pub(crate) fn panic_at(&self, shard: usize) {
        *self.panics_at.lock() = Some(shard);
    }

    /// Shows a shard's core, and the first one's models on disk when that is due or `last`: it knows
    /// what all have learned. What all shards show together is published with the first, and at the
    /// end with each, as soon as each has shown something.
    pub fn show(&self, shard: usize, core: &Core, now: Timestamp, last: bool) {
        #[cfg(test)]
        assert_ne!(Some(shard), *self.panics_at.lock(), "as a test wants");
        let picture = if self.n_shards == 1 {
            Some(Picture::of(core, now))
        } else {
            let mut inner = self.inner.lock();
            let pictures = &mut inner.pictures;
            pictures.resize(self.n_shards, None);
            pictures[shard] = Some(Picture::part(core));
            let is_shown = shard == 0 || last;
            is_shown.then(|| Picture::sum(pictures, now)).flatten()
        };
        if let Some(picture) = picture {
            self.show_picture(picture, now);
        }
        if shard == 0 {
            self.save(core, now, last);
        }
        if last {
            self.end(core);
        }
    }

    /// Saves what was spent as soon as no shard spends any more.
    fn end(&self, core: &Core) {
        let n_ended = {
            let mut inner = self.inner.lock();
            inner.n_ended += 1;
            inner.n_ended
        };
        if let Some(saved) = self.saved.as_ref().filter(|_| n_ended == self.n_shards) {
            saved.save_budget(core, true);
        }
    }

    fn show_picture(&self, picture: Picture, now: Timestamp) {
        self.count(&picture);
        let (missed, shedding) = self.count_outlets(self.n_requests("overloaded"), now);
        if let Some(stage) = &picture.stage {
            sampling::stage(&self.metrics.traces, stage, now);
            sampling::stored(&self.metrics.traces, &picture);
            let n_late = stage.counters.late.n_late_spans();
            let mut inner = self.inner.lock();
            let lateness = inner.lateness.get_or_insert_default();
            lateness.look(picture.counters.n_spans, n_late, now);
        }
        let Picture { counters, open, sampler, held_bytes, sites, overflow, stage, .. } = picture;
        let mut status = self.base.clone();
        status.at = now;
        status.memory_bytes = open.bytes + sampler.heap_bytes + held_bytes;
        status.spans = SpanCounts {
            accepted: counters.n_spans,
            rejected: self.n_spans("rejected"),
            invalid_time: counters.n_invalid_time,
            synthetic: counters.n_synthetic,
            kept: counters.n_kept_early + counters.n_kept_late,
            missed,
        };
        status.shedding = shedding;
        status.traces = TraceCounts {
            open: open.n_open_traces,
            closed: counters.n_traces,
            evicted: open.n_closed_evicted,
        };
        status.sampling = stage.map(|stage| Self::sampling(stage, now));
        status.n_sites = sites.len() as u64;
        status.n_sites_ready = sampler.n_warm;
        status.overflow = overflow;
        self.publish(status, sites);
    }

    /// Shows what a processor inspected.
    pub fn show_inspected(&self, inspected: &Inspected<'_>) {
        let Inspected { sites, statistics, n_refused, now } = *inspected;
        let mut stats = Vec::new();
        statistics.snapshot(now, &mut stats);
        let mut status = self.base.clone();
        status.at = now;
        status.n_sites = sites.len() as u64;
        status.spans.missed = n_refused;
        status.shedding = self.count_outlets(n_refused, now).1;
        self.publish(status, picture::sites(sites, stats, |_| None));
    }

    /// Counts what leaves; spans missed so far, and whether work is being refused.
    fn count_outlets(&self, n_refused: u64, now: Timestamp) -> (u64, bool) {
        let mut inner = self.inner.lock();
        let outlets = inner.outlets.as_mut();
        let missed = outlets.map_or(0, |outlets| outlets.show(&self.metrics, now));
        let shedding = inner.shedding.look(n_refused, now);
        self.metrics.shedding.set(i64::from(shedding));
        (missed, shedding)
    }

    fn publish(&self, mut status: Status, sites: Vec<Site>) {
        let mut rules = Vec::new();
        {
            let inner = self.inner.lock();
            if let Some(shown) = &inner.processor {
                status.targets.clone_from(&shown.targets.borrow());
                rules.clone_from(&shown.rules.borrow());
            }
            if let Some(account) = &inner.account {
                let account = *account.borrow();
                status.spans.accepted = account.n_received;
                status.spans.missed += account.n_missed;
                for (outcome, n_spans) in
                    [("received", account.n_received), ("missed", account.n_missed)]
                {
                    let spans = &self.metrics.subscription_spans;
                    let n_spans = i64::try_from(n_spans).unwrap_or(i64::MAX);
                    spans.get_or_create(&OutcomeLabel { outcome }).set(n_spans);
                }
                status.checks.push(subscription(account));
            }
            if let Some(keeper) = &inner.keeper {
                let showing = keeper.get();
                sampling::logs(&self.metrics.traces, &showing);
                status.shedding |= showing.problem.is_some();
                status.checks.push(span_log(&showing));
            }
            status.checks.extend(inner.lateness.as_ref().map(Lateness::check));
            if let Some(archives) = &inner.archives {
                let showing = archives.get();
                archived::count(&self.metrics.archives, &showing);
                status.memory_bytes += archived::held_bytes(&showing);
                status.archives = Some(archived::status(&showing));
            }
            if let Some(outlets) = &inner.outlets {
                status.checks.extend(outlets.checks(status.at));
            }
            if inner.stopping {
                status.checks.push(stopping());
            }
        }
        self.snapshot.send_replace(Arc::new(Snapshot {
            status,
            sites: sites.into(),
            anomalies: self.records.anomalies(),
            decisions: self.records.decisions(),
            traces: self.records.traces(),
            rules,
        }));
    }

    fn count(&self, picture: &Picture) {
        let Picture { open, sampler, sites, uncounted: spans, .. } = picture;
        let metrics = &self.metrics;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        follow(&metrics.synthetic_spans, picture.counters.n_synthetic);
        metrics.open_traces.set(gauge(open.n_open_traces));
        metrics.open_bytes.set(gauge(open.bytes));
        metrics.call_sites.set(gauge(sites.len() as u64));
        let n_sites = sites.len().max(1) as f64;
        metrics.calibration_ks.set(sampler.calibration_ks);
        metrics.model_ready.set((sampler.n_warm as f64 / n_sites).min(1.0));
        if let Some(share) = self.budget_share {
            metrics.sampler_budget_ratio.set(sampler.kept_share() / share);
        }
        let mut inner = self.inner.lock();
        inner.in_flight =
            InFlight { n_open_traces: open.n_open_traces, n_open_spans: open.n_open_spans };
        drop(inner);
        let reason = |reason| ReasonLabel { reason };
        let dropped = &metrics.traces_dropped;
        follow(&dropped.get_or_create(&reason("evicted")), open.n_closed_evicted);
        follow(&dropped.get_or_create(&reason("full")), open.n_closed_full);
        follow(&metrics.duplicate_spans, open.n_duplicates);
        for (label, total) in [
            ("invalid_time", spans.n_invalid_time),
            ("late", spans.n_late),
            ("ahead", spans.n_ahead),
            ("long_lived", spans.n_long_lived),
            ("no_room", spans.n_dropped),
        ] {
            follow(&metrics.rules_uncounted.get_or_create(&reason(label)), total);
        }
    }

    fn n_requests(&self, outcome: &'static str) -> u64 {
        let count = |protocol: &&'static str| {
            let labels = ReceiverLabels { protocol, outcome };
            self.metrics.receiver_requests.get_or_create(&labels).get()
        };
        PROTOCOLS.iter().map(count).sum()
    }

    fn sampling(stage: StagePicture, now: Timestamp) -> TraceSampling {
        let StagePicture { algorithm, mode, counters, sampler, shadows, ledger } = stage;
        let (balance, bound) = (ledger.balance(now), ledger.bound());
        TraceSampling {
            sampler: algorithm.as_str().to_owned(),
            mode: mode.as_str(),
            budget: bound.total.to_string(),
            unit: sampling::unit_name(bound.total.unit),
            seen: balance.seen,
            kept: balance.kept,
            allowed: balance.allowed,
            n_held: sampler.n_held,
            n_kept: counters.n_kept,
            n_dropped: counters.n_dropped,
            anomaly_share: sampler.anomaly_share,
            shadow: shadows,
        }
    }

    fn n_spans(&self, outcome: &'static str) -> u64 {
        let count = |protocol: &&'static str| {
            let labels = ReceiverLabels { protocol, outcome };
            self.metrics.receiver_spans.get_or_create(&labels).get()
        };
        PROTOCOLS.iter().map(count).sum()
    }

    fn save(&self, core: &Core, now: Timestamp, last: bool) {
        let Some(saved) = &self.saved else { return };
        {
            let mut inner = self.inner.lock();
            if inner.saved.0 == 0 {
                inner.saved = now;
            }
            if !last && now.since(inner.saved) < SAVE_EVERY_NS {
                return;
            }
            inner.saved = now;
        }
        saved.save(core);
        saved.save_budget(core, false);
    }
}

fn base(
    config: &Config,
    role: &Role,
    started: Timestamp,
    at: Addresses,
    budget: Option<f64>,
) -> Status {
    let listening = |name: &str, addr: Option<std::net::SocketAddr>| {
        addr.map(|addr| check(name, true, addr.to_string()))
    };
    let checks =
        [listening("receiver grpc", at.otlp_grpc), listening("receiver http", at.otlp_http)];
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: match role {
            Role::All => "all",
            Role::Sampler => "sampler",
            Role::Processor { .. } => "processor",
        }
        .to_owned(),
        profile: match config.sampler.profile {
            Profile::Default => "default",
            Profile::Scale(_) => "scale",
        }
        .to_owned(),
        mode: config.scaler.mode,
        at: started,
        started,
        checks: checks.into_iter().flatten().collect(),
        data_dir: config.data_dir.as_ref().map(|dir| dir.display().to_string()),
        memory_bytes_max: config.memory_limit,
        // A processor keeps nothing itself.
        budget: budget.filter(|_| !matches!(role, Role::Processor { .. })),
        ..Status::default()
    }
}

fn subscription(account: Account) -> Check {
    let Account { connected, n_received, n_missed, n_range, n_restarts } = account;
    let state = if connected { "open" } else { "not open; trying again" };
    let detail = format!(
        "{state}; of {n_range} spans of this epoch {n_received} received, {n_missed} missed; \
         {n_restarts} restarts of the sampler"
    );
    check("subscription", connected, detail)
}

fn span_log(showing: &Showing) -> Check {
    let detail = match &showing.problem {
        None => format!(
            "{} requests acknowledged; {} MiB of spans, {} MiB of kept traces",
            showing.n_acknowledged,
            showing.span_log_bytes >> 20,
            showing.kept_log_bytes >> 20
        ),
        Some(problem) => format!(
            "not acknowledging: {problem}; tried again when requests come, at most every second"
        ),
    };
    check("span log", showing.problem.is_none(), detail)
}

fn stopping() -> Check {
    check("not stopping", false, "draining what is in flight".to_owned())
}

/// Holds until the first picture of the running pipeline: what an earlier process left behind is
/// taken in before that.
fn starting() -> Check {
    check("started", false, "taking in what was left by the last run".to_owned())
}

/// Something that must hold before traffic may come.
fn check(name: &str, ok: bool, detail: String) -> Check {
    Check { name: name.to_owned(), ok, detail, required: true }
}

//! What the process shows of itself: the picture behind the API, the metrics, and the models on
//! disk.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use spanwise_api::{
    Check, ModelState, Site, Snapshot, SpanCounts, Status, TargetStatus, TraceCounts, TraceSampling,
};
use spanwise_model::{CallSites, SiteStats, Timestamp};
use spanwise_sampler::{Budget, Profile};
use tokio::sync::watch;
use tracing::{error, warn};

use super::outlets::{Outlets, Shedding};
use super::{Addresses, Role, archived, sampling};
use crate::archiving;
use crate::clock::Clock;
use crate::config::Config;
use crate::persist;
use crate::pipeline::core::Core;
use crate::pipeline::inspector::Inspected;
use crate::pipeline::keeper::{Showing, Shown};
use crate::pipeline::records::Records;
use crate::pipeline::remote::Account;
use crate::pipeline::traces::Stage;
use crate::telemetry::metrics::{Metrics, OutcomeLabel, ReasonLabel, ReceiverLabels, follow};

/// Models are written this often: after a crash at most this much learning is lost.
const SAVE_EVERY_NS: u64 = 30 * 1_000_000_000;
/// Name of the file with the models.
const MODELS: &str = "models.spanwise";
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
    models: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    in_flight: InFlight,
    targets: Option<watch::Receiver<Vec<TargetStatus>>>,
    account: Option<watch::Receiver<Account>>,
    outlets: Option<Outlets>,
    shedding: Shedding,
    keeper: Option<Shown>,
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
        let snapshot = Arc::new(Snapshot { status: base.clone(), ..Snapshot::default() });
        Ok(Arc::new(Self {
            records,
            metrics,
            registry: Arc::new(registry),
            snapshot: watch::Sender::new(snapshot),
            base,
            budget_share,
            models: config.data_dir.as_ref().map(|dir| dir.join(MODELS)),
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

    /// The process is about to stop: readiness goes.
    pub fn stopping(&self) {
        self.inner.lock().stopping = true;
        let mut picture = Snapshot::clone(&self.snapshot.borrow());
        picture.status.checks.push(stopping());
        self.snapshot.send_replace(Arc::new(picture));
    }

    /// Names where the processor shows what it saw of the targets.
    pub fn follow_targets(&self, targets: watch::Receiver<Vec<TargetStatus>>) {
        self.inner.lock().targets = Some(targets);
    }

    /// Names where the keeper of the span log shows its figures.
    pub fn follow_keeper(&self, shown: Shown) {
        self.inner.lock().keeper = Some(shown);
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

    /// Reads the models back, if there are any. What cannot be used is set aside, so that it is not
    /// written over, and learnt anew.
    pub fn restore(&self, core: &mut Core, now: Timestamp) {
        let Some(path) = &self.models else { return };
        let restored = match persist::read(path) {
            Ok(None) => return,
            Ok(Some(bytes)) => core.restore(&bytes, now),
            Err(error) => Err(error),
        };
        let Err(error) = restored else { return };
        match persist::set_aside(path) {
            Ok(aside) => {
                let aside = aside.display();
                warn!(%error, %aside, "models cannot be used and are set aside; learning anew");
            }
            Err(failed) => warn!(%error, %failed, "models cannot be used; learning anew"),
        }
    }

    /// Shows the core, and writes its models when that is due or `last`.
    pub fn show(&self, core: &Core, now: Timestamp, last: bool) {
        self.count(core);
        let (missed, shedding) = self.count_outlets(self.n_requests("overloaded"), now);
        self.count_traces(core, now);
        let mut stats = Vec::new();
        core.statistics().snapshot(now, &mut stats);
        let model = |id| core.sampler().site(id).map(|view| model_state(&view));
        let sites = picture_sites(core.sites(), stats, model);
        let mut status = self.base.clone();
        let counters = core.counters();
        let open = core.assembler().stats();
        let sampler = core.sampler().stats();
        status.at = now;
        let held = core.traces().map_or(0, Stage::held_bytes);
        status.memory_bytes = open.bytes + sampler.heap_bytes + held;
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
        status.sampling = core.traces().map(|stage| Self::sampling(stage, now));
        status.n_sites = core.sites().len() as u64;
        status.n_sites_ready = sampler.n_warm;
        let overflow = core.sites().overflow_names();
        status.overflow = overflow.map(|(name, count)| (name.to_owned(), count)).collect();
        self.publish(status, sites);
        self.save(core, now, last);
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
        self.publish(status, picture_sites(sites, stats, |_| None));
    }

    /// Counts what leaves; spans missed so far, and whether work is being refused.
    fn count_outlets(&self, n_refused: u64, now: Timestamp) -> (u64, bool) {
        let mut inner = self.inner.lock();
        let missed = inner.outlets.as_ref().map_or(0, |outlets| outlets.show(&self.metrics));
        let shedding = inner.shedding.look(n_refused, now);
        self.metrics.shedding.set(i64::from(shedding));
        (missed, shedding)
    }

    fn publish(&self, mut status: Status, sites: Vec<Site>) {
        {
            let inner = self.inner.lock();
            if let Some(targets) = &inner.targets {
                status.targets.clone_from(&targets.borrow());
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
            if let Some(archives) = &inner.archives {
                let showing = archives.get();
                archived::count(&self.metrics.archives, &showing);
                status.memory_bytes += archived::held_bytes(&showing);
                status.archives = Some(archived::status(&showing));
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
        }));
    }

    fn count(&self, core: &Core) {
        let open = core.assembler().stats();
        let sampler = core.sampler().stats();
        let metrics = &self.metrics;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let n_synthetic = core.counters().n_synthetic;
        metrics.synthetic_spans.inc_by(n_synthetic.saturating_sub(metrics.synthetic_spans.get()));
        metrics.open_traces.set(gauge(open.n_open_traces));
        metrics.open_bytes.set(gauge(open.bytes));
        metrics.call_sites.set(gauge(core.sites().len() as u64));
        let n_sites = core.sites().len().max(1) as f64;
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
        let spans = core.uncounted();
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

    fn sampling(stage: &Stage, now: Timestamp) -> TraceSampling {
        let (counters, sampler) = (stage.counters(), stage.sampler_stats());
        let balance = stage.ledger().balance(now);
        let shadow = stage.shadows().iter();
        let bound = stage.ledger().bound();
        TraceSampling {
            sampler: stage.algorithm().as_str().to_owned(),
            mode: stage.mode().as_str(),
            budget: bound.total.to_string(),
            unit: sampling::unit_name(bound.total.unit),
            seen: balance.seen,
            kept: balance.kept,
            allowed: balance.allowed,
            n_held: sampler.n_held,
            n_kept: counters.n_kept,
            n_dropped: counters.n_dropped,
            anomaly_share: sampler.anomaly_share,
            shadow: shadow.map(|one| (one.name.clone(), one.n_seen, one.n_kept)).collect(),
        }
    }

    fn count_traces(&self, core: &Core, now: Timestamp) {
        if let Some(stage) = core.traces() {
            sampling::stage(&self.metrics.traces, stage, now);
        }
    }

    fn n_spans(&self, outcome: &'static str) -> u64 {
        let count = |protocol: &&'static str| {
            let labels = ReceiverLabels { protocol, outcome };
            self.metrics.receiver_spans.get_or_create(&labels).get()
        };
        PROTOCOLS.iter().map(count).sum()
    }

    /// Writes the models on this thread: they are a few megabytes at most, and the queue in front of
    /// the worker bridges the pause.
    fn save(&self, core: &Core, now: Timestamp, last: bool) {
        let Some(path) = &self.models else { return };
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
        let mut bytes = Vec::new();
        core.snapshot(&mut bytes);
        if let Err(error) = persist::replace(path, &bytes) {
            error!(%error, "models could not be saved");
        }
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
        addr.map(|addr| Check { name: name.to_owned(), ok: true, detail: addr.to_string() })
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
    Check { name: "subscription".to_owned(), ok: connected, detail }
}

fn span_log(showing: &Showing) -> Check {
    let detail = match &showing.problem {
        None => format!(
            "{} requests acknowledged; {} MiB of spans, {} MiB of kept traces",
            showing.n_acknowledged,
            showing.span_log_bytes >> 20,
            showing.kept_log_bytes >> 20
        ),
        Some(problem) => format!("not acknowledging: {problem}; tried again every second"),
    };
    Check { name: "span log".to_owned(), ok: showing.problem.is_none(), detail }
}

fn stopping() -> Check {
    let detail = "draining what is in flight".to_owned();
    Check { name: "not stopping".to_owned(), ok: false, detail }
}

fn picture_sites(
    sites: &CallSites,
    mut stats: Vec<SiteStats>,
    model: impl Fn(spanwise_model::CallSiteId) -> Option<ModelState>,
) -> Vec<Site> {
    stats.sort_by_key(|stats| stats.site);
    let find =
        |id| stats.binary_search_by_key(&id, |stats| stats.site).ok().map(|idx| stats[idx].clone());
    sites
        .iter()
        .map(|(id, site)| Site { site: Arc::clone(site), stats: find(id), model: model(id) })
        .collect()
}

fn model_state(view: &spanwise_sampler::SiteView) -> ModelState {
    ModelState {
        ready: view.state != spanwise_sampler::SiteState::Cold,
        n_spans: view.n_spans,
        median_ns: view.self_time.median_ns,
        p99_ns: view.self_time.p99_ns,
        window_age_ns: view.last_seen.since(view.first_seen),
    }
}

//! Builds the parts of a running process, each from the one it feeds.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use spanwise_analyzer::rules::RuleWindows;
use spanwise_api::{ApiState, Hosts, router};
use spanwise_assembler::Decided;
use spanwise_model::Timestamp;
use spanwise_orchestrator::Orchestrator;
use spanwise_otlp::admission::Admission;
use spanwise_otlp::exporter;
use spanwise_otlp::protobuf_to_json;
use spanwise_otlp::receiver::{self, Intake, grpc, http};
use spanwise_otlp::sampled_spans::{Hub, HubConfig, Service};
use spanwise_otlp::transport::{Endpoint, Shutdown};
use spanwise_sampler::Budget;
use spanwise_scaler::Scaler;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use super::State;
use super::archives;
use super::destinations::{self, Destinations};
use super::outlets::Outlets;
use super::spawn::{Spawner, shared};
use crate::clock::Clock;
use crate::config::{Config, Traces};
use crate::pipeline::core::{self, Core};
use crate::pipeline::fanout::Fanout;
use crate::pipeline::governor::Governor;
use crate::pipeline::inspector::Inspector;
use crate::pipeline::keeper::{self, Again, Door, KeeperHandle};
use crate::pipeline::outlets::Outlet;
use crate::pipeline::panics::{Guard, Panics};
use crate::pipeline::processor::{Input, Processor, QUEUE_MAX};
use crate::pipeline::remote::{Account, Remote, compile_subscribed, rules_text};
use crate::pipeline::shards::{School, Shards};
use crate::pipeline::traces::{self, Stage};
use crate::pipeline::windows::{Collector, Tap};
use crate::pipeline::worker::{Worker, queue};

/// What the names of the listeners' stages begin with.
pub(super) const RECEIVER: &str = "receiver ";
/// Name of the stage before which the destinations are told to finish.
pub(super) const OUTLETS: &str = "destinations";
/// Share of the memory limit for requests in flight.
const IN_FLIGHT_PERCENT: u64 = 25;
/// Share of the memory limit for the latest requests, from which dropped traces are promoted.
const RECENT_PERCENT: u64 = 6;
/// Share of the memory limit for pieces of requests that were read back from the span log.
const READ_BACK_PERCENT: u64 = 2;
/// Share of the memory limit for traces that wait for budget, counted in raw bytes.
const PARKED_PERCENT: u64 = 10;
/// Requests that may wait for it.
const WAITING_BYTES: u64 = 32 << 20;
/// Share of the memory limit for received spans in a processor.
const INSPECT_PERCENT: u64 = 25;
/// Batches of the stream that may wait for the inspector.
const STREAM_QUEUE: usize = 64;

/// The receivers' and the workers' ends of the keeper.
type Logged = (Door, Vec<(KeeperHandle, mpsc::Receiver<Again>)>);

/// Where the worker's results go.
struct Into {
    hub: Arc<Hub>,
    destinations: Destinations,
    processor: Option<mpsc::Sender<Input>>,
    /// Gathers windows, and the way to who writes them.
    gathering: Option<(Collector, Tap)>,
    /// Bounds what it holds.
    governor: Arc<Governor>,
}

/// Collects stages, sinks first.
pub(super) struct Parts<'a> {
    /// Settings.
    pub config: &'a Config,
    /// The clock.
    pub clock: Clock,
    /// What is shown.
    pub state: &'a Arc<State>,
    /// Runs connections.
    pub spawner: &'a Arc<Spawner>,
    /// Stages so far, sinks first.
    pub stages: Vec<(&'static str, JoinHandle<()>)>,
    /// Hears of it when one of them panics.
    pub panics: Panics,
}

impl Parts<'_> {
    /// Runs a stage.
    pub(super) fn stage(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = ()> + Send + 'static,
    ) {
        self.stages.push((name, tokio::spawn(self.panics.guarded(name, stage))));
    }

    /// Runs a stage that blocks, on a thread of its own.
    pub(super) fn blocking(
        &mut self,
        name: &'static str,
        stage: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let ended = blocking(self.panics.guard(name), stage)?;
        self.stages.push((name, tokio::spawn(ended)));
        Ok(())
    }

    /// The processor; returns where counts go.
    pub(super) fn processor(&mut self, orchestrator: Arc<dyn Orchestrator>) -> mpsc::Sender<Input> {
        let windows = RuleWindows::new(Arc::clone(&self.config.rules));
        let scaler = Scaler::new(self.config.scaler.clone(), self.clock.now());
        let (processor, shown) = Processor::new(
            windows,
            scaler,
            orchestrator,
            self.state.records.clone(),
            self.clock,
            self.state.metrics.clone(),
        );
        self.state.follow_processor(shown);
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        self.stage("processor", processor.run(receiver));
        sender
    }

    /// The subscription of a processor to a sampler.
    pub(super) fn remote(
        &mut self,
        sampler: &str,
        processor: mpsc::Sender<Input>,
        shutdown: Shutdown,
    ) -> Result<watch::Receiver<Account>> {
        let endpoint = Endpoint::parse(sampler, exporter::Protocol::Grpc.default_port())
            .with_context(|| format!("--sampler {sampler}"))?;
        let (spans, received) = mpsc::channel(STREAM_QUEUE);
        let state = Arc::clone(self.state);
        let inspector = Inspector::new(
            (self.config.memory_limit / 100 * INSPECT_PERCENT) as usize,
            self.state.records.clone(),
            self.clock,
            Box::new(move |inspected| state.show_inspected(&inspected)),
        );
        self.stage("inspector", inspector.run(received));
        let (account, shown) = watch::channel(Account::default());
        self.state.follow_account(shown.clone());
        let rules = rules_text(&self.config.raw_scaler)?;
        let remote =
            Remote { endpoint, rules, processor, spans, account, spawn: shared(self.spawner) };
        self.stage("subscription", remote.run(shutdown));
        Ok(shown)
    }

    /// Destinations, worker and receivers.
    pub(super) fn receiving(
        &mut self,
        (grpc_listener, http_listener): (TcpListener, TcpListener),
        processor: Option<mpsc::Sender<Input>>,
        receivers: Shutdown,
        outlets: &Shutdown,
        ready: watch::Receiver<bool>,
    ) -> Result<()> {
        let keeper_stage = self.stages.len();
        let mut destinations = destinations::build(self, outlets)?;
        let epoch = self.clock.started_at().as_ns();
        let hub = Hub::new(HubConfig { epoch, ..HubConfig::default() });
        let in_flight = self.config.memory_limit / 100 * IN_FLIGHT_PERCENT;
        let admission = Admission::new(in_flight, WAITING_BYTES);
        let governor = Arc::new(self.governor(&admission));
        tokio::spawn(self.panics.guarded("governor", Governor::watch(Arc::downgrade(&governor))));
        self.state.follow_outlets(Outlets {
            hub: Arc::clone(&hub),
            governor: Arc::clone(&governor),
            admission: admission.clone(),
            destinations: destinations.watched.clone(),
        });
        let to = std::mem::take(&mut destinations.archives);
        let archives = archives::build(self, to, &receivers)?;
        let (gathering, service) = archives.map_or((None, None), |a| (a.gathering, a.service));
        let into = Into { hub: Arc::clone(&hub), destinations, processor, gathering, governor };
        let work = self.worker(into, keeper_stage)?;
        let ports = receiver::Ports {
            grpc: grpc_listener.local_addr()?.port(),
            http: http_listener.local_addr()?.port(),
        };
        let receiving = receiver::Config { ports, ..receiver::Config::default() };
        let intake = Intake::new(receiving, admission, work, shared(self.spawner));
        let intake = Arc::new(intake);
        let check = Arc::new(|rules: &str| {
            compile_subscribed(rules)
                .map(|rules| rules.len() as u32)
                .map_err(|error| error.to_string())
        });
        let sampled = Service::new(hub, check);
        let mut server = grpc::Server::new(Arc::clone(&intake), Some(sampled), ready);
        if let Some(service) = service {
            server = server.with_archives(service);
        }
        let server = Arc::new(server);
        self.stage("receiver grpc", server.serve(grpc_listener, receivers.clone()));
        self.stage("receiver http", http::serve(http_listener, intake, receivers));
        Ok(())
    }

    fn worker(&mut self, into: Into, keeper_stage: usize) -> Result<Arc<dyn receiver::Ingest>> {
        let Into { hub, mut destinations, processor, gathering, governor } = into;
        let (mut collector, mut tap) = gathering.unzip();
        let shards = Shards::new(self.config.shards);
        let spares = Arc::default();
        let accounts = self.config.traces.as_ref().map(traces::Accounts::new).transpose()?;
        let mut cores = Vec::new();
        for shard in 0..shards.n() as usize {
            // Windows are gathered by one thread; the configuration sees to that.
            let mut core = self.core(accounts.as_ref())?.with_windows(collector.take());
            core.share_spares(&spares);
            self.state.restore(shard, &mut core, self.clock.now());
            cores.push(core);
        }
        let logged = self.keeper(&mut cores, &mut destinations.traces, keeper_stage)?;
        let (door, keepers) = logged.unzip();
        let mut keepers = keepers.into_iter().flatten();
        let fanout = Fanout {
            hub,
            records: self.state.records.clone(),
            forward: destinations.spans,
            traces: destinations.traces,
            processor,
            metrics: self.state.metrics.clone(),
            backlog: Vec::new(),
            hole: false,
            kept_at: Vec::new(),
        };
        let known = cores.iter().map(|core| Arc::clone(core.known())).collect();
        let metrics = self.state.metrics.clone();
        let (queue, work) =
            queue(shards, (spares, known), metrics, door, self.clock, self.panics.clone());
        let parts = cores.into_iter().zip(work).zip(School::all(shards));
        for (shard, ((core, work), school)) in parts.enumerate() {
            let state = Arc::clone(self.state);
            let show = Box::new(move |core: &Core, now, last| state.show(shard, core, now, last));
            let worker = Worker {
                core,
                clock: self.clock,
                fanout: fanout.clone(),
                show,
                revision: 0,
                keeper: keepers.next(),
                verdicts: Vec::new(),
                remember_next: Timestamp::default(),
                school,
                governor: (Arc::clone(&governor), shard),
                archive: (tap.take(), Vec::new()),
            };
            let run = async move { worker.run(work).await };
            self.stages
                .push(("worker", tokio::spawn(on_own_thread(self.panics.guard("worker"), run)?)));
        }
        Ok(queue)
    }

    /// Who sees to the memory limit.
    fn governor(&self, admission: &Admission) -> Governor {
        let (limit, n_shards) = (self.config.memory_limit, self.config.shards);
        let window = self.config.assembler.memory_bytes / u64::from(n_shards);
        Governor::new(limit, admission.clone(), window, n_shards as usize)
    }

    /// What waits for budget is held within a share of the memory, and within its own limit.
    fn bounded(&self, mut traces: Traces) -> Traces {
        let n_bytes = &mut traces.sampler.waiting.n_bytes;
        *n_bytes = (*n_bytes).min(self.config.memory_limit / 100 * PARKED_PERCENT);
        traces
    }

    /// The stages of one shard, with its part of the memory and of rates.
    fn core(&self, accounts: Option<&traces::Accounts>) -> Result<Core> {
        let Config { sampler, assembler, rules, traces, .. } = self.config;
        let n_shards = self.config.shards;
        let part = |bytes: u64| bytes / u64::from(n_shards);
        let budget = match sampler.budget {
            Budget::PerSecond(rate) => Budget::PerSecond(rate / f64::from(n_shards)),
            share @ Budget::Share(_) => share,
        };
        let traces = traces.clone().zip(accounts.cloned());
        Core::new(core::Config {
            sampler: spanwise_sampler::Config { budget, ..*sampler },
            assembler: spanwise_assembler::Config {
                memory_bytes: part(assembler.memory_bytes),
                full_bytes: part(assembler.full_bytes),
                ..*assembler
            },
            rules: Arc::clone(rules),
            traces: traces.map(|(traces, accounts)| traces::Config {
                traces: self.bounded(traces),
                recent_bytes: part(self.config.memory_limit / 100 * RECENT_PERCENT),
                is_logged: self.config.data_dir.is_some(),
                accounts,
                n_shards,
            }),
        })
    }

    /// The keeper of the span log, where traces are sampled and there is a directory; the
    /// destinations are its own then.
    fn keeper(
        &mut self,
        cores: &mut [Core],
        outlets: &mut Vec<Outlet>,
        stage: usize,
    ) -> Result<Option<Logged>> {
        let Some(dir) = self.config.data_dir.as_ref().filter(|_| self.config.traces.is_some())
        else {
            return Ok(None);
        };
        let outlets = std::mem::take(outlets);
        let cache_bytes = (self.config.memory_limit / 100 * READ_BACK_PERCENT) as usize;
        let (dir, ack_on) = ((dir.as_path(), cache_bytes), self.config.ack_on);
        let traces = cores.iter_mut().filter_map(Core::traces_mut);
        let mut decided: Vec<&mut Decided> = traces.map(Stage::decided_mut).collect();
        let opened = keeper::open(dir, ack_on, &outlets, self.clock, &mut decided)?;
        self.state.follow_keeper(opened.shown);
        let run = on_own_thread(self.panics.guard("keeper"), opened.keeper.run())?;
        let mark = on_own_thread(self.panics.guard("cursors"), opened.marker.run())?;
        // They end after the destinations, and the keeper first.
        self.stages.insert(stage, ("keeper", tokio::spawn(run)));
        self.stages.insert(stage, ("cursors", tokio::spawn(mark)));
        let (replay, again) = opened.replay.start();
        let replay = on_own_thread(self.panics.guard("replay"), replay)?;
        self.stages.push(("replay", tokio::spawn(replay)));
        let shards = cores.iter_mut().zip(opened.shards).map(|(core, shard)| {
            core.read_back_from(Box::new(shard.stored));
            shard.handle
        });
        Ok(Some((opened.door, shards.zip(again).collect())))
    }
}

/// Runs something that blocks on a thread of its own; the future ends when the thread has.
pub(super) fn blocking(
    guard: Guard,
    stage: impl FnOnce() + Send + 'static,
) -> Result<impl Future<Output = ()>> {
    let thread = std::thread::Builder::new().name(guard.stage().to_owned());
    let thread = thread.spawn(move || {
        let _guard = guard;
        stage();
    })?;
    // Its guard has told if it panicked.
    Ok(async move { drop(tokio::task::spawn_blocking(move || thread.join()).await) })
}

/// Runs a stage on a thread of its own; the future ends when the thread has.
fn on_own_thread(
    guard: Guard,
    stage: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = ()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    blocking(guard, move || runtime.block_on(stage))
}

/// Serves the API until it is told to stop.
pub(super) async fn api(
    listener: TcpListener,
    state: Arc<State>,
    insecure: bool,
    mut stop: watch::Receiver<bool>,
) {
    let feed = state.records.feed().clone();
    let render = |request: &[u8]| protobuf_to_json(request).ok();
    let api = ApiState::new(state.snapshots(), feed, Arc::clone(&state.registry)).rendering(render);
    let hosts = if insecure { Hosts::any() } else { Hosts::loopback(&[]) };
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    let served = axum::serve(listener, router(api, hosts)).with_graceful_shutdown(stopped).await;
    if let Err(error) = served {
        error!(%error, "api failed");
    }
}

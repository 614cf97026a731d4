//! The running process: listeners, worker, processor and API wired together, from the sinks
//! backwards, and taken down again in the order of the flow.

mod archived;
mod archives;
mod backends;
mod destinations;
mod outlets;
mod parts;
mod sampling;
mod spawn;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spanwise_otlp::transport::{ShutdownHandle, shutdown_channel};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::remote::Account;

pub use spawn::Spawner;
pub use state::State;

/// Time for draining before what is left is abandoned.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// Which half of the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Both.
    All,
    /// Receive and sample.
    Sampler,
    /// Decide and scale, from the stream of a sampler.
    Processor {
        /// The sampler's gRPC address.
        sampler: String,
    },
}

/// Addresses in use.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// OTLP over gRPC; `None` in a processor.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP; `None` in a processor.
    pub otlp_http: Option<SocketAddr>,
    /// API.
    pub http: SocketAddr,
}

/// A running spanwise.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    role: Role,
    state: Arc<State>,
    /// Receivers and the streams of subscribers, or the subscription.
    receivers: ShutdownHandle,
    /// Destinations of kept spans.
    outlets: ShutdownHandle,
    /// Ends the API.
    api_stop: watch::Sender<bool>,
    ready: watch::Sender<bool>,
    spawner: Arc<Spawner>,
    /// Tasks in the order in which they end: receivers, worker, outlets, processor.
    stages: Vec<(&'static str, JoinHandle<()>)>,
    api: JoinHandle<()>,
    account: Option<watch::Receiver<Account>>,
    mode: spanwise_model::Mode,
    in_memory: bool,
    /// What is said of archives.
    archives: Vec<String>,
}

impl Server {
    /// Starts everything. Nothing runs if any part of it fails.
    pub async fn start(config: Config, role: Role, clock: Clock) -> Result<Self> {
        let http =
            spanwise_otlp::receiver::bind(config.listen.http, config.listen.insecure).await?;
        let mut addresses =
            Addresses { otlp_grpc: None, otlp_http: None, http: http.local_addr()? };
        let listeners = listeners(&config, &role, &mut addresses).await?;
        let (receivers, receivers_shutdown) = shutdown_channel();
        let (outlets, outlets_shutdown) = shutdown_channel();
        let (ready, ready_receiver) = watch::channel(true);
        let spawner = Arc::new(Spawner::new());
        let state = State::open(&config, &role, clock, addresses)?;
        let mut parts = parts::Parts {
            config: &config,
            clock,
            state: &state,
            spawner: &spawner,
            stages: Vec::new(),
        };
        let processor = match role {
            Role::All | Role::Processor { .. } => Some(parts.processor().await?),
            Role::Sampler => None,
        };
        let mut account = None;
        match (&role, listeners) {
            (Role::Processor { sampler }, _) => {
                let subscribe = |input| parts.remote(sampler, input, receivers_shutdown);
                account = processor.map(subscribe).transpose()?;
            }
            (_, Some(listeners)) => {
                parts.receiving(
                    listeners,
                    processor,
                    receivers_shutdown,
                    &outlets_shutdown,
                    ready_receiver,
                )?;
            }
            (_, None) => {}
        }
        let mut stages = parts.stages;
        stages.reverse();
        let (api_stop, api_stopped) = watch::channel(false);
        let api =
            tokio::spawn(parts::api(http, Arc::clone(&state), config.listen.insecure, api_stopped));
        Ok(Self {
            addresses,
            archives: archives::banner(&config, &role),
            role,
            state,
            receivers,
            outlets,
            api_stop,
            ready,
            spawner,
            stages,
            api,
            account,
            mode: config.scaler.mode,
            in_memory: config.data_dir.is_none(),
        })
    }

    /// Addresses in use.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The account of a processor's subscription.
    pub fn account(&self) -> Option<Account> {
        self.account.as_ref().map(|account| *account.borrow())
    }

    /// Records of what happened.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// What is said on start.
    pub fn banner(&self) -> String {
        let mut lines = vec![format!(
            "spanwise {} - mode {}, {}",
            env!("CARGO_PKG_VERSION"),
            self.mode.as_str(),
            if self.in_memory { "in memory (nothing survives a restart)" } else { "durable" }
        )];
        if let (Some(grpc), Some(http)) = (self.addresses.otlp_grpc, self.addresses.otlp_http) {
            lines.push(format!("  OTLP   grpc {grpc}   http {http}"));
        }
        if let Role::Processor { sampler } = &self.role {
            lines.push(format!("  subscribed to {sampler}"));
        }
        lines.extend(self.archives.iter().map(|line| format!("  {line}")));
        lines.push(format!("  API    http://{}", self.addresses.http));
        lines.join("\n")
    }

    /// Drains in the order of the flow; whether that was done in time.
    pub async fn stop(self) -> bool {
        let before = self.state.in_flight();
        info!(n_traces = before.n_open_traces, n_spans = before.n_open_spans, "draining");
        self.ready.send_replace(false);
        self.state.stopping();
        self.receivers.drain();
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            for (name, stage) in self.stages {
                if name == parts::OUTLETS {
                    self.outlets.drain();
                }
                if let Err(error) = stage.await {
                    warn!(stage = name, %error, "stage failed");
                }
            }
            self.spawner.finished().await;
        });
        let in_time = drained.await.is_ok();
        if !in_time {
            warn!(seconds = DRAIN_MAX.as_secs(), "drain deadline passed; the rest is abandoned");
            self.receivers.abort();
            self.outlets.abort();
        }
        self.api_stop.send_replace(true);
        // The API holds nothing that could be lost.
        drop(tokio::time::timeout(Duration::from_secs(1), self.api).await);
        let after = self.state.in_flight();
        info!(n_traces = after.n_open_traces, n_spans = after.n_open_spans, "stopped");
        in_time
    }
}

/// Waits for SIGTERM, SIGINT or ctrl-c.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    // Without signals there is nothing to wait for but the end.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The OTLP listeners, unless this is a processor.
async fn listeners(
    config: &Config,
    role: &Role,
    addresses: &mut Addresses,
) -> Result<Option<(TcpListener, TcpListener)>> {
    if matches!(role, Role::Processor { .. }) {
        return Ok(None);
    }
    let bind = spanwise_otlp::receiver::bind;
    let grpc = bind(config.listen.otlp_grpc, config.listen.insecure).await?;
    let http = bind(config.listen.otlp_http, config.listen.insecure).await?;
    addresses.otlp_grpc = Some(grpc.local_addr()?);
    addresses.otlp_http = Some(http.local_addr()?);
    Ok(Some((grpc, http)))
}

//! The running process: listeners, worker, processor and API wired together, from the sinks
//! backwards, and taken down again in the order of the flow.

mod archived;
mod archives;
mod backends;
mod destinations;
mod folder;
mod lateness;
mod outlets;
mod parts;
mod picture;
mod sampling;
mod saved;
mod spawn;
mod state;
mod stopping;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use spanwise_otlp::receiver::BindError;
use spanwise_otlp::transport::{ShutdownHandle, shutdown_channel};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::panics::Panics;
use crate::pipeline::remote::Account;

pub use spawn::Spawner;
pub use state::State;
pub use stopping::STOP_MAX;

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
    panics: Panics,
    api: JoinHandle<()>,
    account: Option<watch::Receiver<Account>>,
    mode: spanwise_model::Mode,
    kept_on_disk: OnDisk,
    /// What is said of archives.
    archives: Vec<String>,
}

/// What survives a restart.
#[derive(Clone, Copy, Debug)]
enum OnDisk {
    Nothing,
    /// Models and decisions, but no spans.
    State,
    /// Spans too, before they are acknowledged.
    Spans,
}

impl Server {
    /// Starts everything. Nothing runs if any part of it fails.
    pub async fn start(config: Config, role: Role, clock: Clock) -> Result<Self> {
        let http = bind(config.listen.http, config.listen.insecure, "--http").await?;
        let mut addresses =
            Addresses { otlp_grpc: None, otlp_http: None, http: http.local_addr()? };
        let listeners = listeners(&config, &role, &mut addresses).await?;
        let (receivers, receivers_shutdown) = shutdown_channel();
        let (outlets, outlets_shutdown) = shutdown_channel();
        let (ready, ready_receiver) = watch::channel(true);
        let spawner = Arc::new(Spawner::new());
        let orchestrator = match &role {
            Role::All | Role::Processor { .. } => Some(backends::build(&config).await?),
            Role::Sampler => None,
        };
        let made = folder::Made::folder(config.data_dir.as_deref())?;
        let state = State::open(&config, &role, clock, addresses)?;
        let mut parts = parts::Parts {
            config: &config,
            clock,
            state: &state,
            spawner: &spawner,
            stages: Vec::new(),
            panics: Panics::default(),
        };
        let processor = orchestrator.map(|orchestrator| parts.processor(orchestrator));
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
        let (mut stages, panics) = (parts.stages, parts.panics);
        stages.reverse();
        let (api_stop, api_stopped) = watch::channel(false);
        let api =
            tokio::spawn(parts::api(http, Arc::clone(&state), config.listen.insecure, api_stopped));
        made.keep();
        Ok(Self {
            addresses,
            archives: archives::banner(&config, &role),
            role,
            receivers,
            outlets,
            api_stop,
            ready,
            spawner,
            stages,
            panics,
            api,
            account,
            mode: config.scaler.mode,
            kept_on_disk: match &config.data_dir {
                None => OnDisk::Nothing,
                Some(_) if state.keeper().is_none() => OnDisk::State,
                Some(_) => OnDisk::Spans,
            },
            state,
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

    /// Ends when the log of spans has stopped for good; never without such a log.
    pub async fn log_stopped(&self) {
        match self.state.keeper() {
            Some(shown) => shown.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Tells of stages that panicked: nothing is taken any more then, and the process should end.
    pub fn panics(&self) -> &Panics {
        &self.panics
    }

    /// What is said on start.
    pub fn banner(&self) -> String {
        let mut lines = vec![format!(
            "spanwise {} - mode {}, {}",
            env!("CARGO_PKG_VERSION"),
            self.mode.as_str(),
            match self.kept_on_disk {
                OnDisk::Nothing => "in memory (nothing survives a restart)",
                OnDisk::State => "models and decisions durable, spans acknowledged from memory",
                OnDisk::Spans => "durable",
            }
        )];
        if let (Some(grpc), Some(http)) = (self.addresses.otlp_grpc, self.addresses.otlp_http) {
            lines.push(format!("  OTLP   grpc {grpc}   http {http}"));
        }
        if let Role::Processor { sampler } = &self.role {
            lines.push(format!("  subscribing to {sampler}"));
        }
        lines.extend(self.archives.iter().map(|line| format!("  {line}")));
        lines.push(format!("  API    http://{}", self.addresses.http));
        lines.join("\n")
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
    let insecure = config.listen.insecure;
    let grpc = bind(config.listen.otlp_grpc, insecure, "--otlp-grpc").await?;
    let http = bind(config.listen.otlp_http, insecure, "--otlp-http").await?;
    addresses.otlp_grpc = Some(grpc.local_addr()?);
    addresses.otlp_http = Some(http.local_addr()?);
    Ok(Some((grpc, http)))
}

/// Listens; an error names the flag that chooses another address.
async fn bind(addr: SocketAddr, insecure: bool, flag: &str) -> Result<TcpListener> {
    spanwise_otlp::receiver::bind(addr, insecure).await.map_err(|error| match error {
        BindError::Io { addr, source } => {
            let fix = match source.kind() {
                ErrorKind::AddrInUse => {
                    format!("stop what listens there (another spanwise, a collector), or choose another port with {flag}")
                }
                ErrorKind::PermissionDenied => {
                    format!("ports below 1024 need privileges: choose a higher one with {flag}")
                }
                ErrorKind::AddrNotAvailable => {
                    format!("this machine does not have that address: choose another with {flag}")
                }
                _ => format!("choose another address with {flag}"),
            };
            anyhow!("cannot listen on {addr}: {source}\n  fix: {fix}")
        }
        error @ BindError::Exposed { .. } => error.into(),
    })
}

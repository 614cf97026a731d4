//! The gRPC listener: OTLP's `TraceService`, the stream of sampled spans, archives, and health.

mod connection;
mod export;
mod health;
mod route;

mod watchdog;

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::archives;
use crate::receiver::connections;
use crate::receiver::intake::Intake;
use crate::receiver::port::Protocol;
use crate::sampled_spans::Service;
use crate::transport::Shutdown;

/// What is served on the listener.
pub struct Server {
    intake: Arc<Intake>,
    sampled_spans: Option<Arc<Service>>,
    archives: Option<Arc<archives::Service>>,
    /// Whether the process is ready: what gRPC health reports.
    ready: watch::Receiver<bool>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("intake", &self.intake).finish_non_exhaustive()
    }
}

impl Server {
    /// A server of `TraceService` and health; `sampled_spans` as well if given. `ready` is what
    /// health reports until the shutdown begins.
    pub fn new(
        intake: Arc<Intake>,
        sampled_spans: Option<Arc<Service>>,
        ready: watch::Receiver<bool>,
    ) -> Self {
        Self { intake, sampled_spans, archives: None, ready }
    }

    /// The same, which takes archives too.
    #[must_use]
    pub fn with_archives(self, archives: Arc<archives::Service>) -> Self {
        Self { archives: Some(archives), ..self }
    }

    /// Serves until the shutdown begins and the last connection has ended. Connections run as tasks
    /// of their own. Several calls with clones of one listener's socket may run beside each other.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: Shutdown) {
        let intake = Arc::clone(&self.intake);
        let serve: connections::Serve = Arc::new(move |io, peer, shutdown| {
            connection::serve(io, peer, Arc::clone(&self), shutdown).boxed()
        });
        connections::accept(listener, intake, Protocol::Grpc, shutdown, serve).await;
    }
}

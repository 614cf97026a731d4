//! spanwise inside the test's process.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use spanwise::clock::Clock;
use spanwise::config::{Config, load};
use spanwise::serve::{Addresses, Role, Server, Spawner};
use spanwise_otlp::exporter::{self, Client, ExportError, Exported, Protocol};
use spanwise_otlp::transport::{Compression, Endpoint};
use tokio::runtime::Runtime;

/// Free ports on loopback.
pub(crate) const LISTEN: &str =
    "listen: {otlp_grpc: 127.0.0.1:0, otlp_http: 127.0.0.1:0, http: 127.0.0.1:0}\n";

/// A configuration as `serve` would read it, on free ports.
pub(crate) fn config(yaml: &str) -> Config {
    load::parse("test.yaml", &format!("{LISTEN}{yaml}"), |_| ()).unwrap().config
}

/// A server and the runtime it lives in.
pub(crate) struct Running {
    server: Option<Server>,
    runtime: Option<Runtime>,
}

impl Running {
    pub(crate) fn start(yaml: &str, role: Role) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let server = runtime.block_on(Server::start(config(yaml), role, Clock::start())).unwrap();
        Self { server: Some(server), runtime: Some(runtime) }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.server().addresses()
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.addresses().otlp_grpc.unwrap()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.addresses().otlp_http.unwrap()
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.addresses().http
    }

    /// Drains; whether that was done in time.
    pub(crate) fn stop(mut self) -> bool {
        let server = self.server.take().unwrap();
        self.runtime().block_on(server.stop())
    }

    /// Sends a request over gRPC.
    pub(crate) fn send(&self, request: Bytes) {
        self.runtime()
            .block_on(export(self.grpc(), Protocol::Grpc, Compression::Identity, request))
            .unwrap();
    }
}

impl Drop for Running {
    /// After a failed assertion: whatever still runs must not hide it by being waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends one request over a connection of its own.
pub(crate) async fn export(
    to: SocketAddr,
    protocol: Protocol,
    compression: Compression,
    request: Bytes,
) -> Result<Exported, ExportError> {
    let endpoint = Endpoint::parse(&to.to_string(), protocol.default_port()).unwrap();
    let mut config = exporter::Config::new(endpoint, protocol);
    config.compression = compression;
    config.timeout = std::time::Duration::from_mins(1);
    Client::new(config, Arc::new(Spawner::new())).export(request).await
}

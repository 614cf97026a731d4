//! An OTLP receiver that takes everything and remembers it: what a store behind spanwise sees.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use spanwise::serve::Spawner;
use spanwise_model::Batch;
use spanwise_otlp::admission::{Admission, Charge};
use spanwise_otlp::receiver::{
    Config, Ingest, Intake, NotTaken, Protocol, ReceiverEvent, RequestMeta, bind, grpc, http,
};
use spanwise_otlp::transport::{ShutdownHandle, Spawn, shutdown_channel};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What came in.
#[derive(Default)]
struct Received(Mutex<Vec<(Protocol, Batch)>>);

impl Ingest for Received {
    fn submit(
        &self,
        batch: Batch,
        meta: RequestMeta,
        _charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>> {
        self.0.lock().push((meta.protocol, batch));
        std::future::ready(Ok(())).boxed()
    }

    fn record(&self, _event: ReceiverEvent) {}
}

/// The receiver, running.
pub(crate) struct Sink {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    received: Arc<Received>,
    /// Ends it when dropped.
    _shutdown: ShutdownHandle,
    _ready: watch::Sender<bool>,
}

impl Sink {
    pub(crate) fn start(runtime: &Runtime) -> Self {
        Self::start_at(runtime, "127.0.0.1:0".parse().unwrap())
    }

    /// A receiver whose gRPC listens there.
    pub(crate) fn start_at(runtime: &Runtime, grpc: SocketAddr) -> Self {
        runtime.block_on(async {
            let received = Arc::<Received>::default();
            let spawner: Arc<dyn Spawn> = Arc::new(Spawner::new());
            let ingest: Arc<dyn Ingest> = Arc::clone(&received) as _;
            let admission = Admission::new(256 << 20, 32 << 20);
            let intake =
                Arc::new(Intake::new(Config::default(), admission, ingest, Arc::clone(&spawner)));
            let (shutdown, signal) = shutdown_channel();
            let (ready, readiness) = watch::channel(true);
            let any = "127.0.0.1:0".parse().unwrap();
            let grpc_listener = bind(grpc, false).await.unwrap();
            let http_listener = bind(any, false).await.unwrap();
            let (grpc, http) =
                (grpc_listener.local_addr().unwrap(), http_listener.local_addr().unwrap());
            let server = Arc::new(grpc::Server::new(Arc::clone(&intake), None, readiness));
            spawner.spawn(server.serve(grpc_listener, signal.clone()).boxed());
            spawner.spawn(http::serve(http_listener, intake, signal).boxed());
            Self { grpc, http, received, _shutdown: shutdown, _ready: ready }
        })
    }

    /// Spans that came in so far.
    pub(crate) fn n_spans(&self) -> u64 {
        self.received.0.lock().iter().map(|(_, batch)| batch.spans.len() as u64).sum()
    }

    /// The batches that came in over a protocol so far.
    pub(crate) fn batches(&self, protocol: Protocol) -> Vec<Batch> {
        let received = self.received.0.lock();
        received.iter().filter(|(by, _)| *by == protocol).map(|(_, batch)| batch.clone()).collect()
    }
}

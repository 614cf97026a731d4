//! What the tests of the network side share: an application in miniature behind the receivers, and
//! a raw HTTP/1 client that believes nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use spanwise_model::Batch;
use spanwise_otlp::admission::{Admission, Charge};
use spanwise_otlp::receiver::{
    Config, Ingest, Intake, NotTaken, Outcome, Overloaded, ReceiverEvent, RequestMeta,
    RequestOutcome, bind, grpc, http,
};
use spanwise_otlp::sampled_spans::Service;
use spanwise_otlp::transport::{ShutdownHandle, Spawn, shutdown_channel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Runs tasks on the test's runtime and counts those still running.
#[derive(Default)]
pub(crate) struct Tasks {
    n_running: Arc<AtomicUsize>,
}

impl Tasks {
    pub(crate) fn n_running(&self) -> usize {
        self.n_running.load(Ordering::SeqCst)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is its own application")]
impl Spawn for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let n_running = Arc::clone(&self.n_running);
        n_running.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            task.await;
            n_running.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(job);
    }
}

/// What the application does with a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes it and frees its memory.
    #[default]
    Takes,
    /// Takes it and keeps it queued for ever.
    Hoards,
    /// Has no room.
    Refuses,
    /// Will never have room for it.
    NeverTakes,
    /// Refuses before reading.
    Closed,
}

/// The pause that [`Mood::Refuses`] asks for.
pub(crate) const PAUSE: Duration = Duration::from_millis(1_500);

/// An application that takes notes.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) batches: Mutex<Vec<(Batch, RequestMeta)>>,
    pub(crate) events: Mutex<Vec<ReceiverEvent>>,
    pub(crate) charges: Mutex<Vec<Charge>>,
}

impl Ingest for Notes {
    fn submit(
        &self,
        batch: Batch,
        meta: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>> {
        assert!(charge.bytes() >= batch.heap_bytes(), "a batch comes paid for");
        let mood = *self.mood.lock();
        if mood == Mood::Refuses {
            let overloaded = Overloaded { retry_after: PAUSE };
            return std::future::ready(Err(overloaded.into())).boxed();
        }
        if mood == Mood::NeverTakes {
            let too_large = NotTaken::TooLarge { n_bytes: 2_000, limit: 1_000 };
            return std::future::ready(Err(too_large)).boxed();
        }
        if mood == Mood::Hoards {
            self.charges.lock().push(charge);
        }
        self.batches.lock().push((batch, meta));
        std::future::ready(Ok(())).boxed()
    }

    fn record(&self, event: ReceiverEvent) {
        self.events.lock().push(event);
    }

    fn overloaded(&self) -> Option<Overloaded> {
        (*self.mood.lock() == Mood::Closed).then_some(Overloaded { retry_after: PAUSE })
    }
}

impl Notes {
    pub(crate) fn n_spans(&self, outcome: Outcome) -> u64 {
        let events = self.events.lock();
        let spans = events.iter().filter_map(|event| match event {
            ReceiverEvent::Spans { outcome: o, n_spans, .. } if *o == outcome => Some(*n_spans),
            _ => None,
        });
        spans.sum()
    }

    pub(crate) fn outcomes(&self) -> Vec<RequestOutcome> {
        let events = self.events.lock();
        let outcomes = events.iter().filter_map(|event| match event {
            ReceiverEvent::Request { outcome, .. } => Some(*outcome),
            _ => None,
        });
        outcomes.collect()
    }

    /// Waits until `done`; a minute at most.
    pub(crate) async fn until(&self, done: impl Fn(&Self) -> bool) {
        for _ in 0..6_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited for a minute: {:?}", self.events.lock());
    }
}

/// Both receivers, running.
pub(crate) struct Receivers {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) notes: Arc<Notes>,
    pub(crate) admission: Admission,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) shutdown: ShutdownHandle,
    pub(crate) ready: watch::Sender<bool>,
}

/// Settings of the receivers of a test.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) in_flight_bytes: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) service: Option<Arc<Service>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config::default(),
            in_flight_bytes: 256 << 20,
            waiting_bytes: 32 << 20,
            service: None,
        }
    }
}

impl Setup {
    pub(crate) async fn start(self) -> Receivers {
        let notes = Arc::<Notes>::default();
        let tasks = Arc::<Tasks>::default();
        let admission = Admission::new(self.in_flight_bytes, self.waiting_bytes);
        let ingest: Arc<dyn Ingest> = Arc::clone(&notes) as _;
        let spawn: Arc<dyn Spawn> = Arc::clone(&tasks) as _;
        let intake = Arc::new(Intake::new(self.config, admission.clone(), ingest, spawn));
        let (shutdown, signal) = shutdown_channel();
        let (ready, readiness) = watch::channel(true);

        let any = "127.0.0.1:0".parse().unwrap();
        let grpc_listener = bind(any, false).await.unwrap();
        let http_listener = bind(any, false).await.unwrap();
        let grpc = grpc_listener.local_addr().unwrap();
        let http = http_listener.local_addr().unwrap();
        let server = Arc::new(grpc::Server::new(Arc::clone(&intake), self.service, readiness));
        tasks.spawn(server.serve(grpc_listener, signal.clone()).boxed());
        tasks.spawn(http::serve(http_listener, intake, signal).boxed());
        Receivers { grpc, http, notes, admission, tasks, shutdown, ready }
    }
}

pub(crate) async fn start() -> Receivers {
    Setup::default().start().await
}

impl Receivers {
    /// Ends everything and asserts that nothing is left.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        for _ in 0..1_000 {
            if self.tasks.n_running() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.tasks.n_running(), 0, "tasks left after the drain");
        assert_eq!(self.admission.waiting_bytes(), 0);
    }
}

/// A reply as it came over the wire.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawReply {
    /// The value of a header, empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        line.unwrap_or_default()
    }
}

/// Posts a body and reads the reply.
pub(crate) async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> RawReply {
    let mut io = TcpStream::connect(to).await.unwrap();
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("connection: close\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    // The server may answer before it has read everything; then the reply is what counts.
    let (mut read, mut write) = io.split();
    let (sent, reply) =
        futures_util::future::join(write.write_all(body), read_reply(&mut read)).await;
    assert!(sent.is_ok() || !reply.head.is_empty());
    reply
}

/// Reads one reply to the end of the connection.
pub(crate) async fn read_reply(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> RawReply {
    let mut bytes = Vec::new();
    let end = io.read_to_end(&mut bytes).await;
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let split = split.unwrap_or_else(|| panic!("no reply: {end:?} after {} bytes", bytes.len()));
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    RawReply { status, head, body: bytes[split + 4..].to_vec() }
}

pub(crate) fn gzip(bytes: &[u8]) -> Bytes {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

pub(crate) fn zstd(bytes: &[u8]) -> Bytes {
    zstd::stream::encode_all(bytes, 1).unwrap().into()
}

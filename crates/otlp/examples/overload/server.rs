//! The server under load, its neighbours, and where it sends what it keeps.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use spanwise_model::{Batch, TraceId};
use spanwise_otlp::admission::{Admission, Charge};
use spanwise_otlp::receiver::{self, Ingest, Intake, NotTaken, ReceiverEvent, RequestMeta, grpc};
use spanwise_otlp::transport::{ShutdownHandle, shutdown_channel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Error;
use super::payload::{is_anomalous, request_of};
use super::spawner::Tokio;

/// The core of the server and its neighbours.
const CORE: &str = "0";

/// `spanwise serve`, pinned, with its files.
pub(crate) struct Server {
    child: Child,
    pub(crate) grpc: SocketAddr,
    http: SocketAddr,
    _dir: tempfile::TempDir,
}

/// What the server has counted.
#[expect(clippy::struct_field_names, reason = "counts are named n_ everywhere")]
pub(crate) struct Counts {
    pub(crate) n_accepted_spans: u64,
    pub(crate) n_judged_spans: u64,
    pub(crate) n_overloaded: u64,
}

impl Server {
    pub(crate) fn start(
        path: &str,
        sink: SocketAddr,
        limit_mib: u64,
        budget: &str,
    ) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("spanwise.yaml");
        std::fs::write(
            &config,
            format!(
                "memory_limit: {limit_mib}MiB\nsampler: {{traces: {{budget: {budget}}}}}\n\
                 forward: [{{endpoint: 'http://{sink}', send: traces}}]\n"
            ),
        )?;
        let free = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (grpc, otlp_http, http) = (free()?, free()?, free()?);
        let child = Command::new("taskset")
            .args(["-c", CORE, path, "serve", "-c"])
            .arg(&config)
            .args(["--otlp-grpc", &grpc.to_string(), "--otlp-http", &otlp_http.to_string()])
            .args(["--http", &http.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        for _ in 0..200 {
            if std::net::TcpStream::connect(http).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { child, grpc, http, _dir: dir })
    }

    /// From its metrics.
    pub(crate) async fn counts(&self) -> Result<Counts, Error> {
        let mut stream = TcpStream::connect(self.http).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http);
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let sum = |name: &str, label: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        // Every trace has sixteen spans; those closed in parts would count twice, and show. What
        // remembers dropped traces errs once in some thousand: such a trace follows a verdict.
        let n_judged = sum("spanwise_traces_horizon_units", "outcome=\"seen\"");
        let n_followed = sum("spanwise_traces_late_spans_total", "outcome=\"followed_");
        Ok(Counts {
            n_accepted_spans: sum("spanwise_receiver_spans_total", "outcome=\"accepted\""),
            n_judged_spans: n_judged * super::payload::N_SPANS / super::payload::TRACES
                + n_followed,
            n_overloaded: sum("spanwise_receiver_requests_total", "outcome=\"overloaded\""),
        })
    }

    /// Peak resident memory.
    pub(crate) fn peak_kib(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to be done if it has ended.
        drop(self.stop());
    }
}

/// Processes that do nothing but run, on the server's core. Each in a group of its own (setsid): the
/// kernel shares a core among groups first.
pub(crate) struct Neighbours(Vec<Child>);

impl Neighbours {
    pub(crate) fn start(n: u64) -> Result<Self, Error> {
        let one = || {
            Command::new("setsid")
                .args(["taskset", "-c", CORE, "sh", "-c", "while :; do :; done"])
                .spawn()
        };
        Ok(Self((0..n).map(|_| one()).collect::<Result<_, _>>()?))
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A receiver in this process that remembers which traces came.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    ids: Arc<Ids>,
    /// Ends it when dropped.
    _shutdown: ShutdownHandle,
    _ready: tokio::sync::watch::Sender<bool>,
}

/// Kept traces of some requests.
pub(crate) struct Kept {
    pub(crate) n_anomalous: u64,
    pub(crate) n_ordinary: u64,
}

#[derive(Default)]
struct Ids(Mutex<BTreeSet<TraceId>>);

impl Ingest for Ids {
    fn submit(
        &self,
        batch: Batch,
        _: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>> {
        let mut ids = self.0.lock();
        ids.extend(batch.spans.iter().map(|head| head.trace_id));
        drop(charge);
        std::future::ready(Ok(())).boxed()
    }

    fn record(&self, _: ReceiverEvent) {}
}

impl Sink {
    pub(crate) async fn start() -> Result<Self, Error> {
        let ids = Arc::<Ids>::default();
        let admission = Admission::new(128 << 20, 32 << 20);
        let ingest = Arc::clone(&ids) as Arc<dyn Ingest>;
        let config = receiver::Config::default();
        let intake = Arc::new(Intake::new(config, admission, ingest, Arc::new(Tokio)));
        let (ready, readiness) = tokio::sync::watch::channel(true);
        let (shutdown, signal) = shutdown_channel();
        let listener = receiver::bind("127.0.0.1:0".parse()?, false).await?;
        let addr = listener.local_addr()?;
        let server = Arc::new(grpc::Server::new(intake, None, readiness));
        tokio::spawn(server.serve(listener, signal));
        Ok(Self { addr, ids, _shutdown: shutdown, _ready: ready })
    }

    /// Traces of these requests that came.
    pub(crate) fn kept(&self, requests: Range<u32>) -> Kept {
        let ids = self.ids.0.lock();
        let mine = ids.iter().filter(|id| requests.contains(&request_of(**id)));
        let (anomalous, ordinary): (Vec<&TraceId>, Vec<&TraceId>) =
            mine.partition(|id| is_anomalous(**id));
        Kept { n_anomalous: anomalous.len() as u64, n_ordinary: ordinary.len() as u64 }
    }
}

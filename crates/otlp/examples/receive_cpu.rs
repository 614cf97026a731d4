//! CPU time per span of a gRPC server, from the kernel's accounts: ours, which reads, checks and
//! decodes to heads, and a naive one, which is tonic with prost and drops what it decoded.
//!
//! `cargo run --release -p spanwise-otlp --example receive_cpu [SPANS] [--per-request N]
//! [--spanwise PATH [--traces]]`: the servers run as processes of their own, one after the other, three
//! rounds. Requests hold 512 spans unless told otherwise. With a path, that `spanwise` binary is
//! measured too, its whole pipeline included; with `--traces` also with whole traces decided and a
//! tenth of them forwarded to another naive server, in memory and with a data directory (`fsync`),
//! until the last trace is decided. The payload comes again and again with other trace ids.

#![expect(clippy::print_stdout, reason = "an example prints its result")]
#![expect(clippy::disallowed_methods, reason = "an example is its own application")]

#[path = "common/spawner.rs"]
mod spawner;
#[path = "common/trace_ids.rs"]
mod trace_ids;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use spanwise_model::Batch;
use spanwise_otlp::admission::{Admission, Charge};
use spanwise_otlp::exporter::{Client, Config, ExportError, Protocol};
use spanwise_otlp::receiver::{self, Ingest, Intake, NotTaken, ReceiverEvent, RequestMeta, grpc};
use spanwise_otlp::transport::{Endpoint, shutdown_channel};
use spanwise_otlp::{KeptSpan, Limits, bench_payload, decode, reframe};

use spawner::Tokio;
use trace_ids::places_of_ids;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

const N_ROUNDS: usize = 3;
const N_CONNECTIONS: usize = 4;
/// A trace is decided a second after its root came; then the kept ones are sent.
const SETTLES: Duration = Duration::from_secs(3);

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", "ours"] => serve(serve_ours()),
        ["serve", "naive"] => serve(serve_naive()),
        _ => measure(&args),
    }
}

fn serve(server: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(server)
}

/// Drops what it gets.
struct Drain;

impl Ingest for Drain {
    fn submit(
        &self,
        batch: Batch,
        _: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>> {
        drop((batch, charge));
        std::future::ready(Ok(())).boxed()
    }

    fn record(&self, _: ReceiverEvent) {}
}

async fn serve_ours() -> Result<(), Error> {
    let admission = Admission::new(128 << 20, 32 << 20);
    let config = receiver::Config::default();
    let intake = Arc::new(Intake::new(config, admission, Arc::new(Drain), Arc::new(Tokio)));
    let (_ready, ready) = tokio::sync::watch::channel(true);
    let server = Arc::new(grpc::Server::new(intake, None, ready));
    let listener = receiver::bind("127.0.0.1:0".parse()?, false).await?;
    println!("{}", listener.local_addr()?);
    let (_shutdown, signal) = shutdown_channel();
    server.serve(listener, signal).await;
    Ok(())
}

#[derive(Clone)]
struct Naive;

#[tonic::async_trait]
impl TraceService for Naive {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        drop(request);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn serve_naive() -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let service = TraceServiceServer::new(Naive).max_decoding_message_size(64 << 20);
    // The same windows and frames, so that only the reading differs.
    tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .add_service(service)
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

fn measure(args: &[&str]) -> Result<(), Error> {
    let n_spans: usize = match args.first().filter(|arg| !arg.starts_with("--")) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let option = |name| args.iter().position(|arg| *arg == name).and_then(|idx| args.get(idx + 1));
    let spanwise = option("--spanwise");
    let n_per_request = option("--per-request").map_or(Ok(512), |text| text.parse())?;
    let payload = cut(&bench_payload(64, 1), n_per_request)?;
    let load = Load {
        ids: payload.iter().map(places_of_ids).collect(),
        payload,
        n_requests: n_spans.div_ceil(n_per_request),
        n_per_request,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for round in 1..=N_ROUNDS {
        let load = |server: Server| server.load(&runtime, &load);
        let this = || std::env::current_exe().map(Command::new);
        let naive = load(Server::start(this()?.args(["serve", "naive"]))?)?;
        let ours = load(Server::start(this()?.args(["serve", "ours"]))?)?;
        let mut whole = String::new();
        if let Some(path) = spanwise {
            let sink = Server::start(this()?.args(["serve", "naive"]))?;
            let ways: &[Way] = if args.contains(&"--traces") { &Way::ALL } else { &[Way::Spans] };
            for way in ways {
                let ns = load(Server::start_spanwise(path, *way, sink.addr)?)?;
                write!(whole, ", {} {ns:.0} ({:.2}x)", way.name(), ns / naive)?;
            }
        }
        let ratio = ours / naive;
        println!(
            "round {round}, ns of CPU per span: naive {naive:.0}, ours {ours:.0} ({ratio:.2}x){whole}"
        );
    }
    Ok(())
}

/// What is sent.
struct Load {
    payload: Vec<Bytes>,
    /// Where the trace ids stand in each.
    ids: Vec<Vec<u32>>,
    n_requests: usize,
    n_per_request: usize,
}

/// What of spanwise is measured.
#[derive(Clone, Copy)]
enum Way {
    /// Spans sampled, nothing forwarded.
    Spans,
    /// Traces decided, a tenth forwarded.
    Traces,
    /// The same, on disk before each answer.
    Durable,
}

impl Way {
    const ALL: [Self; 3] = [Self::Spans, Self::Traces, Self::Durable];

    fn name(self) -> &'static str {
        match self {
            Self::Spans => "spanwise",
            Self::Traces => "traces",
            Self::Durable => "durable traces",
        }
    }

    fn config(self, data_dir: &Path, sink: SocketAddr) -> String {
        let traces = format!(
            "sampler: {{traces: {{budget: 10%}}}}\nforward: [{{endpoint: 'http://{sink}', send: traces}}]\n"
        );
        match self {
            Self::Spans => "version: 1\n".to_owned(),
            Self::Traces => traces,
            Self::Durable => format!("{traces}data_dir: {}\n", data_dir.display()),
        }
    }
}

impl Load {
    /// Request `idx`; when all have been sent once, they come again with other trace ids.
    fn request(&self, idx: usize) -> Bytes {
        let pass = (idx / self.payload.len()) as u32;
        let request = &self.payload[idx % self.payload.len()];
        let mut bytes = request.to_vec();
        for &at in &self.ids[idx % self.payload.len()] {
            let place = &mut bytes[at as usize..at as usize + 4];
            let first = u32::from_be_bytes([place[0], place[1], place[2], place[3]]);
            place.copy_from_slice(&(first ^ pass).to_be_bytes());
        }
        bytes.into()
    }
}

/// The same spans in requests of `n` spans, which divides 512.
fn cut(payload: &[Bytes], n: usize) -> Result<Vec<Bytes>, Error> {
    let mut requests = Vec::new();
    for request in payload {
        let batch = decode(request.clone(), &Limits::default())?.batch;
        let spans = 0..batch.spans.len() as u32;
        let kept: Vec<KeptSpan<'_>> =
            spans.map(|span_idx| KeptSpan { batch: &batch, span_idx, stamp: &[] }).collect();
        requests.extend(kept.chunks(n).map(|kept| reframe(kept).bytes));
    }
    Ok(requests)
}

/// A server process, ended when dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
    /// How long after the last answer it still works.
    settles: Duration,
    /// Its files, if it has any.
    _dir: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts a server that prints its address.
    fn start(command: &mut Command) -> Result<Self, Error> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse()?;
        Ok(Self { addr, child, settles: Duration::ZERO, _dir: None })
    }

    fn start_spanwise(path: &str, way: Way, sink: SocketAddr) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("spanwise.yaml");
        std::fs::write(&config, way.config(&dir.path().join("data"), sink))?;
        let free = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (addr, http, api) = (free()?, free()?, free()?);
        let child = Command::new(path)
            .args(["serve", "--otlp-grpc", &addr.to_string()])
            .arg("-c")
            .arg(&config)
            .args(["--otlp-http", &http.to_string(), "--http", &api.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let settles = if matches!(way, Way::Spans) { Duration::ZERO } else { SETTLES };
        Ok(Self { child, addr, settles, _dir: Some(dir) })
    }

    /// CPU nanoseconds per span of a load, after as much has been sent to warm up: a server that holds
    /// open traces grows for as long as it waits for the rest of them.
    fn load(&self, runtime: &tokio::runtime::Runtime, load: &Load) -> Result<f64, Error> {
        let n_warm = load.n_requests.max(load.payload.len());
        runtime.block_on(self.send(load, 0..n_warm))?;
        std::thread::sleep(self.settles);
        let before = self.cpu_ns()?;
        runtime.block_on(self.send(load, n_warm..n_warm + load.n_requests))?;
        std::thread::sleep(self.settles);
        let spent = self.cpu_ns()? - before;
        Ok(spent / (load.n_requests * load.n_per_request) as f64)
    }

    async fn send(&self, load: &Load, requests: Range<usize>) -> Result<(), Error> {
        let endpoint = Endpoint::parse(&self.addr.to_string(), 4317)?;
        let lanes = (0..N_CONNECTIONS).map(|lane| {
            let config = Config::new(endpoint.clone(), Protocol::Grpc);
            let mine = requests.clone().skip(lane).step_by(N_CONNECTIONS);
            async move {
                let mut client = Client::new(config, Arc::new(Tokio));
                for idx in mine {
                    deliver(&mut client, &load.request(idx)).await?;
                }
                Ok::<(), ExportError>(())
            }
        });
        for result in join_all(lanes).await {
            result?;
        }
        Ok(())
    }

    /// User and system time of the process, threads that have ended included, to 10 ms.
    fn cpu_ns(&self) -> Result<f64, Error> {
        /// Linux shows times in hundredths of a second everywhere.
        const TICK_NS: u64 = 10_000_000;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is a name in parentheses, which may hold anything; utime and stime are the
        // fourteenth and fifteenth.
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok((ticks.sum::<Result<u64, _>>()? * TICK_NS) as f64)
    }
}

/// Sends one request; again if the server is starting or busy.
async fn deliver(client: &mut Client, request: &Bytes) -> Result<(), ExportError> {
    loop {
        match client.export(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to be done if it has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

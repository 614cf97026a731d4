//! CPU time per span of a gRPC server, from the kernel's accounts: ours, which reads, checks and
//! decodes to heads, and a naive one, which is tonic with prost and drops what it decoded.
//!
//! `cargo run --release -p spanwise-otlp --example receive_cpu [SPANS] [--per-request N]
//! [--spanwise PATH]`: the servers run as processes of their own, one after the other, three rounds.
//! Requests hold 512 spans unless told otherwise. With a path, that `spanwise` binary is measured
//! too, its whole pipeline included.

#![expect(clippy::print_stdout, reason = "an example prints its result")]
#![expect(clippy::disallowed_methods, reason = "an example is its own application")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

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
use spanwise_otlp::receiver::{self, Ingest, Intake, Overloaded, ReceiverEvent, RequestMeta, grpc};
use spanwise_otlp::transport::{Endpoint, Spawn, shutdown_channel};
use spanwise_otlp::{KeptSpan, Limits, bench_payload, decode, reframe};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

const N_ROUNDS: usize = 3;
const N_CONNECTIONS: usize = 4;

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

/// The tokio runtime as the application.
struct Tokio;

impl Spawn for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(job);
    }
}

/// Drops what it gets.
struct Drain;

impl Ingest for Drain {
    fn submit(
        &self,
        batch: Batch,
        _: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), Overloaded>> {
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
    let load = Load {
        payload: cut(&bench_payload(64, 1), n_per_request)?,
        n_requests: n_spans.div_ceil(n_per_request),
        n_per_request,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for round in 1..=N_ROUNDS {
        let load = |server: Server| server.load(&runtime, &load);
        let this = || std::env::current_exe().map(Command::new);
        let naive = load(Server::start(this()?.args(["serve", "naive"]))?)?;
        let ours = load(Server::start(this()?.args(["serve", "ours"]))?)?;
        let whole = match spanwise {
            Some(path) => {
                let whole = load(Server::start_spanwise(path)?)?;
                format!(", spanwise {whole:.0} ({:.2}x)", whole / naive)
            }
            None => String::new(),
        };
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
    n_requests: usize,
    n_per_request: usize,
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
}

impl Server {
    /// Starts a server that prints its address.
    fn start(command: &mut Command) -> Result<Self, Error> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { addr: line.trim().parse()?, child })
    }

    fn start_spanwise(path: &str) -> Result<Self, Error> {
        let free = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (addr, http, api) = (free()?, free()?, free()?);
        let child = Command::new(path)
            .args(["serve", "--otlp-grpc", &addr.to_string()])
            .args(["--otlp-http", &http.to_string(), "--http", &api.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, addr })
    }

    /// CPU nanoseconds per span of a load, after each request of it has been sent once to warm up.
    fn load(&self, runtime: &tokio::runtime::Runtime, load: &Load) -> Result<f64, Error> {
        runtime.block_on(self.send(&load.payload, load.payload.len()))?;
        let before = self.cpu_ns()?;
        runtime.block_on(self.send(&load.payload, load.n_requests))?;
        let spent = self.cpu_ns()? - before;
        Ok(spent / (load.n_requests * load.n_per_request) as f64)
    }

    async fn send(&self, payload: &[Bytes], n_requests: usize) -> Result<(), Error> {
        let endpoint = Endpoint::parse(&self.addr.to_string(), 4317)?;
        let lanes = (0..N_CONNECTIONS).map(|lane| {
            let config = Config::new(endpoint.clone(), Protocol::Grpc);
            async move {
                let mut client = Client::new(config, Arc::new(Tokio));
                for idx in (lane..n_requests).step_by(N_CONNECTIONS) {
                    deliver(&mut client, &payload[idx % payload.len()]).await?;
                }
                Ok::<(), ExportError>(())
            }
        });
        for result in join_all(lanes).await {
            result?;
        }
        Ok(())
    }

    /// User and system time of the process, from the clock ticks of `/proc`.
    fn cpu_ns(&self) -> Result<f64, Error> {
        // Summed over threads in nanoseconds: finer than the ticks of `stat`.
        let mut total = 0_u64;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            total += stat.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
        }
        Ok(total as f64)
    }
}

/// Sends one request; again if the server is starting or busy.
async fn deliver(client: &mut Client, request: &Bytes) -> Result<(), ExportError> {
    loop {
        match client.export(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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

//! `demo`: the whole pipeline on recorded traffic with injected faults, told as a story.
//!
//! Nothing is faked on the way: the traffic is OTLP over loopback gRPC into the same server that
//! `serve` runs, and the story is read from its HTTP API. What is simulated is said so: the faults
//! are injected into recorded traces, and the orchestrator is the recorder, which remembers what it
//! was told and touches nothing.

mod story;
mod telling;
pub mod traffic;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use parking_lot::Mutex;
use spanwise_analyzer::units::DurationNs;
use spanwise_model::{SpanRecord, StatusCode};
use spanwise_otlp::exporter::{Client, Config, Protocol};
use spanwise_otlp::transport::Endpoint;
use spanwise_otlp::{Limits, RequestBuilder, decode};

use self::story::Story;
use self::telling::Telling;
use self::traffic::{Fault, Traffic};
use super::DemoArgs;
use super::output::Output;
use super::replay::send;
use crate::clock::Clock;
use crate::config;
use crate::exit::{Exit, OK};
use crate::serve::{Role, Server, Spawner, signal};

/// Recorded traces of the Online Boutique; see `data/README.md`.
const RECORDING: &[u8] = include_bytes!("../../data/boutique.otlp.pb.zst");
/// Rules and targets of the demo.
const CONFIG: &str = include_str!("demo/demo.yaml");
/// Traces sent a second once everything is learnt.
const TRACES_PER_S: u64 = 60;
/// Spans sent before the story begins.
const LEARN_SPANS: u64 = 50_000;
/// Requests a second.
const REQUESTS_PER_S: u64 = 20;
/// Instances of every service.
const N_INSTANCES: u32 = 2;
/// Longest demo.
const LIMIT_DEFAULT: Duration = Duration::from_mins(2);

/// Runs the demo.
pub fn run(args: &DemoArgs, output: &Output) -> Result<Exit> {
    let limit = match &args.limit {
        None => LIMIT_DEFAULT,
        Some(text) => Duration::from_nanos(
            DurationNs::parse(text).map_err(|error| anyhow!("--for {text}: {error}"))?.0,
        ),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let telling = Telling::new(output, args.seed);
    let told = runtime.block_on(async {
        tokio::select! {
            told = tell(args.seed, &telling) => told.map(|()| true),
            () = tokio::time::sleep(limit) => {
                output.note("(time is up)");
                Ok(false)
            }
            () = signal() => {
                output.note("(stopped)");
                Ok(false)
            }
        }
    });
    telling.finish(matches!(told, Ok(true)))?;
    told.map(|_| OK)
}

async fn tell(seed: u64, telling: &Telling<'_>) -> Result<()> {
    let clock = Clock::start();
    let loaded = config::load::parse("demo.yaml", CONFIG, |_| {})?;
    let server = Server::start(loaded.config, Role::All, clock).await?;
    let addresses = server.addresses();
    let grpc = addresses.otlp_grpc.context("the demo needs a receiver")?;
    let api = format!("http://{}", addresses.http);
    let mut story = Story::new(api, clock, telling);
    story.opening(&server.banner(), seed)?;

    let endpoint = Endpoint::parse(&format!("http://{grpc}"), grpc.port())?;
    let client = Client::new(Config::new(endpoint, Protocol::Grpc), Arc::new(Spawner::new()));
    let traffic = Traffic::new(recording()?, N_INSTANCES, seed);
    if traffic.n_templates() == 0 {
        bail!("the recording holds no trace");
    }
    let faults = Arc::new(Mutex::new(Vec::new()));
    let mut sender = Sender { traffic, client, clock, faults: Arc::clone(&faults) };
    sender.learn().await?;
    let sending = tokio::spawn(async move { sender.run().await });
    let told = tokio::select! {
        told = story.run(&faults) => told,
        stopped = sending => stopped.map_err(anyhow::Error::from).and_then(|result| result),
    };
    story.closing(server.stop().await)?;
    told
}

/// Sends traffic.
struct Sender {
    traffic: Traffic,
    client: Client,
    clock: Clock,
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl Sender {
    /// Sends normal traffic as fast as it is acknowledged, until there is enough to learn from.
    async fn learn(&mut self) -> Result<()> {
        let mut n_spans = 0;
        while n_spans < LEARN_SPANS {
            n_spans += self.request(12).await?;
        }
        Ok(())
    }

    /// Sends traffic at a steady pace until the task is dropped.
    async fn run(&mut self) -> Result<()> {
        let mut tick = tokio::time::interval(Duration::from_millis(1_000 / REQUESTS_PER_S));
        loop {
            tick.tick().await;
            self.request(TRACES_PER_S / REQUESTS_PER_S).await?;
        }
    }

    async fn request(&mut self, n_traces: u64) -> Result<u64> {
        let faults = self.faults.lock().clone();
        let now = self.clock.now();
        let mut spans = Vec::new();
        for _ in 0..n_traces {
            self.traffic.trace(now, &faults, &mut spans);
        }
        let mut builder = RequestBuilder::new();
        for span in &spans {
            builder.push(span);
        }
        send(&mut self.client, builder.finish()).await?;
        Ok(spans.len() as u64)
    }
}

/// The recording as owned spans.
fn recording() -> Result<Vec<SpanRecord>> {
    let mut spans = Vec::new();
    for request in spanwise_source::requests_of_zstd(RECORDING)? {
        let batch = decode(request?, &Limits::default())?.batch;
        spans.extend(batch.spans.iter().map(|head| SpanRecord {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_id: head.parent_id,
            service: Arc::from(batch.service(head)),
            instance: Arc::from(""),
            operation: Arc::from(batch.name(head)),
            kind: head.kind,
            start: head.start,
            end: head.end,
            status: StatusCode::Unset,
            trace_state: Arc::from(""),
            attributes: Vec::new(),
            events: Vec::new(),
        }));
    }
    Ok(spans)
}

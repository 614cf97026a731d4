//! `replay`: recorded spans sent as OTLP, with their times moved to now and their durations
//! untouched.
//!
//! At the recorded speed one amount moves everything. At any other speed every trace is moved by an
//! amount of its own, taken when its first span is sent, so that inside a trace nothing changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use hashbrown::HashMap;
use spanwise_model::{Timestamp, TraceId};
use spanwise_otlp::exporter::{Client, Config, Protocol};
use spanwise_otlp::transport::Endpoint;
use spanwise_otlp::{Limits, decode, shift_each};

use super::ReplayArgs;
use super::output::Output;
use crate::clock::Clock;
use crate::exit::{Exit, OK};
use crate::serve::Spawner;

/// Traces whose shift is remembered; beyond it the oldest half is forgotten.
const TRACES_MAX: usize = 200_000;
/// Attempts per request before giving up.
const ATTEMPTS: u32 = 10;
/// Requests under way at once at full speed.
const IN_FLIGHT: usize = 4;

/// What was sent.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Sent {
    requests: u64,
    spans: u64,
    rejected: u64,
    seconds: f64,
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

/// Sends the files one after the other.
pub fn run(args: &ReplayArgs, output: &Output) -> Result<Exit> {
    let speed = match args.speed.as_str() {
        "max" => Speed::Max,
        text => match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Speed::Times(times),
            _ => bail!("--speed {text} is not a number above 0\n  fix: write 1, 10 or max"),
        },
    };
    let endpoint = Endpoint::parse(&args.to, Protocol::Grpc.default_port())
        .with_context(|| format!("--to {}", args.to))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sent = runtime.block_on(async {
        let config = Config::new(endpoint, Protocol::Grpc);
        let client = Client::new(config, Arc::new(Spawner::new()));
        let mut sender = Sender::new(client, speed);
        for file in &args.files {
            sender.file(file, output).await?;
        }
        sender.finish().await
    })?;
    output.result(&sent, |sent| {
        let rate = sent.spans as f64 / sent.seconds.max(1e-9);
        format!(
            "{} spans in {} requests, {rate:.0} spans/s, {} rejected",
            sent.spans, sent.requests, sent.rejected
        )
    })?;
    Ok(OK)
}

struct Sender {
    clients: Vec<Client>,
    speed: Speed,
    shifts: Shifts,
    clock: Clock,
    /// Mixed into trace ids, so that a file replayed twice makes different traces.
    id_key: u64,
    /// First end time of the recording, and when it was sent.
    start: Option<(u64, Timestamp)>,
    under_way: tokio::task::JoinSet<(Client, Result<u64>)>,
    sent: Sent,
}

/// By how much each trace is moved.
#[derive(Default)]
struct Shifts {
    by_trace: HashMap<TraceId, (u64, i64)>,
    n: u64,
}

impl Sender {
    fn new(client: Client, speed: Speed) -> Self {
        let clock = Clock::start();
        let n = if speed == Speed::Max { IN_FLIGHT } else { 1 };
        let mut clients: Vec<Client> = (1..n).map(|_| client.another()).collect();
        clients.push(client);
        Self {
            clients,
            speed,
            shifts: Shifts::default(),
            clock,
            id_key: clock.now().as_ns() | 1,
            start: None,
            under_way: tokio::task::JoinSet::new(),
            sent: Sent::default(),
        }
    }

    async fn file(&mut self, file: &Path, output: &Output) -> Result<()> {
        let mut requests = spanwise_source::open_requests(file)?;
        let bar = output.progress(1_000, "replay");
        while let Some(request) = requests.next() {
            let request = request?;
            bar.set_position((requests.progress() * 1_000.0) as u64);
            self.request(&request).await.with_context(|| file.display().to_string())?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn request(&mut self, request: &Bytes) -> Result<()> {
        let batch = decode(request.clone(), &Limits::default())?.batch;
        let Some(end) = batch.spans.iter().map(|span| span.end.as_ns()).max() else {
            return Ok(());
        };
        self.wait(end).await;
        let now = self.clock.now();
        let (first, sent_first) = *self.start.get_or_insert((end, now));
        let constant = sent_first.as_ns().wrapping_sub(first).cast_signed();
        let own = now.as_ns().wrapping_sub(end).cast_signed();
        let is_real_time = self.speed == Speed::Times(1.0);
        let shifts = &mut self.shifts;
        let mut delta = |trace_id| if is_real_time { constant } else { shifts.of(trace_id, own) };
        let moved = shift_each(request, self.id_key, &Limits::default(), &mut delta)?;
        self.sent.spans += batch.spans.len() as u64;
        self.sent.requests += 1;
        let mut client = match self.clients.pop() {
            Some(client) => client,
            None => self.joined().await?,
        };
        self.under_way.spawn(async move {
            let result = send(&mut client, moved).await;
            (client, result)
        });
        Ok(())
    }

    /// Waits until it is time for a request whose last span ended at `end`.
    async fn wait(&self, end: u64) {
        let (Speed::Times(times), Some((first, sent_first))) = (self.speed, self.start) else {
            return;
        };
        let recorded = end.saturating_sub(first) as f64 / times;
        let due = sent_first.plus_ns(recorded as u64);
        tokio::time::sleep(Duration::from_nanos(due.since(self.clock.now()))).await;
    }

    /// Waits for one request under way and returns its client.
    async fn joined(&mut self) -> Result<Client> {
        let Some(joined) = self.under_way.join_next().await else { bail!("no request under way") };
        let (client, result) = joined?;
        self.sent.rejected += result?;
        Ok(client)
    }

    async fn finish(mut self) -> Result<Sent> {
        while !self.under_way.is_empty() {
            self.joined().await?;
        }
        self.sent.seconds = self.clock.now().since(self.clock.started_at()) as f64 / 1e9;
        Ok(self.sent)
    }
}

impl Shifts {
    fn of(&mut self, trace_id: TraceId, now_ns: i64) -> i64 {
        if self.by_trace.len() >= TRACES_MAX {
            let keep_from = self.n - TRACES_MAX as u64 / 2;
            self.by_trace.retain(|_, (number, _)| *number >= keep_from);
        }
        let n = &mut self.n;
        self.by_trace
            .entry(trace_id)
            .or_insert_with(|| {
                *n += 1;
                (*n, now_ns)
            })
            .1
    }
}

/// Sends a request until it is acknowledged; returns how many of its spans were rejected.
pub async fn send(client: &mut Client, request: Bytes) -> Result<u64> {
    let mut wait = Duration::from_millis(100);
    for attempt in 1.. {
        match client.export(request.clone()).await {
            Ok(exported) => {
                return Ok(exported.partial.map_or(0, |partial| partial.n_rejected));
            }
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("not sent")
}

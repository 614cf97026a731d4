//! What both servers do with a request once its body has come: decompress, decode, charge, hand
//! over, count.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::admission::{Admission, Charge};
use crate::decode::{Decoded, decode_into, decoded_cost};
use crate::error::DecodeError;
use crate::json::json_to_protobuf;
use crate::receiver::config::Config;
use crate::receiver::inflate::{Inflater, STEP_BYTES};
use crate::receiver::port::{
    Ingest, NotTaken, Outcome, Overloaded, Protocol, ReceiverEvent, RequestMeta, RequestOutcome,
};
use crate::receiver::refusal::{Refusal, RefusalKind};
use crate::report::Report;
use crate::transport::{Compression, Spawn, offload};

/// Bodies above this are decoded away from the threads that serve connections: decoding 1 MiB of
/// ordinary spans takes 0.3 ms, of JSON some 3 ms.
const OFFLOAD_BYTES: usize = 1 << 20;
/// The same for JSON.
const OFFLOAD_JSON_BYTES: usize = 128 << 10;
/// After this many steps of decompression (2 MiB) other connections get their turn.
const N_STEPS_PER_TURN: u32 = 8;
/// Clients are told to come again after one second and up to this much more, so that they do not
/// come back all at once.
const RETRY_SPREAD_MS: u64 = 4_000;

/// What the receivers of a process share: limits, the door, and the application behind it.
pub struct Intake {
    pub(super) config: Config,
    pub(super) admission: Admission,
    pub(super) ingest: Arc<dyn Ingest>,
    pub(super) spawn: Arc<dyn Spawn>,
    /// Requests that were told to come again.
    n_refused: AtomicU64,
}

/// One body as it came, paid for by `charge`.
pub(super) struct Body {
    pub(super) protocol: Protocol,
    pub(super) compression: Compression,
    pub(super) peer: SocketAddr,
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
}

/// What to say about a request that was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) n_rejected: u32,
    pub(super) message: Option<String>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Intake {
    /// Receivers that hand batches to `ingest`, hold at most what `admission` grants, and run their
    /// connections on `spawn`.
    pub fn new(
        config: Config,
        admission: Admission,
        ingest: Arc<dyn Ingest>,
        spawn: Arc<dyn Spawn>,
    ) -> Self {
        Self { config, admission, ingest, spawn, n_refused: AtomicU64::new(0) }
    }

    /// Refuses what comes while the application is overloaded, before it is read.
    pub(super) fn check_door(&self) -> Result<(), Refusal> {
        match self.ingest.overloaded() {
            Some(overloaded) => Err(self.overloaded(overloaded)),
            None => Ok(()),
        }
    }

    /// When a client that found no budget may come again: 1 to 5 seconds, spread evenly.
    pub(super) fn retry_after(&self) -> Duration {
        spread(self.n_refused.fetch_add(1, Ordering::Relaxed))
    }

    /// A body of which too little came in time, and that was begun when `n_refused` requests had been
    /// told to come again. If others were told so since, this server was what was slow: it reads all
    /// its connections as far as it has time and room.
    pub(super) fn too_slow(&self, n_refused: u64) -> Refusal {
        if self.n_refused() == n_refused {
            return Refusal::new(RefusalKind::TooSlow, "request came too slowly");
        }
        // Not counted: slow clients must not excuse each other.
        Refusal::overloaded(spread(self.n_refused()))
    }

    /// Requests that were told to come again so far.
    pub(super) fn n_refused(&self) -> u64 {
        self.n_refused.load(Ordering::Relaxed)
    }

    fn overloaded(&self, overloaded: Overloaded) -> Refusal {
        self.n_refused.fetch_add(1, Ordering::Relaxed);
        Refusal::overloaded(overloaded.retry_after)
    }

    /// Takes a request and counts it.
    pub(super) async fn take(&self, body: Body) -> Result<Accepted, Refusal> {
        let (protocol, compression) = (body.protocol, body.compression);
        let wire_bytes = body.bytes.len() as u64;
        let mut report = Report::default();
        let result = self.process(body, &mut report).await;
        let outcome = match &result {
            Ok(_) => RequestOutcome::Accepted,
            Err(refusal) => refusal.outcome(),
        };
        self.count_spans(protocol, &report, result.is_ok());
        self.ingest.record(ReceiverEvent::Request {
            protocol,
            compression,
            outcome,
            wire_bytes,
            n_spans: report.n_spans.into(),
            n_bad_links: report.n_bad_links.into(),
        });
        result
    }

    /// Counts a request that was refused before its body was complete.
    pub(super) fn count_refused(&self, protocol: Protocol, refusal: &Refusal, wire_bytes: u64) {
        self.ingest.record(ReceiverEvent::Request {
            protocol,
            compression: Compression::Identity,
            outcome: refusal.outcome(),
            wire_bytes,
            n_spans: 0,
            n_bad_links: 0,
        });
    }

    async fn process(&self, body: Body, report: &mut Report) -> Result<Accepted, Refusal> {
        let Body { protocol, compression, peer, bytes, mut charge } = body;
        let wire_bytes = bytes.len() as u64;
        let bytes = self.inflate(compression, bytes, &mut charge).await?;
        let bytes = match protocol {
            Protocol::HttpJson => self.json(bytes, &mut charge).await?,
            Protocol::Grpc | Protocol::HttpProtobuf => bytes,
        };
        let decoded = self.decode(bytes, &mut charge).await?;
        *report = decoded.report;
        let accepted = Accepted { n_rejected: report.n_rejected(), message: report.message() };
        if decoded.batch.spans.is_empty() {
            return Ok(accepted);
        }
        self.pay(&mut charge, decoded.batch.heap_bytes()).await?;
        let meta = RequestMeta { protocol, peer, compression, wire_bytes };
        match self.ingest.submit(decoded.batch, meta, charge).await {
            Ok(()) => Ok(accepted),
            Err(NotTaken::Overloaded(overloaded)) => Err(self.overloaded(overloaded)),
            Err(NotTaken::TooLarge { n_bytes, limit }) => {
                let text = format!(
                    "request takes {n_bytes} bytes on disk, more than the limit of {limit}; send less at once"
                );
                Err(Refusal::new(RefusalKind::TooLarge, text))
            }
        }
    }

    async fn inflate(
        &self,
        compression: Compression,
        bytes: Bytes,
        charge: &mut Charge,
    ) -> Result<Bytes, Refusal> {
        let limit = self.config.limits.request_bytes;
        let wire_bytes = bytes.len() as u64;
        let inflater = Inflater::new(compression, bytes.clone(), limit);
        let Some(mut inflater) = inflater.map_err(|error| undecompressable(compression, &error))?
        else {
            return Ok(bytes);
        };
        drop(bytes);
        let mut n_steps = 0_u32;
        loop {
            // Paid for before it comes out.
            self.pay(charge, wire_bytes + inflater.held_bytes() + STEP_BYTES as u64).await?;
            let more = inflater.step().map_err(|error| undecompressable(compression, &error))?;
            if inflater.n_bytes() > limit {
                return Err(Refusal::too_large(inflater.n_bytes(), limit));
            }
            if !more {
                return Ok(inflater.finish());
            }
            n_steps += 1;
            if n_steps.is_multiple_of(N_STEPS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn json(&self, text: Bytes, charge: &mut Charge) -> Result<Bytes, Refusal> {
        // Protobuf is never longer than the JSON it says the same with.
        self.pay(charge, 2 * text.len() as u64).await?;
        let limits = self.config.limits;
        let is_large = text.len() > OFFLOAD_JSON_BYTES;
        Ok(self.run(move || json_to_protobuf(&text, &limits), is_large).await??)
    }

    async fn decode(&self, bytes: Bytes, charge: &mut Charge) -> Result<Decoded, Refusal> {
        let limits = self.config.limits;
        let is_large = bytes.len() > OFFLOAD_BYTES;
        if is_large {
            // Asked for before it is taken. A small request is decoded at once, on one of few
            // threads, and paid for after that.
            let request = bytes.clone();
            let cost = self.run(move || decoded_cost(&request, &limits), true).await??;
            self.pay(charge, cost).await?;
        }
        let mut batch = self.ingest.spare();
        let decode = move || {
            let report = decode_into(bytes, &limits, &mut batch)?;
            batch.fit();
            Ok::<_, DecodeError>(Decoded { batch, report })
        };
        Ok(self.run(decode, is_large).await??)
    }

    /// Runs a job here, or elsewhere if it `is_large`.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
        is_large: bool,
    ) -> Result<T, Refusal> {
        if !is_large {
            return Ok(job());
        }
        // Without a result the application is stopping: somebody else may take it.
        let result = offload(&*self.spawn, job).await;
        result.ok_or_else(|| Refusal::overloaded(self.retry_after()))
    }

    async fn pay(&self, charge: &mut Charge, bytes: u64) -> Result<(), Refusal> {
        charge.set(bytes).await.map_err(|full| Refusal::full(full, self.retry_after()))
    }

    fn count_spans(&self, protocol: Protocol, report: &Report, taken: bool) {
        let n_rejected = u64::from(report.n_rejected());
        let n_invalid = u64::from(report.n_invalid_time);
        let n_good = u64::from(report.n_spans) - n_rejected;
        let by_outcome = if taken {
            [
                (Outcome::Accepted, n_good - n_invalid),
                (Outcome::InvalidTime, n_invalid),
                (Outcome::Rejected, n_rejected),
            ]
        } else {
            [(Outcome::Refused, n_good), (Outcome::Rejected, n_rejected), (Outcome::Accepted, 0)]
        };
        for (outcome, n_spans) in by_outcome {
            if n_spans > 0 {
                self.ingest.record(ReceiverEvent::Spans { protocol, outcome, n_spans });
            }
        }
    }
}

/// Fibonacci hashing of a counter: equidistributed, and nothing random.
fn spread(n: u64) -> Duration {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(1_000 + spread * RETRY_SPREAD_MS / (1 << 32))
}

fn undecompressable(compression: Compression, error: &io::Error) -> Refusal {
    // zstd tells a window that is too large from other faults only by its text.
    if error.to_string().contains("too much memory") {
        return Refusal::new(
            RefusalKind::TooLarge,
            "zstd window larger than 8 MiB; use a smaller one",
        );
    }
    let text = format!("body is not valid {}", compression.as_str());
    Refusal::new(RefusalKind::Undecodable, text)
}

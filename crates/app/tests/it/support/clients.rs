//! Clients that keep an account: what was sent, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use spanwise::serve::Spawner;
use spanwise_model::{Batch, SpanId};
use spanwise_otlp::exporter::{self, Client, ExportError, Protocol};
use spanwise_otlp::transport::Endpoint;

use super::requests::{Purchase, recent, request};

/// Purchases of one request, of three spans each.
pub(crate) const N_PER_REQUEST: u64 = 40;
/// Pause after a refusal.
const PAUSE: Duration = Duration::from_millis(20);

/// What the clients know.
#[derive(Debug, Default)]
pub(crate) struct Account {
    next: AtomicU64,
    pub(crate) acknowledged: Mutex<BTreeSet<SpanId>>,
    pub(crate) sent: Mutex<BTreeSet<SpanId>>,
    /// Refusals that say "come again".
    pub(crate) n_retryable: AtomicU64,
    /// Refusals for good: there must be none.
    pub(crate) permanent: Mutex<Vec<String>>,
    pub(crate) first_ack: Mutex<Option<Instant>>,
}

impl Account {
    /// Sends until it is told to stop. What is refused is given up.
    pub(crate) fn send(&self, to: SocketAddr, protocol: Protocol, stop: &AtomicBool) {
        block_on(async {
            let mut client = client(to, protocol);
            while !stop.load(Ordering::Relaxed) {
                let (bytes, ids) = self.request();
                self.attempt(&mut client, bytes, &ids).await;
            }
        });
    }

    /// Sends until it is told to stop. What is refused is sent again, to whoever is there then, until
    /// it is acknowledged.
    pub(crate) fn insist(
        &self,
        to: impl Fn() -> SocketAddr,
        protocol: Protocol,
        stop: &AtomicBool,
    ) {
        block_on(async {
            let mut at = to();
            let mut client_there = client(at, protocol);
            while !stop.load(Ordering::Relaxed) {
                let (bytes, ids) = self.request();
                while !self.attempt(&mut client_there, bytes.clone(), &ids).await {
                    if at != to() {
                        at = to();
                        client_there = client(at, protocol);
                    }
                }
            }
        });
    }

    /// The next request, and the spans in it.
    fn request(&self) -> (Bytes, Vec<SpanId>) {
        let first = self.next.fetch_add(N_PER_REQUEST, Ordering::Relaxed) + 1;
        let purchases: Vec<_> = recent(first, N_PER_REQUEST, 1).collect();
        let spans = purchases.iter().flat_map(Purchase::spans);
        let ids: Vec<SpanId> = spans.map(|span| span.span_id).collect();
        self.sent.lock().extend(&ids);
        (request(purchases), ids)
    }

    /// Whether the request needs no other attempt.
    async fn attempt(&self, client: &mut Client, bytes: Bytes, ids: &[SpanId]) -> bool {
        match client.export(bytes).await {
            Ok(_) => {
                self.first_ack.lock().get_or_insert_with(Instant::now);
                self.acknowledged.lock().extend(ids);
                true
            }
            Err(ExportError::Retryable { .. }) => {
                self.n_retryable.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
                false
            }
            Err(ExportError::Permanent { message }) => {
                self.permanent.lock().push(message);
                true
            }
        }
    }

    /// Of what was stored: spans that were acknowledged and are not there, spans that were not sent,
    /// and spans that came twice.
    pub(crate) fn check(&self, stored: &BTreeMap<SpanId, u64>) -> (usize, usize, usize) {
        let (sent, acknowledged) = (self.sent.lock(), self.acknowledged.lock());
        let n_lost = acknowledged.iter().filter(|id| !stored.contains_key(id)).count();
        let n_ghosts = stored.keys().filter(|id| !sent.contains(id)).count();
        (n_lost, n_ghosts, stored.values().filter(|&&n| n > 1).count())
    }
}

/// How often each span came.
pub(crate) fn counts(batches: &[Batch]) -> BTreeMap<SpanId, u64> {
    let mut counts = BTreeMap::new();
    for head in batches.iter().flat_map(|batch| &batch.spans) {
        *counts.entry(head.span_id).or_default() += 1;
    }
    counts
}

pub(crate) fn percent(n: usize, of: usize) -> f64 {
    100.0 * n as f64 / of.max(1) as f64
}

fn client(to: SocketAddr, protocol: Protocol) -> Client {
    let endpoint = Endpoint::parse(&to.to_string(), protocol.default_port()).unwrap();
    Client::new(exporter::Config::new(endpoint, protocol), Arc::new(Spawner::new()))
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

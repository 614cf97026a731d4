//! The processor's half of split mode: a subscription to a sampler that is kept open.
//!
//! The subscription carries the rules; the sampler counts them on all spans and sends the counts.
//! After every interruption the windows have a hole, and the ledger says what was missed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use spanwise_analyzer::rules::RuleSet;
use spanwise_otlp::sampled_spans::{
    Ledger, ReceivedBatch, SubscribeError, SubscribeRequest, subscribe,
};
use spanwise_otlp::transport::{
    ChannelError, ChannelLimits, Code, Endpoint, Phase, Shutdown, Spawn,
};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::processor::Input;
use crate::config::built::known_targets;
use crate::config::raw::{RawScaler, RawTarget};
use crate::config::{load, yaml};

/// First and longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Longest wait for a connection and the first answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Behind a warning.
const NO_GRPC: &str =
    ": that is no OTLP/gRPC port of a sampler; name it with --sampler, usually port 4317";
/// Largest batch that is accepted.
const REPLY_BYTES_MAX: u64 = 64 << 20;

/// The account of a subscription, for status and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whether it is open now.
    pub connected: bool,
    /// Spans received in this epoch.
    pub n_received: u64,
    /// Spans missed in this epoch.
    pub n_missed: u64,
    /// Length of this epoch's sequence range up to the last batch.
    pub n_range: u64,
    /// Restarts of the sampler that were noticed.
    pub n_restarts: u64,
}

/// A subscription.
pub struct Remote {
    /// The sampler.
    pub endpoint: Endpoint,
    /// The rules it counts, as [`rules_text`] made them.
    pub rules: String,
    /// Where counts go.
    pub processor: mpsc::Sender<Input>,
    /// Where received spans go.
    pub spans: mpsc::Sender<ReceivedBatch>,
    /// Shows the account.
    pub account: watch::Sender<Account>,
    /// Runs the connection.
    pub spawn: Arc<dyn Spawn>,
}

/// The rules and the names of their targets, and nothing else of the configuration.
pub fn rules_text(scaler: &RawScaler) -> Result<String> {
    let named = |target: &RawTarget| RawTarget {
        service: target.service.clone(),
        max: target.max,
        scalable: target.scalable,
        ..RawTarget::default()
    };
    let targets = scaler.targets.iter().map(named).collect();
    let reduced = RawScaler { mode: None, targets, rules: scaler.rules.clone() };
    Ok(serde_saphyr::to_string(&reduced)?)
}

/// Compiles rules that [`rules_text`] made.
pub fn compile_subscribed(text: &str) -> Result<Arc<RuleSet>> {
    let raw: RawScaler =
        yaml::parse(text, "rules of the subscription").map_err(anyhow::Error::msg)?;
    let (rules, problems) = RuleSet::compile(&raw.rules, &known_targets(&raw));
    rules.map(Arc::new).ok_or_else(|| anyhow!(load::render(&problems, text, "rules")))
}

impl Remote {
    /// Keeps the subscription open until the shutdown begins or the processor is gone.
    pub async fn run(self, mut shutdown: Shutdown) {
        // What is on its way then would be counted for a decision that is not taken any more.
        tokio::select! {
            () = self.stay_subscribed() => {}
            () = shutdown.reached(Phase::Draining) => {}
        }
    }

    async fn stay_subscribed(&self) {
        let mut ledger = Ledger::default();
        let mut backoff = BACKOFF.0;
        let mut told = String::new();
        while !self.processor.is_closed() {
            match self.once(&mut ledger).await {
                Ok(()) => {
                    backoff = BACKOFF.0;
                    told.clear();
                }
                Err(error) => {
                    let (text, hint) = (error.to_string(), hint(&error));
                    // The same thing again is no news.
                    if text != told {
                        warn!(sampler = %self.endpoint, error = text, "no stream of sampled spans{hint}");
                        told = text;
                    }
                }
            }
            self.show(&ledger, false);
            if self.processor.send(Input::Hole).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = self.processor.closed() => return,
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// One connection. `Ok` if it delivered at least one batch before it ended.
    async fn once(&self, ledger: &mut Ledger) -> Result<()> {
        let request = SubscribeRequest {
            client_name: "spanwise processor".to_owned(),
            rules_yaml: self.rules.clone(),
            resume: ledger.resume(),
            ..SubscribeRequest::default()
        };
        let limits = ChannelLimits { timeout: TIMEOUT, reply_bytes_max: REPLY_BYTES_MAX };
        let mut client = subscribe(&self.endpoint, &request, limits, &*self.spawn).await?;
        let first = client.next().await?;
        let (epoch, sequence) = (first.epoch, first.first_sequence);
        let n_spans = first.reasons.len() as u64;
        let progress = ledger.open(epoch, sequence, n_spans, first.missed_total)?;
        info!(sampler = %self.endpoint, epoch, new_epoch = progress.is_new_epoch, "subscribed");
        self.show(ledger, true);
        self.take(first).await?;
        loop {
            let next = tokio::select! {
                next = client.next() => next,
                () = self.processor.closed() => return Ok(()),
            };
            let batch = match next {
                Ok(batch) => batch,
                Err(status) => {
                    warn!(sampler = %self.endpoint, %status, "stream of sampled spans ended");
                    return Ok(());
                }
            };
            let n_spans = batch.reasons.len() as u64;
            ledger.observe(batch.epoch, batch.first_sequence, n_spans, batch.missed_total)?;
            self.show(ledger, true);
            self.take(batch).await?;
        }
    }

    async fn take(&self, batch: ReceivedBatch) -> Result<()> {
        let counts: Vec<_> = batch.counts.iter().map(|report| report.count.clone()).collect();
        if !counts.is_empty() {
            self.processor.send(Input::Counts(counts)).await?;
        }
        if !batch.reasons.is_empty() {
            self.spans.send(batch).await?;
        }
        Ok(())
    }

    fn show(&self, ledger: &Ledger, connected: bool) {
        self.account.send_replace(Account {
            connected,
            n_received: ledger.n_received(),
            n_missed: ledger.n_missed(),
            n_range: ledger.n_range(),
            n_restarts: ledger.n_restarts(),
        });
    }
}

/// What is probably wrong, where somebody answered who is no sampler.
fn hint(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(SubscribeError::Connect(ChannelError::Protocol { .. })) => NO_GRPC,
        Some(SubscribeError::Refused { status, .. })
            if matches!(status.code, Code::Unavailable | Code::Unimplemented) =>
        {
            NO_GRPC
        }
        _ => "",
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

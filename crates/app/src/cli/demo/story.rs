//! The demo's storyline: what the API says, in the order in which it happens.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use spanwise_api::{AnomalyList, DecisionList, DecisionView, StatusView, parse_time};
use spanwise_model::{Outcome, Reason, Timestamp};

use super::telling::Telling;
use super::traffic::Fault;
use crate::clock::Clock;
use crate::http_client::get;

/// How often the API is asked.
const POLL: Duration = Duration::from_millis(200);
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(25);
/// Added to each request by the first fault.
const CART_ADDED_NS: u64 = 150_000_000;
/// Added to each call by the second fault.
const SHIPPING_ADDED_NS: u64 = 400_000_000;

/// Spans shorter than this are not worth a line.
const ANOMALY_NS_MIN: u64 = 100_000_000;
/// Under the text of a line.
const INDENT: &str = "                    ";

/// Tells the story.
pub(super) struct Story<'a> {
    api: String,
    clock: Clock,
    telling: &'a Telling<'a>,
    /// Ids of the records that have been told.
    told: BTreeSet<String>,
}

impl<'a> Story<'a> {
    /// A story told from the API at `api`.
    pub(super) fn new(api: String, clock: Clock, telling: &'a Telling<'a>) -> Self {
        Self { api, clock, telling, told: BTreeSet::new() }
    }

    /// What is running, and what is not real about it.
    pub(super) fn opening(&self, banner: &str, seed: u64) -> Result<()> {
        self.telling.line(banner)?;
        self.telling.line(&format!(
            "  recorded traffic of the Online Boutique, seed {seed}; faults are injected, the orchestrator is simulated"
        ))
    }

    /// The story itself; ends when everything has been told.
    pub(super) async fn run(&mut self, faults: &Arc<Mutex<Vec<Fault>>>) -> Result<()> {
        self.learning().await?;
        let cart = Fault::SlowWork {
            service: "cartservice",
            operation: "hipstershop.CartService/GetCart",
            added_ns: CART_ADDED_NS,
        };
        self.tell("FAULT", "cartservice works 150 ms longer on GetCart (the engine is not told)")?;
        let since = self.clock.now();
        faults.lock().push(cart);
        self.anomaly("cartservice", "GetCart", since).await?;
        self.decision("cartservice", since, Outcome::Acted, Reason::LoadBound).await?;
        faults.lock().clear();
        self.tell("recovered", "the second replica takes its share: the fault ends here")?;
        self.decision("cartservice", since, Outcome::Suppressed, Reason::Cooldown).await?;

        let shipping =
            Fault::SlowNetwork { callee: "shippingservice", added_ns: SHIPPING_ADDED_NS };
        self.tell("FAULT", "the network to shippingservice is slow; its target allows 1 replica")?;
        let since = self.clock.now();
        faults.lock().push(shipping);
        self.anomaly("frontend", "GetQuote", since).await?;
        self.decision("shippingservice", since, Outcome::Suppressed, Reason::AtMax).await?;
        faults.lock().clear();
        Ok(())
    }

    /// The last lines.
    pub(super) fn closing(&self, drained: bool) -> Result<()> {
        self.telling.closed(drained);
        let drained = if drained { "drained" } else { "not drained in time" };
        let (n_acted, n_held) = self.telling.n_decided();
        let counts = format!("{n_acted} scaled, {n_held} held back with a reason");
        self.tell("done", &format!("{counts}; {drained}, nothing is left behind"))
    }

    async fn learning(&mut self) -> Result<()> {
        let deadline = self.deadline();
        loop {
            let status: StatusView = self.get("/api/v1/status").await?;
            let (spans, sites) = (&status.spans, &status.call_sites);
            if spans.accepted >= super::LEARN_SPANS && sites.ready > 0 {
                let learnt = format!(
                    "{} spans, {} call sites, {} with a reference of their own",
                    spans.accepted, sites.known, sites.ready
                );
                self.tell("learnt", &learnt)?;
                return self
                    .tell("budget", &format!("1 % of the spans; {} kept so far", spans.kept));
            }
            self.wait(deadline, "learning").await?;
        }
    }

    /// Waits for an anomalous span of a service that started after the fault.
    async fn anomaly(&mut self, service: &str, operation: &str, since: Timestamp) -> Result<()> {
        let deadline = self.deadline();
        loop {
            let list: AnomalyList = self.get("/api/v1/anomalies?limit=200").await?;
            let found = list.items.iter().rev().find(|item| {
                item.service == service
                    && item.operation.ends_with(operation)
                    && parse_time(&item.time) >= Some(since)
                    && item.duration_ns.is_some_and(|duration| duration.0 >= ANOMALY_NS_MIN)
            });
            if let Some(item) = found {
                let text = format!(
                    "{service}::{} took {} (median {}, p99 {}): {} score {:.1} bits, {:.2} % of spans are as rare",
                    item.operation,
                    millis(item.duration_ns.unwrap_or_default().0),
                    millis(item.baseline.median_ns.0),
                    millis(item.baseline.p99_ns.0),
                    item.score.kind,
                    item.score.value,
                    item.score.tail * 100.0,
                );
                return self.tell("anomaly", &text);
            }
            self.wait(deadline, &format!("an anomalous span of {service}")).await?;
        }
    }

    /// Tells every record about a target until one has the outcome and reason waited for.
    async fn decision(
        &mut self,
        target: &str,
        since: Timestamp,
        outcome: Outcome,
        reason: Reason,
    ) -> Result<()> {
        let deadline = self.deadline();
        let path = format!("/api/v1/decisions?target={target}");
        loop {
            let list: DecisionList = self.get(&path).await?;
            for view in list.items.iter().rev() {
                // An intent is told once it has an outcome.
                let is_older = parse_time(&view.time) < Some(since);
                let is_intent = view.outcome == Outcome::Recommended.as_str();
                if is_older || is_intent || !self.told.insert(view.id.clone()) {
                    continue;
                }
                self.record(view)?;
                if view.outcome == outcome.as_str() && view.reason == reason.as_str() {
                    return Ok(());
                }
            }
            self.wait(deadline, &format!("a decision about {target}")).await?;
        }
    }

    fn record(&self, view: &DecisionView) -> Result<()> {
        let acted = view.outcome == Outcome::Acted.as_str();
        let condition = &view.condition;
        let mut text = format!("{}  {}", view.id, view.summary);
        let _ = write!(
            text,
            "\n{INDENT}why: {}; {:.0} breaches of {} where {} are needed, {} spans from {} instances",
            view.reason,
            condition.observed,
            millis(condition.threshold.0),
            condition.count,
            condition.spans,
            condition.instances,
        );
        for guard in &view.guards {
            let _ = write!(text, "\n{INDENT}{}: {}", guard.reason, guard.detail);
        }
        self.telling.decided(acted);
        self.tell(if acted { "DECISION" } else { "NOT scaled" }, &text)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let body = get(&format!("{}{path}", self.api)).await?;
        serde_json::from_slice(&body).with_context(|| format!("answer to {path}"))
    }

    fn tell(&self, what: &str, text: &str) -> Result<()> {
        let seconds = self.clock.now().since(self.clock.started_at()) / 1_000_000_000;
        self.telling.event(seconds, what, text)
    }

    fn deadline(&self) -> Timestamp {
        self.clock.now().plus(PATIENCE)
    }

    async fn wait(&self, deadline: Timestamp, what: &str) -> Result<()> {
        if self.clock.now() >= deadline {
            bail!("{what} did not come within {} s: please report this", PATIENCE.as_secs());
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

fn millis(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

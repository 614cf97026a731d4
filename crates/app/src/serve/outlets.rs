//! What leaves the process and what is kept out of it, as counted there: subscribers, destinations,
//! and the door of the receivers. Looked at once a second.
//!
//! A destination that begins to fail is told once, and once more when it is back: not at every
//! attempt.

use std::sync::Arc;

use spanwise_api::Check;
use spanwise_model::Timestamp;
use spanwise_otlp::admission::Admission;
use spanwise_otlp::exporter::Stats;
use spanwise_otlp::sampled_spans::Hub;
use tracing::{info, warn};

use crate::pipeline::governor::Governor;
use crate::pipeline::outlets::Queue;
use crate::telemetry::metrics::{DestinationLabel, ForwardLabels, Metrics, OutcomeLabel, follow};

/// Work counts as being shed for this long after the last refusal, so that somebody can see it.
const SHEDDING_NS: u64 = 10 * 1_000_000_000;

/// Where the counts are kept.
#[derive(Debug)]
pub(super) struct Outlets {
    /// Subscribers.
    pub(super) hub: Arc<Hub>,
    /// The receivers' door.
    pub(super) admission: Admission,
    /// Sees to the memory limit.
    pub(super) governor: Arc<Governor>,
    /// Destinations.
    pub(super) destinations: Vec<Watched>,
}

/// A destination, and whether it fails.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    name: String,
    queue: Queue,
    /// Whether what waits for it stays in the log when the process ends.
    is_on_disk: bool,
    /// Since when it fails.
    failing_since: Option<Timestamp>,
    /// Most spans that waited meanwhile.
    n_waited: u64,
}

/// What a destination has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) destination: String,
    pub(super) n_spans: u64,
    pub(super) n_bytes: u64,
    /// Why the last attempt failed, if it did.
    pub(super) error: Option<String>,
    /// Whether it stays in the log when the process ends.
    pub(super) is_on_disk: bool,
}

/// Whether work is being refused, from a count of refusals that only grows.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    n_refused: u64,
    until: Timestamp,
}

impl Outlets {
    /// Brings the families up to date; returns the spans that somebody should have had and did not
    /// get, since the start.
    pub(super) fn show(&mut self, metrics: &Metrics, now: Timestamp) -> u64 {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let stream = self.hub.totals();
        metrics.stream_subscribers.set(gauge(stream.n_subscribers));
        for (outcome, total) in [("sent", stream.n_sent), ("missed", stream.n_missed)] {
            follow(&metrics.stream_spans.get_or_create(&OutcomeLabel { outcome }), total);
        }
        metrics.in_flight_bytes.set(gauge(self.admission.in_flight_bytes()));
        metrics.resident_bytes.set(gauge(self.governor.resident()));
        metrics.memory_granted.set(self.governor.granted());
        let mut n_missed = stream.n_missed;
        for watched in &mut self.destinations {
            let stats = watched.queue.stats();
            watched.look(&stats, now);
            let destination = &watched.name;
            let lost = [
                ("rejected", stats.n_rejected),
                ("refused", stats.n_refused),
                ("not_queued", stats.n_not_queued),
                ("abandoned", stats.n_abandoned),
            ];
            n_missed += lost.iter().map(|(_, n_spans)| n_spans).sum::<u64>();
            for (outcome, total) in lost.into_iter().chain([("sent", stats.n_sent)]) {
                let labels = ForwardLabels { destination: destination.clone(), outcome };
                follow(&metrics.forward_spans.get_or_create(&labels), total);
            }
            let label = DestinationLabel { destination: destination.clone() };
            let queued = metrics.forward_queue_bytes.get_or_create(&label);
            queued.set(gauge(stats.n_queued_bytes as u64));
        }
        n_missed
    }

    /// Each destination as a check that nothing depends on.
    pub(super) fn checks(&self, now: Timestamp) -> impl Iterator<Item = Check> {
        self.destinations.iter().map(move |watched| watched.check(now))
    }

    /// Destinations that have not taken everything.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let waiting = self.destinations.iter().map(|watched| {
            let stats = watched.queue.stats();
            Waiting {
                destination: watched.name.clone(),
                n_spans: stats.n_queued,
                n_bytes: stats.n_queued_bytes as u64,
                error: stats.failing,
                is_on_disk: watched.is_on_disk,
            }
        });
        waiting.filter(|waiting| waiting.n_spans > 0).collect()
    }
}

impl Watched {
    pub(super) const fn new(name: String, queue: Queue, is_on_disk: bool) -> Self {
        Self { name, queue, is_on_disk, failing_since: None, n_waited: 0 }
    }

    /// Tells when it begins to fail, and when it is back.
    fn look(&mut self, stats: &Stats, now: Timestamp) {
        let destination = &self.name;
        match (&stats.failing, self.failing_since) {
            (Some(error), None) => {
                warn!(%destination, %error, "destination fails; it is tried again until it is back");
                self.failing_since = Some(now);
                self.n_waited = stats.n_queued;
            }
            (Some(_), Some(_)) => self.n_waited = self.n_waited.max(stats.n_queued),
            (None, Some(since)) => {
                let seconds = now.since(since) / 1_000_000_000;
                info!(%destination, seconds, n_spans_waited = self.n_waited, "destination is back");
                self.failing_since = None;
            }
            (None, None) => {}
        }
    }

    fn check(&self, now: Timestamp) -> Check {
        let stats = self.queue.stats();
        let waits = format!("{} spans sent, {} wait", stats.n_sent, stats.n_queued);
        let detail = match (&stats.failing, self.failing_since) {
            (Some(error), Some(since)) => {
                let seconds = now.since(since) / 1_000_000_000;
                format!("fails since {seconds} s: {error}; {waits}")
            }
            (Some(error), None) => format!("fails: {error}; {waits}"),
            (None, _) => waits,
        };
        let (name, ok) = (format!("destination {}", self.name), stats.failing.is_none());
        Check { name, ok, detail, required: false }
    }
}

impl Shedding {
    /// Takes the count of refusals so far; whether there was one lately.
    pub(super) fn look(&mut self, n_refused: u64, now: Timestamp) -> bool {
        if n_refused > self.n_refused {
            self.n_refused = n_refused;
            self.until = now.plus_ns(SHEDDING_NS);
        }
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shedding_lasts_ten_seconds_after_the_last_refusal() {
        let mut shedding = Shedding::default();
        let mut check = |second: u64, n_refused, expected| {
            let now = Timestamp::from_secs(1_000 + second);
            assert_eq!(shedding.look(n_refused, now), expected, "second {second}");
        };
        check(0, 0, false);
        check(1, 3, true);
        check(10, 3, true);
        check(11, 3, false);
        check(12, 4, true);
        check(21, 5, true);
        check(30, 5, true);
        check(31, 5, false);
    }
}

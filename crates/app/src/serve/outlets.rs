//! What leaves the process and what is kept out of it, as counted there: subscribers, destinations,
//! and the door of the receivers. Looked at once a second.

use std::sync::Arc;

use spanwise_model::Timestamp;
use spanwise_otlp::admission::Admission;
use spanwise_otlp::sampled_spans::Hub;

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
    /// Destinations by name.
    pub(super) destinations: Vec<(String, Queue)>,
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
    pub(super) fn show(&self, metrics: &Metrics) -> u64 {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let stream = self.hub.totals();
        metrics.stream_subscribers.set(gauge(stream.n_subscribers));
        for (outcome, total) in [("sent", stream.n_sent), ("missed", stream.n_missed)] {
            follow(&metrics.stream_spans.get_or_create(&OutcomeLabel { outcome }), total);
        }
        metrics.in_flight_bytes.set(gauge(self.admission.in_flight_bytes()));
        let mut n_missed = stream.n_missed;
        for (destination, queue) in &self.destinations {
            let stats = queue.stats();
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

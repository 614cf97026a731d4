//! Whether traces are judged before their spans have come: then the wait after the root is too short for
//! the exporters, and verdicts are about parts of traces.

use spanwise_api::Check;
use spanwise_model::Timestamp;
use tracing::warn;

/// It is looked this often.
const EVERY_NS: u64 = 60 * 1_000_000_000;
/// More than this share of the spans is too much: of traces with a few spans each it is one in ten.
const SHARE_MAX: f64 = 0.02;
/// Fewer spans in a minute say nothing.
const N_SPANS_MIN: u64 = 1_000;

/// Follows how many spans come after the verdict on their trace.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    looked: Timestamp,
    /// Spans and late spans when it was looked.
    counted: (u64, u64),
    /// Share of the late ones between the last two looks, in [0, 1].
    share: f64,
}

impl Lateness {
    /// Takes the spans and the late spans since the start.
    pub(super) fn look(&mut self, n_spans: u64, n_late: u64, now: Timestamp) {
        if self.looked == Timestamp::default() {
            (self.looked, self.counted) = (now, (n_spans, n_late));
        }
        if now.since(self.looked) < EVERY_NS {
            return;
        }
        let (spans_before, late_before) = self.counted;
        let (n_more, n_more_late) = (n_spans - spans_before, n_late - late_before);
        (self.looked, self.counted) = (now, (n_spans, n_late));
        let was_good = self.is_good();
        self.share = if n_more < N_SPANS_MIN { 0.0 } else { n_more_late as f64 / n_more as f64 };
        if was_good && !self.is_good() {
            warn!("{}", self.detail());
        }
    }

    /// As a check that nothing depends on.
    pub(super) fn check(&self) -> Check {
        let (name, detail) = ("traces complete".to_owned(), self.detail());
        Check { name, ok: self.is_good(), detail, required: false }
    }

    fn is_good(&self) -> bool {
        self.share <= SHARE_MAX
    }

    fn detail(&self) -> String {
        let percent = 100.0 * self.share;
        let of =
            format!("{percent:.1} % of a minute's spans came after the verdict on their trace");
        if self.is_good() {
            return of;
        }
        format!(
            "{of}, which was taken without them: let traces be waited for longer, such as \
             sampler.traces.decision_wait_after_root_received: 6s where SDKs export every 5 s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp(1_700_000_000_000_000_000 + minutes * EVERY_NS)
    }

    #[test]
    fn late_spans_are_told_with_the_remedy_while_they_come() {
        let mut lateness = Lateness::default();
        lateness.look(5_000_000, 4_000_000, at(0));
        assert!(lateness.check().ok, "what was before is not known");
        lateness.look(5_010_000, 4_000_200, at(1));
        assert!(lateness.check().ok, "{}", lateness.check().detail);
        lateness.look(5_020_000, 4_003_200, at(2));
        let check = lateness.check();
        assert!(!check.ok && !check.required);
        assert!(check.detail.starts_with("30.0 %") && check.detail.contains(": 6s"), "{check:?}");
        lateness.look(5_020_500, 4_003_700, at(3));
        assert!(lateness.check().ok, "too few to tell");
    }
}

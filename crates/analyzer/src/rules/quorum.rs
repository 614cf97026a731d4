//! The evidence `act` needs beyond the count: one slow instance, one short spike or a handful of
//! spans must not scale a workload. Evaluated on raw spans, so a head-sampled stream has to show as
//! many real spans as any other.

use spanwise_model::{Condition, QuorumShortfall};

/// Raw spans that must have been seen at the rule's call sites in the window.
pub const SPANS_MIN: u64 = 20;
/// Quarters of the window in which breaches must lie.
pub const QUARTERS_MIN: u32 = 2;
/// Instances that must have breached, if at least as many sent spans.
pub const INSTANCES_MIN: u32 = 2;

/// What is missing, or `None` if the evidence suffices.
pub(super) fn shortfall(condition: &Condition) -> Option<QuorumShortfall> {
    let mut missing = Vec::new();
    if condition.n_spans < SPANS_MIN {
        missing.push(format!("{} spans seen, {SPANS_MIN} needed", condition.n_spans));
    }
    if condition.n_quarters < QUARTERS_MIN {
        missing.push(format!(
            "breaches in {} of 4 quarters of the window, {QUARTERS_MIN} needed",
            condition.n_quarters
        ));
    }
    if condition.n_instances >= INSTANCES_MIN && condition.n_breaching_instances < INSTANCES_MIN {
        missing.push(format!(
            "breaches from {} of {} instances, {INSTANCES_MIN} needed",
            condition.n_breaching_instances, condition.n_instances
        ));
    }
    (!missing.is_empty()).then(|| QuorumShortfall { detail: missing.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n_spans: u64, n_quarters: u32, breaching: u32, instances: u32, expected: &str) {
        let condition = Condition {
            n_spans,
            n_quarters,
            n_instances: instances,
            n_breaching_instances: breaching,
            ..Condition::default()
        };
        let detail = shortfall(&condition).map(|s| s.detail).unwrap_or_default();
        assert_eq!(detail, expected);
    }

    #[test]
    fn every_missing_piece_of_evidence_is_named() {
        check(20, 2, 2, 2, "");
        check(20, 2, 1, 1, "");
        check(19, 2, 2, 3, "19 spans seen, 20 needed");
        check(50, 1, 2, 3, "breaches in 1 of 4 quarters of the window, 2 needed");
        check(50, 4, 1, 3, "breaches from 1 of 3 instances, 2 needed");
        check(
            3,
            1,
            1,
            2,
            "3 spans seen, 20 needed; breaches in 1 of 4 quarters of the window, 2 needed; \
             breaches from 1 of 2 instances, 2 needed",
        );
    }
}

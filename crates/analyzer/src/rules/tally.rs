//! What is counted for one rule in one second: filled span by span on one side, merged from
//! messages on the other, by the same rules.
//!
//! Every field merges in a way that does not depend on order or grouping, the weighted count
//! included: weights are rounded to 1/65,536, so that sums of them are exact in a double.

use std::sync::Arc;

use spanwise_model::{RuleCount, SpanHead, TraceId};

use super::smallest::Smallest;

/// Instances counted per rule and second; the quorum only needs to tell one from several.
pub(super) const INSTANCES_MAX: usize = 16;
/// Example traces per rule and second.
pub(super) const TRACES_MAX: usize = 5;
/// Largest weight of one span: a sampling probability of one in a million. Without it one span with
/// a forged `ot=th` would reach any count alone.
const WEIGHT_MAX: f64 = 1_048_576.0;
/// Weights are multiples of 1/65,536: exact in a double up to 1.4e11 breaches.
const WEIGHT_STEPS: f64 = 65_536.0;

/// A call site by name.
pub(super) type SiteName = (Arc<str>, Arc<str>);
/// Instance hashes.
pub(super) type Instances = Smallest<u64, INSTANCES_MAX>;
/// Example traces.
pub(super) type Traces = Smallest<TraceId, TRACES_MAX>;

/// Counts of one rule over one second, or over a whole window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) n_spans: u64,
    pub(super) n_breaches: u64,
    pub(super) breaches: f64,
    pub(super) instances: Instances,
    pub(super) breaching_instances: Instances,
    pub(super) trace_ids: Traces,
    /// Of the names seen, the smallest: a choice that does not depend on order.
    pub(super) call_site: Option<SiteName>,
}

impl Tally {
    /// Merges what another process or thread counted. Values no counter can produce (from the
    /// network) are taken as 0.
    pub(super) fn merge_count(&mut self, count: &RuleCount) {
        let sane = count.breaches.is_finite() && count.breaches >= 0.0;
        self.n_spans = self.n_spans.saturating_add(count.n_spans);
        self.n_breaches = self.n_breaches.saturating_add(count.n_breaches);
        let most = count.n_breaches as f64 * WEIGHT_MAX;
        self.breaches += if sane { quantise(count.breaches.min(most)) } else { 0.0 };
        for &instance in count.instances.iter().take(INSTANCES_MAX) {
            self.instances.insert(instance);
        }
        for &instance in count.breaching_instances.iter().take(INSTANCES_MAX) {
            self.breaching_instances.insert(instance);
        }
        for &trace_id in count.trace_ids.iter().take(TRACES_MAX) {
            self.trace_ids.insert(trace_id);
        }
        if let Some(site) = &count.call_site {
            self.merge_site(site);
        }
    }

    /// Adds another tally.
    pub(super) fn merge(&mut self, other: &Self) {
        self.n_spans = self.n_spans.saturating_add(other.n_spans);
        self.n_breaches = self.n_breaches.saturating_add(other.n_breaches);
        self.breaches += other.breaches;
        for &instance in other.instances.as_slice() {
            self.instances.insert(instance);
        }
        for &instance in other.breaching_instances.as_slice() {
            self.breaching_instances.insert(instance);
        }
        for &trace_id in other.trace_ids.as_slice() {
            self.trace_ids.insert(trace_id);
        }
        if let Some(site) = &other.call_site {
            self.merge_site(site);
        }
    }

    /// Keeps the smaller of two names. Allocates nothing.
    pub(super) fn merge_site(&mut self, site: &SiteName) {
        if self.call_site.as_ref().is_none_or(|current| site < current) {
            self.call_site = Some((Arc::clone(&site.0), Arc::clone(&site.1)));
        }
    }

    /// The message for this tally.
    pub(super) fn to_count(&self, rule_idx: u32, second: u64) -> RuleCount {
        RuleCount {
            rule_idx,
            second,
            n_spans: self.n_spans,
            n_breaches: self.n_breaches,
            breaches: self.breaches,
            instances: self.instances.as_slice().to_vec(),
            breaching_instances: self.breaching_instances.as_slice().to_vec(),
            trace_ids: self.trace_ids.as_slice().to_vec(),
            call_site: self.call_site.clone(),
        }
    }
}

/// How many spans a span stands for, capped and rounded as described above.
pub(super) fn weight(head: &SpanHead) -> f64 {
    if head.threshold == 0 {
        return 1.0;
    }
    quantise(head.adjusted_count().min(WEIGHT_MAX))
}

fn quantise(value: f64) -> f64 {
    (value * WEIGHT_STEPS).round() / WEIGHT_STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(threshold: u64) -> SpanHead {
        SpanHead { threshold, ..SpanHead::default() }
    }

    #[test]
    fn an_unsampled_span_counts_once_and_a_forged_threshold_is_capped() {
        assert_eq!(weight(&head(0)).to_bits(), 1.0_f64.to_bits());
        assert_eq!(weight(&head((1 << 56) - 1)).to_bits(), WEIGHT_MAX.to_bits());
    }

    #[test]
    fn one_percent_of_spans_stand_for_a_hundred() {
        let weight = weight(&head(0xfd_70a0_0000_0000));
        assert!((weight - 100.0).abs() < 0.01, "{weight}");
    }

    #[test]
    fn figures_no_counter_produces_count_as_nothing() {
        for breaches in [f64::NAN, f64::INFINITY, -1.0] {
            let mut tally = Tally::default();
            tally.merge_count(&RuleCount { breaches, n_breaches: 9, ..RuleCount::default() });
            assert_eq!(tally.breaches.to_bits(), 0.0_f64.to_bits(), "{breaches}");
        }
    }

    #[test]
    fn a_message_cannot_claim_more_than_its_breaches_can_weigh() {
        let mut tally = Tally::default();
        let count = RuleCount { breaches: f64::MAX, n_breaches: 1, ..RuleCount::default() };
        tally.merge_count(&count);
        assert_eq!(tally.breaches.to_bits(), WEIGHT_MAX.to_bits());
    }
}

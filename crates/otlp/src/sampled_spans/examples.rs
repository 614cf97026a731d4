//! Counts of rules on their way to a subscriber: added up while they wait, with a few example spans.

use std::collections::BTreeMap;

use spanwise_model::{RuleCount, SpanRef};

use crate::reframe::reframe;
use crate::sampled_spans::convert::kept;

/// Most (rule, second) pairs that wait for one subscriber. 100 rules and 40 seconds: who reads
/// nothing for so long has lost its windows anyway.
const N_COUNTS_MAX: usize = 4_096;
/// Most bytes of examples that wait for one subscriber. More are left out: they are illustrations.
const EXAMPLE_BYTES_MAX: usize = 1 << 20;
/// Most instances and traces in one count, as in [`RuleCount`].
const N_INSTANCES_MAX: usize = 16;
const N_TRACES_MAX: usize = 5;

/// What one rule counted in one second, with examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountReport {
    /// The count.
    pub count: RuleCount,
    /// How many examples there are. Not sent: 0 on the receiving side.
    pub n_examples: u32,
    /// Example spans that breached, as an `ExportTraceServiceRequest`; empty if there are none.
    pub examples: Vec<u8>,
}

/// Counts waiting for one subscriber.
#[derive(Debug)]
pub(super) struct PendingCounts {
    by_rule: BTreeMap<(u64, u32), CountReport>,
    example_bytes: usize,
    quota: Quota,
}

/// Too many counts are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountsLost;

/// At most so many examples for a rule in a window of event time.
#[derive(Debug)]
struct Quota {
    n_max: u32,
    window_s: u64,
    /// Window and examples used, by rule. Bounded by the number of rules.
    used: BTreeMap<u32, (u64, u32)>,
}

impl CountReport {
    /// A count with its example spans, which are copied out of their batches.
    pub fn new(count: RuleCount, examples: &[SpanRef<'_>]) -> Self {
        if examples.is_empty() {
            return Self { count, ..Self::default() };
        }
        let kept: Vec<_> = examples.iter().map(|span| kept(span.batch, span.span_idx)).collect();
        let request = reframe(&kept);
        Self { count, n_examples: request.order.len() as u32, examples: request.bytes.into() }
    }
}

impl PendingCounts {
    pub(super) fn new(n_examples_max: u32, window_s: u32) -> Self {
        let quota =
            Quota { n_max: n_examples_max, window_s: u64::from(window_s), used: BTreeMap::new() };
        Self { by_rule: BTreeMap::new(), example_bytes: 0, quota }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_rule.is_empty()
    }

    pub(super) fn add(&mut self, report: &CountReport) -> Result<(), CountsLost> {
        let key = (report.count.second, report.count.rule_idx);
        if !self.by_rule.contains_key(&key) && self.by_rule.len() >= N_COUNTS_MAX {
            return Err(CountsLost);
        }
        let empty = || CountReport {
            count: RuleCount {
                rule_idx: report.count.rule_idx,
                second: report.count.second,
                ..RuleCount::default()
            },
            ..CountReport::default()
        };
        let pending = self.by_rule.entry(key).or_insert_with(empty);
        add_count(&mut pending.count, &report.count);
        let fits = self.example_bytes + report.examples.len() <= EXAMPLE_BYTES_MAX;
        if fits && report.n_examples > 0 && self.quota.take(&report.count, report.n_examples) {
            // Two requests one behind the other are one request with the spans of both.
            pending.examples.extend_from_slice(&report.examples);
            pending.n_examples += report.n_examples;
            self.example_bytes += report.examples.len();
        }
        Ok(())
    }

    /// All of them, oldest second first.
    pub(super) fn take(&mut self) -> Vec<CountReport> {
        self.example_bytes = 0;
        std::mem::take(&mut self.by_rule).into_values().collect()
    }
}

impl Quota {
    fn take(&mut self, count: &RuleCount, n: u32) -> bool {
        let window = count.second / self.window_s.max(1);
        let (current, used) = self.used.entry(count.rule_idx).or_insert((window, 0));
        if window > *current {
            (*current, *used) = (window, 0);
        }
        // A late second counts in the window that is open now.
        let fits = used.saturating_add(n) <= self.n_max;
        *used += if fits { n } else { 0 };
        fits
    }
}

fn add_count(to: &mut RuleCount, from: &RuleCount) {
    to.n_spans += from.n_spans;
    to.n_breaches += from.n_breaches;
    to.breaches += from.breaches;
    merge_instances(&mut to.instances, &from.instances);
    merge_instances(&mut to.breaching_instances, &from.breaching_instances);
    let free = N_TRACES_MAX.saturating_sub(to.trace_ids.len());
    to.trace_ids.extend(from.trace_ids.iter().take(free));
    if from.call_site.is_some() {
        to.call_site.clone_from(&from.call_site);
    }
}

fn merge_instances(to: &mut Vec<u64>, from: &[u64]) {
    to.extend_from_slice(from);
    to.sort_unstable();
    to.dedup();
    to.truncate(N_INSTANCES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rule_idx: u32, second: u64, n_examples: u32) -> CountReport {
        CountReport {
            count: RuleCount {
                rule_idx,
                second,
                n_spans: 10,
                n_breaches: 2,
                breaches: 2.5,
                instances: vec![3, 5],
                ..RuleCount::default()
            },
            n_examples,
            examples: vec![0xff; n_examples as usize],
        }
    }

    #[test]
    fn counts_of_one_rule_and_second_add_up() {
        let mut pending = PendingCounts::new(100, 30);
        pending.add(&report(1, 7, 0)).unwrap();
        pending.add(&report(0, 7, 0)).unwrap();
        let mut more = report(1, 7, 0);
        more.count.instances = vec![4, 5];
        pending.add(&more).unwrap();
        let taken = pending.take();
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[1].count.n_spans, 20);
        assert_eq!(taken[1].count.breaches.to_bits(), 5.0_f64.to_bits());
        assert_eq!(taken[1].count.instances, [3, 4, 5]);
        assert!(pending.is_empty());
    }

    #[test]
    fn a_rule_gets_at_most_its_examples_in_a_window() {
        let mut pending = PendingCounts::new(100, 30);
        let mut n_examples = 0;
        for second in 0..60 {
            pending.add(&report(0, second, 40)).unwrap();
            n_examples += pending.take().iter().map(|r| r.examples.len()).sum::<usize>();
        }
        // Two windows of 30 s, in each 40 + 40, and no room for a third.
        assert_eq!(n_examples, 160);
    }

    #[test]
    fn a_subscriber_that_reads_nothing_is_told_that_counts_are_lost() {
        let mut pending = PendingCounts::new(100, 30);
        for second in 0..N_COUNTS_MAX as u64 {
            pending.add(&report(0, second, 1)).unwrap();
        }
        assert_eq!(pending.add(&report(0, 9_999, 0)), Err(CountsLost));
        assert_eq!(pending.add(&report(0, 5, 0)), Ok(()));
    }
}

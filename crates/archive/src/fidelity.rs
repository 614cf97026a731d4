//! How well one set of traces answers the queries another answers.
//!
//! The metrics of the Gen-T paper's evaluation and those that show what its queries cannot: joint
//! distributions, percentiles per minute, order in time. Each is one number; which way is better is
//! part of its name's definition ([`Metric`]). `None` means that it does not apply, never that
//! nobody looked.
//!
//! Scores are computed with `libm` in a fixed order, so that a score stored in a file is what any
//! machine computes again. What no metric looks at: ids, strings with many values, links, flags, and
//! events other than the type of an exception.

mod distance;
mod queries;
mod record;
mod structure;
mod timing;
mod view;

use std::ops::RangeInclusive;

use crate::traces::Traces;

pub use record::Fidelity;
use view::{View, Vocabulary};

/// Distinct real values of an attribute that is low-cardinality: one value says nothing, and above
/// forty a histogram of a window is mostly noise.
const PAIR_VALUES: RangeInclusive<usize> = 2..=40;

/// What is measured. F1 and recall: 1 is best; everything else is a distance or an error: 0 is best.
///
/// Times are in microseconds; buckets last 300 s; a group is judged only if the real side has enough
/// of it. Means over groups are unweighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Metric {
    /// F1 of the sets (bucket, service of the parent, service of the child).
    Q1,
    /// Mean Wasserstein distance of duration as a share of the root's, by (service, bucket).
    Q2,
    /// Mean F1 over services S1 of the groups (bucket, service) with more than 10 error spans in
    /// traces through S1.
    Q3,
    /// Mean of the two below.
    Q4,
    /// Mean multiset F1 of traces with an error by value of an attribute of their entry spans.
    Q4Err,
    /// The same of traces without.
    Q4Ok,
    /// Relative error of the share of traces with an error.
    ErrorTraceRel,
    /// Mean Wasserstein distance of log10(duration) per call site, in standard deviations.
    W1,
    /// Mean relative error of the median duration per call site.
    P50Rel,
    /// Mean relative error of the 99th percentile of the duration per call site.
    P99Rel,
    /// Wasserstein distance of log10(root duration), in standard deviations.
    TraceW1,
    /// Relative error of the 99th percentile of the root duration.
    TraceP99Rel,
    /// Mean relative error of the 95th percentile of the root duration by (entry operation, minute).
    P95MinuteRel,
    /// Mean total variation distance of pairs of attributes of a call site.
    AttrTv,
    /// Mean absolute difference of the correlation of log duration of parent and child, by edge.
    CorrMae,
    /// Share of the real topologies that occur.
    TopologyRecall,
    /// Share of the topologies that are not real.
    Invalid,
    /// Q2 over the groups of the real side only.
    Q2RealGroups,
    /// Q3 over the groups of the real side only.
    Q3RealGroups,
    /// Q3 with more than 3 error spans.
    Q3Low,
    /// Q1 as printed in the paper: no buckets.
    Q1Printed,
    /// Q2 as printed: entry spans as S1, no buckets, shares to a tenth (capped at 10).
    Q2Printed,
    /// Q3 as printed: one alert per service, on pairs of spans.
    Q3Printed,
    /// Median instead of mean of [`Metric::P99Rel`].
    P99RelMedian,
    /// [`Metric::P99Rel`] over call sites with 2,000 real spans or more.
    P99RelCommon,
    /// Median instead of mean of [`Metric::CorrMae`].
    CorrMaeMedian,
    /// [`Metric::CorrMae`] over edges with 2,000 real pairs or more.
    CorrMaeCommon,
    /// [`Metric::CorrMae`] with r = 0 for edges of which the other side has 300 pairs or fewer: hard
    /// on small samples, which are not scaled.
    CorrMaeRareZero,
    /// [`Metric::P95MinuteRel`] by the name of the second span instead of the entry's.
    P95MinuteRelSecond,
    /// Mean relative error of the 95th percentile of span durations by (service, minute).
    P95MinuteRelService,
    /// Share of child spans that start before their parent.
    ChildBeforeParent,
    /// Absolute difference of the share of child spans that end after their parent.
    Outlive,
}

/// Compares windows with one real window.
#[derive(Debug)]
pub struct Scorer {
    words: Vocabulary,
    real: View,
}

/// Both sides, in shared words.
struct Sides<'a> {
    words: &'a Vocabulary,
    real: &'a View,
    other: &'a View,
    /// By how much counts of the other side are multiplied.
    scale: f64,
}

impl Scorer {
    /// Reads the real window.
    pub fn new(real: &Traces) -> Self {
        let mut words = Vocabulary::default();
        let real = View::of(real, &mut words);
        Self { words, real }
    }

    /// Scores another window. `scale` is by how much its counts must be multiplied to estimate the
    /// real ones: N for 1:N sampling, 1 otherwise. Cost: about a second for 330,000 spans.
    pub fn score(&mut self, other: &Traces, scale: f64) -> Fidelity {
        let other = View::of(other, &mut self.words);
        let sides = Sides { words: &self.words, real: &self.real, other: &other, scale };
        let queries = queries::ask(&sides);
        let timing = timing::measure(&sides);
        let structure = structure::measure(&sides);
        Fidelity::of(|metric| queries.get(metric).or(timing.get(metric)).or(structure.get(metric)))
    }
}

impl Sides<'_> {
    fn both<T>(&self, of: impl Fn(&View) -> T) -> (T, T) {
        (of(self.real), of(self.other))
    }
}

#[cfg(test)]
mod tests;

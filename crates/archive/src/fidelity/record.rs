//! The score as a record: by metric, and as the bytes of an archive's section.
//!
//! Bytes: for each figure that applies, in ascending order, the number of its metric (u8) and its
//! value (f32, little-endian). Numbers of metrics are never reused; a reader skips those it does not
//! know. A section of 150 bytes matters where a whole window takes 25,000: hence no names, and no
//! more digits than a score has.

use super::Metric;

/// Bytes of a figure: its number and its value.
const FIGURE_LEN: usize = 5;

/// How well a window answers what another answers: a figure for each [`Metric`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fidelity {
    figures: [Option<f64>; Metric::ALL.len()],
}

impl Metric {
    /// All of them, in the order of a row.
    pub const ALL: [Self; 32] = [
        Self::Q1,
        Self::Q2,
        Self::Q3,
        Self::Q4,
        Self::Q4Err,
        Self::Q4Ok,
        Self::ErrorTraceRel,
        Self::W1,
        Self::P50Rel,
        Self::P99Rel,
        Self::TraceW1,
        Self::TraceP99Rel,
        Self::P95MinuteRel,
        Self::AttrTv,
        Self::CorrMae,
        Self::TopologyRecall,
        Self::Invalid,
        Self::Q2RealGroups,
        Self::Q3RealGroups,
        Self::Q3Low,
        Self::Q1Printed,
        Self::Q2Printed,
        Self::Q3Printed,
        Self::P99RelMedian,
        Self::P99RelCommon,
        Self::CorrMaeMedian,
        Self::CorrMaeCommon,
        Self::CorrMaeRareZero,
        Self::P95MinuteRelSecond,
        Self::P95MinuteRelService,
        Self::ChildBeforeParent,
        Self::Outlive,
    ];

    /// Those that every evaluation reports; the others are variants of them.
    pub const ROW: [Self; Self::Invalid as usize + 1] = {
        let mut row = [Self::Q1; Self::Invalid as usize + 1];
        let mut at = 0;
        while at < row.len() {
            row[at] = Self::ALL[at];
            at += 1;
        }
        row
    };

    /// Its name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q1 => "q1",
            Self::Q2 => "q2",
            Self::Q3 => "q3",
            Self::Q4 => "q4",
            Self::Q4Err => "q4_err",
            Self::Q4Ok => "q4_ok",
            Self::ErrorTraceRel => "error_trace_rel",
            Self::W1 => "w1",
            Self::P50Rel => "p50_rel",
            Self::P99Rel => "p99_rel",
            Self::TraceW1 => "trace_w1",
            Self::TraceP99Rel => "trace_p99_rel",
            Self::P95MinuteRel => "p95_minute_rel",
            Self::AttrTv => "attr_tv",
            Self::CorrMae => "corr_mae",
            Self::TopologyRecall => "topology_recall",
            Self::Invalid => "invalid",
            Self::Q2RealGroups => "q2_real_groups",
            Self::Q3RealGroups => "q3_real_groups",
            Self::Q3Low => "q3_low",
            Self::Q1Printed => "q1_printed",
            Self::Q2Printed => "q2_printed",
            Self::Q3Printed => "q3_printed",
            Self::P99RelMedian => "p99_rel_median",
            Self::P99RelCommon => "p99_rel_common",
            Self::CorrMaeMedian => "corr_mae_median",
            Self::CorrMaeCommon => "corr_mae_common",
            Self::CorrMaeRareZero => "corr_mae_rare_zero",
            Self::P95MinuteRelSecond => "p95_minute_rel_second",
            Self::P95MinuteRelService => "p95_minute_rel_service",
            Self::ChildBeforeParent => "child_before_parent",
            Self::Outlive => "outlive",
        }
    }

    /// Whether a greater figure is the better one.
    pub const fn is_greater_better(self) -> bool {
        matches!(
            self,
            Self::Q1
                | Self::Q3
                | Self::Q4
                | Self::Q4Err
                | Self::Q4Ok
                | Self::TopologyRecall
                | Self::Q3RealGroups
                | Self::Q3Low
                | Self::Q1Printed
                | Self::Q3Printed
        )
    }
}

impl Fidelity {
    /// Asks `of` for each figure, and rounds it to what a file stores. What is not finite does not
    /// apply.
    pub(super) fn of(of: impl Fn(Metric) -> Option<f64>) -> Self {
        // Adding 0 turns -0 into 0.
        let rounded = |value: f64| f64::from(value as f32) + 0.0;
        let finite = |value: &f64| value.is_finite();
        Self { figures: Metric::ALL.map(|metric| of(metric).map(rounded).filter(finite)) }
    }

    /// A figure; `None` if it does not apply.
    pub const fn get(&self, metric: Metric) -> Option<f64> {
        self.figures[metric as usize]
    }

    /// All figures with their metrics.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, Option<f64>)> {
        Metric::ALL.into_iter().zip(self.figures)
    }

    /// Whether every figure is at least as good as that of `floor` within `slack`; figures that do
    /// not apply to either side are left out. Yields the first one that falls short.
    pub fn shortfall(&self, floor: &Self, slack: f64) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| match (self.get(*metric), floor.get(*metric)) {
            (Some(own), Some(floor)) if metric.is_greater_better() => own < floor - slack,
            (Some(own), Some(floor)) => own > floor + slack,
            _ => false,
        })
    }

    /// The bytes of a section.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (metric, value) in self.iter() {
            if let Some(value) = value {
                bytes.push(metric as u8);
                bytes.extend_from_slice(&(value as f32).to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, by this version or another. `None` if the bytes end
    /// early, are out of order, or hold what is not finite.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fidelity = Self::default();
        let mut last = None;
        for figure in bytes.chunks(FIGURE_LEN) {
            let [number, value @ ..] = figure.first_chunk::<FIGURE_LEN>()?;
            let value = f64::from(f32::from_le_bytes(*value));
            if last >= Some(*number) || !value.is_finite() {
                return None;
            }
            last = Some(*number);
            // Numbers beyond those known here are of later versions.
            if let Some(figure) = fidelity.figures.get_mut(usize::from(*number)) {
                *figure = Some(value);
            }
        }
        Some(fidelity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stand_in_the_order_of_their_numbers_under_distinct_names() {
        let mut names = std::collections::BTreeSet::new();
        for (at, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, at);
            assert!(names.insert(metric.name()));
        }
    }

    #[test]
    fn a_score_survives_its_bytes() {
        let score = Fidelity::of(|metric| match metric {
            Metric::Q3 => None,
            Metric::W1 => Some(f64::NAN),
            metric => Some(f64::from(metric as u8) / 7.0),
        });
        assert_eq!(score.get(Metric::W1), None);
        assert_eq!(Fidelity::decode(&score.encode()), Some(score));
    }

    #[test]
    fn unknown_figures_are_skipped_and_bad_bytes_refused() {
        let figure = |number: u8, value: f32| {
            let mut bytes = vec![number];
            bytes.extend_from_slice(&value.to_le_bytes());
            bytes
        };
        let bytes = [figure(0, 0.5), figure(200, 1.0)].concat();
        assert_eq!(Fidelity::decode(&bytes).unwrap().get(Metric::Q1), Some(0.5));
        for end in [1, 4, 6, 9] {
            assert_eq!(Fidelity::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Fidelity::decode(&[figure(1, 1.0), figure(0, 1.0)].concat()), None);
        assert_eq!(Fidelity::decode(&[figure(1, 1.0), figure(1, 1.0)].concat()), None);
        assert_eq!(Fidelity::decode(&figure(0, f32::INFINITY)), None);
        assert_eq!(Fidelity::decode(&[]), Some(Fidelity::default()));
    }

    #[test]
    fn a_shortfall_is_judged_in_the_direction_of_its_metric() {
        let floor = Fidelity::of(|_| Some(0.5));
        let better = Fidelity::of(|m| Some(if m.is_greater_better() { 0.6 } else { 0.4 }));
        assert_eq!(better.shortfall(&floor, 0.0), None);
        assert_eq!(floor.shortfall(&better, 0.0), Some(Metric::Q1));
        assert_eq!(floor.shortfall(&better, 0.2), None);
    }
}

//! Durations: per call site, per trace, per minute, and of parents and children together.

use rustc_hash::FxHashMap;

use super::distance::{Pearson, deviation, mean, median, percentile, relative, sort, wasserstein};
use super::view::View;
use super::{Metric, Sides};

/// Real spans a call site needs to be judged.
const NODE_SPANS_MIN: usize = 200;
/// Real spans of a call site, or pairs of an edge, that no single outlier moves.
const COMMON_SPANS_MIN: usize = 2_000;
/// Real pairs an edge needs to be judged.
const EDGE_SPANS_MIN: u64 = 300;
/// Real traces that a minute of an operation, or of a service, needs to be judged.
const MINUTE_TRACES_MIN: usize = 20;
const MINUTE_US: i64 = 60_000_000;
/// The least standard deviation, in decades, that distances are divided by.
const DEVIATION_MIN: f64 = 0.001;
/// The least duration, in us, that errors are relative to.
const DURATION_MIN_US: f64 = 1.0;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    w1: Option<f64>,
    p50_rel: Option<f64>,
    p99_rel: Option<f64>,
    p99_rel_median: Option<f64>,
    p99_rel_common: Option<f64>,
    trace_w1: Option<f64>,
    trace_p99_rel: Option<f64>,
    p95_minute_rel: Option<f64>,
    p95_minute_rel_second: Option<f64>,
    p95_minute_rel_service: Option<f64>,
    corr_mae: Option<f64>,
    corr_mae_median: Option<f64>,
    corr_mae_common: Option<f64>,
    corr_mae_rare_zero: Option<f64>,
}

impl Timing {
    /// A figure, if it is found here and applies.
    pub(super) const fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::W1 => self.w1,
            Metric::P50Rel => self.p50_rel,
            Metric::P99Rel => self.p99_rel,
            Metric::P99RelMedian => self.p99_rel_median,
            Metric::P99RelCommon => self.p99_rel_common,
            Metric::TraceW1 => self.trace_w1,
            Metric::TraceP99Rel => self.trace_p99_rel,
            Metric::P95MinuteRel => self.p95_minute_rel,
            Metric::P95MinuteRelSecond => self.p95_minute_rel_second,
            Metric::P95MinuteRelService => self.p95_minute_rel_service,
            Metric::CorrMae => self.corr_mae,
            Metric::CorrMaeMedian => self.corr_mae_median,
            Metric::CorrMaeCommon => self.corr_mae_common,
            Metric::CorrMaeRareZero => self.corr_mae_rare_zero,
            _ => None,
        }
    }
}

/// Measures all of it.
pub(super) fn measure(sides: &Sides<'_>) -> Timing {
    let mut timing = Timing::default();
    by_node(sides, &mut timing);
    by_trace(sides, &mut timing);
    correlations(sides, &mut timing);
    let entry = |view: &View, trace: &std::ops::Range<usize>| {
        Some(view.entries(trace, sides.words).end - 1)
    };
    let second =
        |_: &View, trace: &std::ops::Range<usize>| Some((trace.start + 1).min(trace.end - 1));
    timing.p95_minute_rel = by_minute(sides, |view| roots_by_minute(sides, view, entry));
    timing.p95_minute_rel_second = by_minute(sides, |view| roots_by_minute(sides, view, second));
    timing.p95_minute_rel_service = by_minute(sides, |view| services_by_minute(sides, view));
    timing
}

fn log10_us(us: f64) -> f64 {
    libm::log10(us + 1.0)
}

/// Durations of each node, sorted.
fn durations(sides: &Sides<'_>, view: &View) -> Vec<Vec<f64>> {
    let mut by_node = vec![Vec::new(); sides.words.n_nodes()];
    for span in 0..view.n_spans() {
        by_node[view.node[span] as usize].push(view.duration_us(span));
    }
    for values in &mut by_node {
        sort(values);
    }
    by_node
}

/// Distance of log10(duration + 1) in standard deviations of the real side, both sorted; 1 if the
/// other side has nothing.
fn log_distance(real: &[f64], other: &[f64]) -> f64 {
    let logs = |values: &[f64]| values.iter().map(|us| log10_us(*us)).collect::<Vec<f64>>();
    let real = logs(real);
    let scale = deviation(&real).max(DEVIATION_MIN);
    wasserstein(&real, &logs(other)).map_or(1.0, |distance| distance / scale)
}

/// Relative error of a percentile, both sorted; 1 if the other side has nothing.
fn percentile_error(real: &[f64], other: &[f64], q: f64) -> f64 {
    match (percentile(real, q), percentile(other, q)) {
        (Some(real), Some(other)) => relative(real, other, DURATION_MIN_US),
        _ => 1.0,
    }
}

fn by_node(sides: &Sides<'_>, timing: &mut Timing) {
    let (real, other) = sides.both(|view| durations(sides, view));
    let (mut w1, mut p50, mut p99, mut p99_common) = (vec![], vec![], vec![], vec![]);
    for (real, other) in real.iter().zip(&other) {
        if real.len() < NODE_SPANS_MIN {
            continue;
        }
        w1.push(log_distance(real, other));
        p50.push(percentile_error(real, other, 0.5));
        p99.push(percentile_error(real, other, 0.99));
        if real.len() >= COMMON_SPANS_MIN {
            p99_common.extend(p99.last());
        }
    }
    timing.w1 = mean(&w1);
    timing.p50_rel = mean(&p50);
    timing.p99_rel = mean(&p99);
    timing.p99_rel_median = median(&p99);
    timing.p99_rel_common = mean(&p99_common);
}

fn by_trace(sides: &Sides<'_>, timing: &mut Timing) {
    let (real, other) = sides.both(|view| {
        let mut durations: Vec<f64> =
            view.traces().map(|trace| view.duration_us(trace.start)).collect();
        sort(&mut durations);
        durations
    });
    if !real.is_empty() {
        timing.trace_w1 = Some(log_distance(&real, &other));
        timing.trace_p99_rel = Some(percentile_error(&real, &other, 0.99));
    }
}

type Minutes = FxHashMap<(u32, i64), Vec<f64>>;

/// Root durations by (name of a span of the trace, minute of the root's start).
fn roots_by_minute(
    sides: &Sides<'_>,
    view: &View,
    named_by: impl Fn(&View, &std::ops::Range<usize>) -> Option<usize>,
) -> Minutes {
    let mut groups = Minutes::default();
    for trace in view.traces() {
        let Some(span) = named_by(view, &trace) else { continue };
        let minute = view.start_us[trace.start].div_euclid(MINUTE_US);
        let group = (sides.words.name(view.node[span]), minute);
        groups.entry(group).or_default().push(view.duration_us(trace.start));
    }
    groups
}

/// Durations of spans by (service, minute).
fn services_by_minute(sides: &Sides<'_>, view: &View) -> Minutes {
    let mut groups = Minutes::default();
    for span in 0..view.n_spans() {
        let minute = view.start_us[span].div_euclid(MINUTE_US);
        let group = (sides.words.service(view.node[span]), minute);
        groups.entry(group).or_default().push(view.duration_us(span));
    }
    groups
}

/// Mean relative error of the p95 over the real groups that are large enough.
fn by_minute(sides: &Sides<'_>, group: impl Fn(&View) -> Minutes) -> Option<f64> {
    let (mut real, mut other) = sides.both(group);
    let mut keys: Vec<_> = real.keys().copied().collect();
    keys.sort_unstable();
    let mut errors = Vec::new();
    for key in keys {
        let Some(real) = real.get_mut(&key).filter(|real| real.len() >= MINUTE_TRACES_MIN) else {
            continue;
        };
        sort(real);
        let mut none = Vec::new();
        let other = other.get_mut(&key).unwrap_or(&mut none);
        sort(other);
        errors.push(percentile_error(real, other, 0.95));
    }
    mean(&errors)
}

fn correlations(sides: &Sides<'_>, timing: &mut Timing) {
    let (real, other) = sides.both(|view| {
        let mut edges: FxHashMap<(u32, u32), Pearson> = FxHashMap::default();
        let log = |span| libm::log(view.duration_us(span) + 1.0);
        for span in 0..view.n_spans() {
            let parent = view.parent[span] as usize;
            if let Some(node) = view.node.get(parent) {
                edges.entry((*node, view.node[span])).or_default().add(log(parent), log(span));
            }
        }
        edges
    });
    let mut edges: Vec<_> = real.iter().filter(|(_, pairs)| pairs.n() > EDGE_SPANS_MIN).collect();
    edges.sort_unstable_by_key(|(edge, _)| **edge);
    let (mut all, mut common, mut rare_as_zero) = (Vec::new(), Vec::new(), Vec::new());
    for (edge, pairs) in edges {
        let found = other.get(edge).copied().unwrap_or_default();
        let error = (pairs.r() - found.r()).abs();
        all.push(error);
        let is_rare = found.n() <= EDGE_SPANS_MIN;
        rare_as_zero.push(if is_rare { pairs.r().abs() } else { error });
        if pairs.n() >= COMMON_SPANS_MIN as u64 {
            common.push(error);
        }
    }
    timing.corr_mae = mean(&all);
    timing.corr_mae_median = median(&all);
    timing.corr_mae_common = mean(&common);
    timing.corr_mae_rare_zero = mean(&rare_as_zero);
}

//! The four queries of the Gen-T paper (appendix A), each asked of every service or attribute it
//! could be asked of: Q1 who calls whom, Q2 shares of the duration, Q3 an alert on errors, Q4
//! attributes of failed and of other traces.
//!
//! Q1 to Q3 are asked per bucket of 300 s. As the public code counts Q2 and Q3, a group that only the
//! synthetic side has costs nothing: a false alarm is free. The figures here count the groups of
//! both sides; what the other way of counting gives stands beside them. "As printed" are the queries
//! of the appendix to the letter: no buckets, shares to a tenth, and Q3 counting pairs of spans.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use super::distance::{Matches, mean, sort, wasserstein};
use super::view::View;
use super::{Metric, PAIR_VALUES, Sides};

/// Length of a bucket; buckets begin at multiples of it since the epoch.
const BUCKET_US: i64 = 300_000_000;

/// Errors above which Q3 alerts.
const ALERT: f64 = 10.0;
/// The same, for windows with few errors.
const ALERT_LOW: f64 = 3.0;

/// What the queries found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queries {
    q1: Option<f64>,
    q2: Option<f64>,
    q3: Option<f64>,
    q4_err: Option<f64>,
    q4_ok: Option<f64>,
    q2_real_groups: Option<f64>,
    q3_real_groups: Option<f64>,
    q3_low: Option<f64>,
    q1_printed: Option<f64>,
    q2_printed: Option<f64>,
    q3_printed: Option<f64>,
}

impl Queries {
    /// A figure, if it is found here and applies.
    pub(super) const fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Q1 => self.q1,
            Metric::Q2 => self.q2,
            Metric::Q3 => self.q3,
            Metric::Q4Err => self.q4_err,
            Metric::Q4Ok => self.q4_ok,
            Metric::Q2RealGroups => self.q2_real_groups,
            Metric::Q3RealGroups => self.q3_real_groups,
            Metric::Q3Low => self.q3_low,
            Metric::Q1Printed => self.q1_printed,
            Metric::Q2Printed => self.q2_printed,
            Metric::Q3Printed => self.q3_printed,
            Metric::Q4 => match (self.q4_err, self.q4_ok) {
                (Some(err), Some(ok)) => Some(f64::midpoint(err, ok)),
                (None, only) | (only, None) => only,
            },
            _ => None,
        }
    }
}

/// Asks all of them.
pub(super) fn ask(sides: &Sides<'_>) -> Queries {
    let calls = sides.both(|view| calls(sides, view));
    let printed = |calls: &FxHashSet<(i64, u32, u32)>| {
        calls.iter().map(|(_, parent, child)| (*parent, *child)).collect::<FxHashSet<_>>()
    };
    let shares = sides.both(|view| shares(sides, view, 2, true));
    let shares_printed = sides.both(|view| shares_printed(sides, view));
    let errors = sides.both(|view| errors(sides, view));
    let alerts = |level, listed| alerts(&errors.0, &errors.1, sides.scale, level, listed);
    let (q4_err, q4_ok) = (histograms(sides, true), histograms(sides, false));
    Queries {
        q1: overlap(&calls.0, &calls.1),
        q2: groups_apart(&shares.0, &shares.1, false),
        q3: alerts(ALERT, false),
        q4_err,
        q4_ok,
        q2_real_groups: groups_apart(&shares.0, &shares.1, true),
        q3_real_groups: alerts(ALERT, true),
        q3_low: alerts(ALERT_LOW, false),
        q1_printed: overlap(&printed(&calls.0), &printed(&calls.1)),
        q2_printed: groups_apart(&shares_printed.0, &shares_printed.1, false),
        q3_printed: alerts_printed(sides),
    }
}

fn bucket(us: i64) -> i64 {
    us.div_euclid(BUCKET_US)
}

/// F1 of two sets.
fn overlap<T: Hash + Eq>(real: &FxHashSet<T>, other: &FxHashSet<T>) -> Option<f64> {
    let mut matches = Matches::default();
    for thing in real {
        matches.add(true, other.contains(thing));
    }
    matches.false_positives = other.len() as u64 - matches.both;
    matches.f1()
}

/// Q1: (bucket of the child, service of the parent, service of the child).
fn calls(sides: &Sides<'_>, view: &View) -> FxHashSet<(i64, u32, u32)> {
    let call = |span: usize| {
        let parent = *view.node.get(view.parent[span] as usize)?;
        let services = (sides.words.service(parent), sides.words.service(view.node[span]));
        Some((bucket(view.start_us[span]), services.0, services.1))
    };
    (0..view.n_spans()).filter_map(call).collect()
}

type Shares = FxHashMap<(u32, i64), Vec<f64>>;

/// Q2: durations as shares of the root's, of spans that are shorter, by service and bucket.
fn shares(sides: &Sides<'_>, view: &View, digits: i32, in_buckets: bool) -> Shares {
    let unit = 10_f64.powi(digits);
    let mut groups = Shares::default();
    for trace in view.traces() {
        let whole = view.duration_us(trace.start);
        for span in trace.filter(|span| view.duration_us(*span) < whole) {
            let share = (view.duration_us(span) / whole.max(1.0) * unit).round() / unit;
            let at = if in_buckets { bucket(view.start_us[span]) } else { 0 };
            groups.entry((sides.words.service(view.node[span]), at)).or_default().push(share);
        }
    }
    sorted(groups)
}

/// Q2 to the letter: every pair of an entry span and a span of its trace, by both services.
fn shares_printed(sides: &Sides<'_>, view: &View) -> Shares {
    let mut groups = Shares::default();
    for trace in view.traces() {
        for entry in view.entries(&trace, sides.words) {
            let whole = view.duration_us(entry).max(1.0);
            let asked = sides.words.service(view.node[entry]);
            for span in trace.clone() {
                // To a tenth, and never beyond what an outliving span can sensibly mean.
                let share = ((view.duration_us(span) / whole * 10.0).round() / 10.0).min(10.0);
                let group = (sides.words.service(view.node[span]), i64::from(asked));
                groups.entry(group).or_default().push(share);
            }
        }
    }
    sorted(groups)
}

fn sorted(mut groups: Shares) -> Shares {
    for values in groups.values_mut() {
        sort(values);
    }
    groups
}

/// Mean distance over groups; 1 for a group that only one side has. With `listed`, only groups of
/// the real side are looked at.
fn groups_apart(real: &Shares, other: &Shares, listed: bool) -> Option<f64> {
    let mut keys: Vec<_> = real.keys().collect();
    if !listed {
        keys.extend(other.keys().filter(|key| !real.contains_key(*key)));
    }
    keys.sort_unstable();
    let apart = |key| match (real.get(key), other.get(key)) {
        (Some(real), Some(other)) => wasserstein(real, other).unwrap_or(1.0),
        _ => 1.0,
    };
    mean(&keys.into_iter().map(apart).collect::<Vec<f64>>())
}

/// Q3: per service S1, error spans of traces through S1 by (bucket and service of the error span).
type Errors = FxHashMap<u32, FxHashMap<(i64, u32), f64>>;

fn errors(sides: &Sides<'_>, view: &View) -> Errors {
    let mut by_service = Errors::default();
    for trace in view.traces() {
        let failed: Vec<_> = trace
            .clone()
            .filter(|span| view.is_error[*span])
            .map(|span| (bucket(view.start_us[span]), sides.words.service(view.node[span])))
            .collect();
        if failed.is_empty() {
            continue;
        }
        let through: FxHashSet<u32> =
            trace.map(|span| sides.words.service(view.node[span])).collect();
        for service in through {
            let groups = by_service.entry(service).or_default();
            for group in &failed {
                *groups.entry(*group).or_default() += 1.0;
            }
        }
    }
    by_service
}

/// Mean over S1 of the F1 of groups that alert.
fn alerts(real: &Errors, other: &Errors, scale: f64, level: f64, listed: bool) -> Option<f64> {
    let none = FxHashMap::default();
    let mut services: Vec<_> = real.keys().chain(other.keys()).collect();
    services.sort_unstable();
    services.dedup();
    let f1 = |service| {
        let (real, other) =
            (real.get(service).unwrap_or(&none), other.get(service).unwrap_or(&none));
        let mut matches = Matches::default();
        for (group, count) in real {
            let scaled = other.get(group).map_or(0.0, |count| count * scale);
            matches.add(*count > level, scaled > level);
        }
        if !listed {
            for (_, count) in other.iter().filter(|(group, _)| !real.contains_key(*group)) {
                matches.add(false, count * scale > level);
            }
        }
        matches.f1()
    };
    mean(&services.into_iter().filter_map(f1).collect::<Vec<f64>>())
}

/// Q3 to the letter: one alert per S1 over the whole window, on pairs (span of S1, error span).
fn alerts_printed(sides: &Sides<'_>) -> Option<f64> {
    let counts = |view: &View| {
        let mut by_service: FxHashMap<u32, f64> = FxHashMap::default();
        for trace in view.traces() {
            let n_errors = trace.clone().filter(|span| view.is_error[*span]).count() as f64;
            for span in trace {
                *by_service.entry(sides.words.service(view.node[span])).or_default() += n_errors;
            }
        }
        by_service
    };
    let (real, other) = sides.both(counts);
    let mut matches = Matches::default();
    let services: FxHashSet<_> = real.keys().chain(other.keys()).collect();
    for service in services {
        let count = |counts: &FxHashMap<u32, f64>| counts.get(service).copied().unwrap_or(0.0);
        matches.add(count(&real) > ALERT, count(&other) * sides.scale > ALERT);
    }
    matches.f1()
}

/// Q4: traces with (or without) an error by value of an attribute of their entry spans, for every
/// (entry service, attribute) with few values; columns that say the same are one.
fn histograms(sides: &Sides<'_>, with_error: bool) -> Option<f64> {
    let columns = entry_columns(sides);
    let (real, other) = sides.both(|view| values_of_entries(sides, view, &columns, with_error));
    let f1 = |(real, other): (&FxHashMap<u32, f64>, &FxHashMap<u32, f64>)| {
        let sum = |counts: &FxHashMap<u32, f64>| counts.values().sum::<f64>();
        let other_sum = sum(other) * sides.scale;
        let common: f64 =
            real.iter().filter_map(|(value, n)| Some(n.min(other.get(value)? * sides.scale))).sum();
        let all = sum(real) + other_sum;
        (all > 0.0).then(|| 2.0 * common / all)
    };
    mean(&real.iter().zip(&other).filter_map(f1).collect::<Vec<f64>>())
}

/// The position of each (service, key) that Q4 asks about.
fn entry_columns(sides: &Sides<'_>) -> FxHashMap<(u32, u32), usize> {
    let view = sides.real;
    // Per column: its values, and a fingerprint of which spans share one.
    let mut seen: FxHashMap<(u32, u32), (FxHashMap<u32, u32>, u64)> = FxHashMap::default();
    let mut order = Vec::new();
    for trace in view.traces() {
        for span in view.entries(&trace, sides.words) {
            let service = sides.words.service(view.node[span]);
            for (key, value) in view.attributes(span) {
                let (values, print) = seen.entry((service, key)).or_insert_with(|| {
                    order.push((service, key));
                    Default::default()
                });
                let next = values.len() as u32;
                let code = *values.entry(value).or_insert(next);
                *print = fold(*print, (span as u64) << 32 | u64::from(code));
            }
        }
    }
    let mut prints = FxHashSet::default();
    let is_asked = |column: &(u32, u32)| {
        let (values, print) = &seen[column];
        PAIR_VALUES.contains(&values.len()) && prints.insert(*print)
    };
    order.into_iter().filter(is_asked).enumerate().map(|(at, column)| (column, at)).collect()
}

/// Mixes a number into a fingerprint.
pub(super) fn fold(print: u64, number: u64) -> u64 {
    (print.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn values_of_entries(
    sides: &Sides<'_>,
    view: &View,
    columns: &FxHashMap<(u32, u32), usize>,
    with_error: bool,
) -> Vec<FxHashMap<u32, f64>> {
    let mut counts = vec![FxHashMap::default(); columns.len()];
    let mut found: Vec<(usize, u32)> = Vec::new();
    for trace in view.traces() {
        if trace.clone().any(|span| view.is_error[span]) != with_error {
            continue;
        }
        found.clear();
        for span in view.entries(&trace, sides.words) {
            let service = sides.words.service(view.node[span]);
            let column_of = |(key, value): (u32, u32)| {
                columns.get(&(service, key)).map(|column| (*column, value))
            };
            found.extend(view.attributes(span).filter_map(column_of));
        }
        // Two entry spans of one trace with the same value are one trace.
        found.sort_unstable();
        found.dedup();
        for (column, value) in &found {
            *counts[*column].entry(*value).or_default() += 1.0;
        }
    }
    counts
}

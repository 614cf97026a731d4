//! From the columns of a window to domains, layouts and codes.

use rustc_hash::FxHashMap;
use spanwise_model::ValueRef;

use crate::traces::{Column, Traces};

use super::bins::Bins;
use super::domain::{Datum, Domain, Key, SUPPORT_MIN, Template};
use super::template::{is_constant, template_of};

/// Values of a dictionary at most.
const CATEGORIES_MAX: usize = 512;
/// Distinct numbers above which a key is binned.
const NUMBERS_MIN: usize = 64;
const TEMPLATES_MAX: usize = 40;
const HITTERS_MAX: usize = 16;
/// Share of a template's strings above which one is held as it is: one in 64.
const HITTER_SHARE: u32 = 64;
/// A node has a key if one in 50 of its spans does, or this many.
const NODE_SHARE: u32 = 50;
const NODE_SPANS: u32 = 20;
const BINS: usize = 28;
/// Parts of key names whose values are never held as they are.
const DENIED: [&str; 10] =
    ["id", "email", "mail", "token", "session", "address", "secret", "password", "phone", "user"];

/// A key with the codes of its column.
#[derive(Debug)]
pub(crate) struct Fitted {
    pub(crate) key: Key,
    /// Code of each entry of the column; 0 leaves the value out.
    pub(crate) codes: Vec<u16>,
    /// The column it came from.
    pub(crate) column: usize,
    /// Nodes that have it.
    pub(crate) nodes: Vec<u32>,
}

/// Support of each distinct value of a column: (value, spans, traces).
struct Support {
    values: Vec<(u32, u32, u32)>,
    /// Place of a value in `values`.
    places: FxHashMap<u32, u32>,
}

/// Fits every column that some node carries, ordered by the size of their alphabets.
pub(crate) fn fit_keys(traces: &Traces, trace_of: &[u32]) -> Vec<Fitted> {
    let mut n_node = vec![0_u32; traces.nodes.len()];
    for &node in &traces.node {
        n_node[node as usize] += 1;
    }
    let mut all: Vec<Fitted> = (0..traces.columns.len())
        .filter_map(|column| fit_key(traces, trace_of, column, &n_node))
        .collect();
    all.sort_by_key(|fitted| (fitted.key.domain.n_codes(), fitted.key.name.clone()));
    all
}

fn fit_key(traces: &Traces, trace_of: &[u32], at: usize, n_node: &[u32]) -> Option<Fitted> {
    let column = &traces.columns[at];
    let nodes = nodes_with(traces, trace_of, column, n_node);
    let name = traces.names.get(column.key).to_vec();
    if nodes.is_empty() || name.is_empty() {
        return None;
    }
    let support = support_of(column, trace_of);
    let is_number = |&(value, ..): &(u32, u32, u32)| {
        matches!(traces.values.get(value), ValueRef::Int(_) | ValueRef::Double(_))
    };
    let is_text =
        |&(value, ..): &(u32, u32, u32)| matches!(traces.values.get(value), ValueRef::Str(_));
    let n = support.values.len();
    let (domain, codes) = if n > NUMBERS_MIN && support.values.iter().all(is_number) {
        numbers(traces, column)
    } else if n > CATEGORIES_MAX && support.values.iter().all(is_text) {
        texts(traces, column, &support, trace_of, &name)
    } else {
        categories(traces, column, &support)
    };
    if domain.n_codes() == 0 {
        return None;
    }
    let copies = copies(column, &codes, trace_of, &domain);
    let key = Key { place: column.place, name, domain, copies };
    Some(Fitted { key, codes, column: at, nodes })
}

fn nodes_with(traces: &Traces, trace_of: &[u32], column: &Column, n_node: &[u32]) -> Vec<u32> {
    let mut n_with = vec![(0_u32, 0_u32, u32::MAX); n_node.len()];
    for &span in &column.spans {
        let entry = &mut n_with[traces.node[span as usize] as usize];
        entry.0 += 1;
        let trace = trace_of[span as usize];
        entry.1 += u32::from(entry.2 != trace);
        entry.2 = trace;
    }
    let has = |&node: &u32| {
        let (n, n_traces, _) = n_with[node as usize];
        let often = n * NODE_SHARE > n_node[node as usize] || n >= NODE_SPANS;
        often && n_traces >= SUPPORT_MIN
    };
    (0..n_node.len() as u32).filter(has).collect()
}

fn support_of(column: &Column, trace_of: &[u32]) -> Support {
    let mut support = Support { values: Vec::new(), places: FxHashMap::default() };
    let mut last_trace: Vec<u32> = Vec::new();
    for (&span, &value) in column.spans.iter().zip(&column.values) {
        let values = &mut support.values;
        let at = *support.places.entry(value).or_insert_with(|| {
            values.push((value, 0, 0));
            last_trace.push(u32::MAX);
            values.len() as u32 - 1
        }) as usize;
        let trace = trace_of[span as usize];
        values[at].1 += 1;
        values[at].2 += u32::from(last_trace[at] != trace);
        last_trace[at] = trace;
    }
    support
}

fn categories(traces: &Traces, column: &Column, support: &Support) -> (Domain, Vec<u16>) {
    let mut kept: Vec<(u32, u32, u32)> =
        support.values.iter().copied().filter(|value| value.2 >= SUPPORT_MIN).collect();
    kept.sort_by_key(|value| (std::cmp::Reverse(value.1), value.0));
    kept.truncate(CATEGORIES_MAX - 1);
    let code: FxHashMap<u32, u16> =
        kept.iter().enumerate().map(|(at, value)| (value.0, at as u16 + 1)).collect();
    let is_text = |value: u32| matches!(traces.values.get(value), ValueRef::Str(_));
    let rest = kept.len() as u16 + 1;
    // A rare string becomes a placeholder; any other rare value is left out.
    let rest_of = |value: u32| if is_text(value) { rest } else { 0 };
    let codes: Vec<u16> = column
        .values
        .iter()
        .map(|&value| code.get(&value).copied().unwrap_or_else(|| rest_of(value)))
        .collect();
    let has_rest = codes.contains(&rest);
    let values = kept
        .iter()
        .map(|value| Datum::of(traces.values.get(value.0), traces.values.other(value.0)))
        .collect();
    (Domain::Categories { values, has_rest }, codes)
}

fn numbers(traces: &Traces, column: &Column) -> (Domain, Vec<u16>) {
    let value = |&value: &u32| match traces.values.get(value) {
        ValueRef::Int(number) => number as f64,
        ValueRef::Double(number) if number.is_finite() => number,
        _ => 0.0,
    };
    let is_int = column.values.iter().all(|&v| matches!(traces.values.get(v), ValueRef::Int(_)));
    let mut magnitudes: Vec<f64> = column.values.iter().map(|v| value(v).abs()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let median = magnitudes[magnitudes.len() / 2];
    let decimals = match median {
        _ if is_int => 0,
        m if m >= 1.0 => 2,
        m if m >= 0.01 => 4,
        _ => 6,
    };
    let scale = libm::pow(10.0, f64::from(decimals));
    let whole = |v: &u32| match traces.values.get(*v) {
        ValueRef::Int(number) if is_int => number,
        _ => libm::round(value(v) * scale) as i64,
    };
    let wholes: Vec<i64> = column.values.iter().map(whole).collect();
    let mut sorted = wholes.clone();
    sorted.sort_unstable();
    let bins = Bins::fit(&sorted, BINS);
    let codes = wholes.iter().map(|&whole| bins.bin_of(whole) as u16 + 1).collect();
    (Domain::Numbers { bins, decimals, is_int }, codes)
}

fn texts(
    traces: &Traces,
    column: &Column,
    support: &Support,
    trace_of: &[u32],
    name: &[u8],
) -> (Domain, Vec<u16>) {
    let text = |value: u32| match traces.values.get(value) {
        ValueRef::Str(text) => text.as_bytes(),
        _ => &[],
    };
    // Templates by first appearance, with the values of each.
    let mut ids: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    let of_value: Vec<Option<u32>> = support
        .values
        .iter()
        .map(|value| {
            let next = ids.len() as u32;
            template_of(text(value.0)).map(|template| *ids.entry(template).or_insert(next))
        })
        .collect();
    let mut counts = vec![(0_u32, 0_u32, u32::MAX, 0_u32); ids.len()];
    for (&span, &value) in column.spans.iter().zip(&column.values) {
        if let Some(id) = of_value[support.places[&value] as usize] {
            let entry = &mut counts[id as usize];
            let trace = trace_of[span as usize];
            entry.0 += 1;
            entry.1 += u32::from(entry.2 != trace);
            entry.2 = trace;
        }
    }
    for id in of_value.iter().flatten() {
        counts[*id as usize].3 += 1;
    }
    let mut order: Vec<(Vec<u8>, u32)> = ids.into_iter().collect();
    order.retain(|entry| counts[entry.1 as usize].1 >= SUPPORT_MIN);
    order.sort_by_key(|entry| (std::cmp::Reverse(counts[entry.1 as usize].0), entry.1));
    order.truncate(TEMPLATES_MAX);
    let mut code_of = vec![0_u16; counts.len()];
    for (at, entry) in order.iter().enumerate() {
        code_of[entry.1 as usize] = at as u16 + 1;
    }
    let rest = order.len() as u16 + 1;
    let codes: Vec<u16> = column
        .values
        .iter()
        .map(|value| match of_value[support.places[value] as usize] {
            Some(id) if code_of[id as usize] > 0 => code_of[id as usize],
            _ => rest,
        })
        .collect();
    let has_rest = codes.contains(&rest);
    let hitters = if is_denied(name) { Vec::new() } else { hitters(support, &of_value, &counts) };
    let templates = order.into_iter().map(|(template, id)| {
        let of_template = hitters.iter().filter(|hitter| hitter.0 == id && !is_constant(&template));
        let hitters = of_template.map(|&(_, value, share)| (text(value).to_vec(), share)).collect();
        Template { n_distinct: counts[id as usize].3, hitters, text: template }
    });
    (Domain::Texts { templates: templates.collect(), has_rest }, codes)
}

/// (Template, value, share of the template in 1/1,024) of values that occur often.
fn hitters(
    support: &Support,
    of_value: &[Option<u32>],
    counts: &[(u32, u32, u32, u32)],
) -> Vec<(u32, u32, u16)> {
    let mut all: Vec<(u32, u32, u32)> = support
        .values
        .iter()
        .zip(of_value)
        .filter_map(|(value, id)| {
            let id = (*id)?;
            let often = value.1 > counts[id as usize].0 / HITTER_SHARE;
            (often && value.2 >= SUPPORT_MIN).then_some((id, value.0, value.1))
        })
        .collect();
    all.sort_by_key(|hitter| (std::cmp::Reverse(hitter.2), hitter.1));
    all.truncate(HITTERS_MAX);
    let share = |id: u32, n: u32| (u64::from(n) * 1024 / u64::from(counts[id as usize].0)) as u16;
    all.into_iter().map(|(id, value, n)| (id, value, share(id, n))).collect()
}

fn is_denied(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| DENIED.contains(&word))
}

/// Whether values repeat inside a trace often enough for a code of their own.
fn copies(column: &Column, codes: &[u16], trace_of: &[u32], domain: &Domain) -> bool {
    let (mut n, mut n_equal) = (0_u64, 0_u64);
    for at in 1..codes.len() {
        let (this, last) = (column.spans[at] as usize, column.spans[at - 1] as usize);
        if trace_of[this] == trace_of[last] {
            n += 1;
            n_equal += u64::from(column.values[at] == column.values[at - 1]);
        }
    }
    match domain {
        Domain::Numbers { .. } => n_equal * 10 > n * 9,
        Domain::Categories { values, .. } => n_equal * 10 > n * 6 && values.len() > 2,
        Domain::Texts { .. } => n_equal * 10 > n * 6,
    }
}

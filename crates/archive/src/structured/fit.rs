//! From a window to a model.

use rustc_hash::FxHashMap;

use crate::traces::{Pod, Traces};

use super::bins::Bins;
use super::calibration::Quantiles;
use super::codes::{Codes, Layout};
use super::conditionals::{Costing, fit_conditionals, fit_duration, fit_shape};
use super::coordinates::{Coordinates, edges_of, references};
use super::coupling::Numbers;
use super::domain::{Datum, RARE, SUPPORT_MIN};
use super::keys::{Fitted, fit_keys};
use super::model::{BUCKET_NS, Model, N_SLOTS_MAX, Resource, Site};
use super::template::template_of;
use super::topology::Topology;
use super::{Error, Options};

/// Bins of a gap or tail.
const BINS: usize = 28;
/// Clean shapes up to this many traces are stored trace by trace.
const RARE_MAX: u32 = 6;
/// Buckets at most; longer windows have wider ones.
const N_BUCKETS_MAX: u64 = 60_000;
/// As many empty buckets one after the other are left out: an hour.
const PAUSE_MIN: u64 = 60;
pub(crate) const N_SHAPES_MAX: usize = 1 << 16;
/// Longer names are not taken for those of operations.
const PLAIN_LEN_MAX: usize = 80;

/// A model and the window in its codes.
#[derive(Debug)]
pub(crate) struct Fit {
    pub(crate) model: Model,
    pub(crate) codes: Codes,
}

/// Labels of a window: the topology, and the label of each trace.
pub(super) struct Labels {
    pub(super) topology: Topology,
    pub(super) label: Vec<u32>,
}

/// Fits a model.
///
/// # Errors
/// The window has more shapes, call sites or keys than a file may hold.
pub(crate) fn fit(traces: &Traces, options: &Options) -> Result<Fit, Error> {
    let trace_of: Vec<u32> = (0..traces.n_traces())
        .flat_map(|trace| std::iter::repeat_n(trace as u32, traces.spans_of(trace).len()))
        .collect();
    let mut model = Model { bucket_ns: BUCKET_NS, ..Model::default() };
    let sites = sites(traces, &trace_of, &mut model);
    let resources = resources(traces, &trace_of, &sites, &mut model);
    let labels = labels(traces, &sites, &model.sites)?;
    model.topology = labels.topology;
    let buckets = buckets(traces, &mut model);
    occurrences(&labels.label, &buckets, &mut model);
    let fitted = fit_keys(traces, &trace_of);
    if fitted.len() > usize::from(u16::MAX) - 2 {
        return Err(Error::TooMany("attribute keys"));
    }
    model.layout = layout(&fitted, &sites, model.sites.len());
    if model.n_slots() > N_SLOTS_MAX {
        return Err(Error::TooMany("attributes"));
    }
    let traces_in: Vec<(u16, u32)> =
        buckets.iter().copied().zip(labels.label.iter().copied()).collect();
    let mut codes = Codes::new(
        &traces_in,
        &model.topology,
        &model.layout,
        &model.service_of(),
        model.n_buckets(),
    );
    let targets = fill_columns(traces, &fitted, &resources, &model, &mut codes);
    model.keys = fitted.into_iter().map(|fitted| fitted.key).collect();
    let coordinates = fill_times(traces, &mut model, &mut codes);
    let roots = codes.offsets[..codes.n_traces()].iter();
    let durations: Vec<i64> = roots.map(|&root| signed(traces.duration(root as usize))).collect();
    let mut costing = Costing::new(options, codes.n_spans());
    model.shape = fit_shape(&mut costing, &model, &codes);
    model.duration = fit_duration(&mut costing, &model, &codes);
    let numbers = Numbers {
        topology: &model.topology,
        gap: &coordinates.gap,
        tail: &coordinates.tail,
        duration: &durations,
    };
    model.nodes = fit_conditionals(&mut costing, &model, &codes, &targets, &numbers);
    Ok(Fit { model, codes })
}

/// Call sites by service and name; the site of each node. Names that few traces hold lose their ids.
pub(super) fn sites(traces: &Traces, trace_of: &[u32], model: &mut Model) -> Vec<u32> {
    let mut n_traces = vec![(0_u32, u32::MAX); traces.nodes.len()];
    for (&node, &trace) in traces.node.iter().zip(trace_of) {
        let entry = &mut n_traces[node as usize];
        entry.0 += u32::from(entry.1 != trace);
        entry.1 = trace;
    }
    let mut n_service: FxHashMap<u32, u32> = FxHashMap::default();
    for (node, n) in traces.nodes.iter().zip(&n_traces) {
        *n_service.entry(node.service).or_default() += n.0;
    }
    // Names that fewer traces hold are shared by their templates, or not at all.
    let mut n_template: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    for (node, n) in traces.nodes.iter().zip(&n_traces) {
        if let Some(template) = template_of(traces.names.get(node.name)) {
            *n_template.entry(template).or_default() += n.0;
        }
    }
    let shown = |name: &[u8], n: u32| -> Vec<u8> {
        match template_of(name) {
            Some(_) if n >= SUPPORT_MIN || is_plain(name) => name.to_vec(),
            Some(template) if n_template[&template] >= SUPPORT_MIN => template,
            _ => RARE.to_vec(),
        }
    };
    let named: Vec<(Vec<u8>, Vec<u8>, spanwise_model::SpanKind)> = traces
        .nodes
        .iter()
        .zip(&n_traces)
        .map(|(node, n)| {
            let service = shown(traces.names.get(node.service), n_service[&node.service]);
            (service, shown(traces.names.get(node.name), n.0), node.kind)
        })
        .collect();
    let present = |node: &usize| n_traces[*node].0 > 0;
    let mut order: Vec<usize> = (0..named.len()).filter(present).collect();
    order.sort_by_key(|&node| &named[node]);
    let mut of_node = vec![0; named.len()];
    for node in order {
        let (service, name, kind) = &named[node];
        if model.services.last() != Some(service) {
            model.services.push(service.clone());
        }
        let service = model.services.len() as u32 - 1;
        let site = Site { service, name: name.clone(), kind: *kind };
        if model.sites.last() != Some(&site) {
            model.sites.push(site);
        }
        of_node[node] = model.sites.len() as u32 - 1;
    }
    of_node
}

/// Whether a name is words, as names of operations are, and no id, address or sentence.
fn is_plain(name: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphabetic() || b"/._:-{}<>$ ".contains(byte);
    name.len() <= PLAIN_LEN_MAX && name.iter().all(is_word)
}

/// Resources by service; the resource of each pod. Those that few traces hold become one for each
/// service that says nothing but its name.
pub(super) fn resources(
    traces: &Traces,
    trace_of: &[u32],
    site_of: &[u32],
    model: &mut Model,
) -> Vec<u32> {
    let mut n_traces = vec![(0_u32, u32::MAX); traces.pods.len()];
    for (&pod, &trace) in traces.pod.iter().zip(trace_of) {
        let entry = &mut n_traces[pod as usize];
        entry.0 += u32::from(entry.1 != trace);
        entry.1 = trace;
    }
    let mut service_of: FxHashMap<u32, u32> = FxHashMap::default();
    for (span, &pod) in traces.pod.iter().enumerate() {
        let site = site_of[traces.node[span] as usize] as usize;
        service_of.insert(traces.pods[pod as usize].service, model.sites[site].service);
    }
    let name_key = b"service.name".to_vec();
    let full = |pod: &Pod, service: u32| {
        let attribute = |&(key, value): &(u32, u32)| {
            let datum = Datum::of(traces.values.get(value), traces.values.other(value));
            (traces.names.get(key).to_vec(), datum)
        };
        let attributes = pod.attributes.iter().map(attribute).collect();
        Resource { service, attributes }
    };
    let bare = |service: u32| {
        let name = Datum::Str(model.services[service as usize].clone());
        Resource { service, attributes: vec![(name_key.clone(), name)] }
    };
    let mut all: Vec<(Resource, u32)> = Vec::new();
    for (at, pod) in traces.pods.iter().enumerate() {
        let service = service_of.get(&pod.service);
        let Some(&service) = service.filter(|_| n_traces[at].0 > 0) else { continue };
        let common = n_traces[at].0 >= SUPPORT_MIN;
        all.push((if common { full(pod, service) } else { bare(service) }, at as u32));
    }
    all.sort_by(|a, b| (a.0.service, &a.0.attributes).cmp(&(b.0.service, &b.0.attributes)));
    let mut of_pod = vec![0; traces.pods.len()];
    for (resource, pod) in all {
        if model.resources.last() != Some(&resource) {
            model.resources.push(resource);
        }
        of_pod[pod as usize] = model.resources.len() as u32 - 1;
    }
    of_pod
}

pub(super) fn labels(traces: &Traces, site_of: &[u32], sites: &[Site]) -> Result<Labels, Error> {
    if sites.len() >= usize::from(u16::MAX) {
        return Err(Error::TooMany("call sites"));
    }
    let shape_of = |trace: usize| -> Vec<(u32, u16)> {
        let spans = traces.spans_of(trace);
        spans.map(|span| (site_of[traces.node[span] as usize], traces.depth[span])).collect()
    };
    let mut ids: FxHashMap<Vec<(u32, u16)>, u32> = FxHashMap::default();
    let mut shape: Vec<u32> = Vec::with_capacity(traces.n_traces());
    for trace in 0..traces.n_traces() {
        let next = ids.len() as u32;
        shape.push(*ids.entry(shape_of(trace)).or_insert(next));
    }
    if ids.len() >= N_SHAPES_MAX - 1 {
        return Err(Error::TooMany("shapes"));
    }
    let mut shapes: Vec<(Vec<(u32, u16)>, u32)> = ids.into_iter().collect();
    shapes.sort();
    let mut rank = vec![0; shapes.len()];
    for (at, entry) in shapes.iter().enumerate() {
        rank[entry.1 as usize] = at as u32;
    }
    let errors_of = |trace: usize| -> Vec<u32> {
        let spans = traces.spans_of(trace);
        let begin = spans.start;
        let errors = spans.filter(|&span| traces.is_error(span));
        errors.map(|span| (span - begin) as u32).collect()
    };
    let mut failures: Vec<((u32, Vec<u32>), usize)> = Vec::new();
    let mut label: Vec<u32> = shape.iter().map(|&id| rank[id as usize]).collect();
    for (trace, &shape) in label.iter().enumerate() {
        let errors = errors_of(trace);
        if !errors.is_empty() {
            failures.push(((shape, errors), trace));
        }
    }
    failures.sort();
    let mut distinct: Vec<(u32, Vec<u32>)> = Vec::new();
    for (failure, trace) in failures {
        if distinct.last() != Some(&failure) {
            distinct.push(failure);
        }
        label[trace] = (shapes.len() + distinct.len()) as u32 - 1;
    }
    let shapes = shapes.into_iter().map(|entry| entry.0).collect();
    Ok(Labels { topology: Topology::new(shapes, distinct), label })
}

/// The bucket of each trace, by the start of its root.
fn buckets(traces: &Traces, model: &mut Model) -> Vec<u16> {
    let root_start = |trace: usize| traces.start[traces.offsets[trace] as usize];
    let starts: Vec<u64> = (0..traces.n_traces()).map(root_start).collect();
    let Some(&first) = starts.iter().min() else {
        return Vec::new();
    };
    let mut sorted = starts.clone();
    sorted.sort_unstable();
    model.bucket_ns = BUCKET_NS;
    let (numbers, pauses) = loop {
        let width = model.bucket_ns;
        model.begin_ns = first / width * width;
        let found = dense(sorted.iter().map(|start| (start - model.begin_ns) / width));
        if found.0.last().is_none_or(|last| last.1 < N_BUCKETS_MAX) {
            break found;
        }
        model.bucket_ns *= 2;
    };
    model.pauses = pauses;
    let bucket_of = |start: &u64| {
        let number = (start - model.begin_ns) / model.bucket_ns;
        let at = numbers.partition_point(|bucket| bucket.0 < number);
        numbers[at].1 as u16
    };
    let part = |start: u64| {
        let inside = u128::from((start - model.begin_ns) % model.bucket_ns);
        (inside * 256 / u128::from(model.bucket_ns)) as u8
    };
    model.ends = [part(first), part(sorted[sorted.len() - 1])];
    let buckets: Vec<u16> = starts.iter().map(bucket_of).collect();
    model.per_bucket = vec![0; numbers.last().map_or(0, |last| last.1 as usize + 1)];
    for &bucket in &buckets {
        model.per_bucket[usize::from(bucket)] += 1;
    }
    buckets
}

/// (Number, bucket) of each number that some have, and (bucket, empty numbers before it).
type Dense = (Vec<(u64, u64)>, Vec<(u16, u32)>);

/// (Number, bucket) for ascending numbers, so that long runs of numbers that none has take no
/// buckets, and where how many are left out.
fn dense(sorted: impl Iterator<Item = u64>) -> Dense {
    let mut numbers: Vec<(u64, u64)> = Vec::new();
    let mut pauses = Vec::new();
    for number in sorted {
        let Some(&(last, bucket)) = numbers.last() else {
            numbers.push((number, 0));
            continue;
        };
        let n_empty = (number - last).saturating_sub(1);
        if n_empty >= PAUSE_MIN && u32::try_from(n_empty).is_ok() {
            numbers.push((number, bucket + 1));
            pauses.push(((bucket + 1) as u16, n_empty as u32));
        } else if number > last {
            numbers.push((number, bucket + number - last));
        }
    }
    (numbers, pauses)
}

/// Which traces are drawn and which are stored one by one.
fn occurrences(labels: &[u32], buckets: &[u16], model: &mut Model) {
    let mut counts = vec![0_u32; model.topology.n_labels()];
    for &label in labels {
        counts[label as usize] += 1;
    }
    let n_shapes = model.topology.shapes.len();
    let drawn = |shape: usize| if counts[shape] > RARE_MAX { counts[shape] } else { 0 };
    model.drawn = (0..n_shapes).map(drawn).collect();
    let stored = |label: u32| model.drawn.get(label as usize).is_none_or(|&n| n == 0);
    model.pairs =
        labels.iter().copied().zip(buckets.iter().copied()).filter(|&(l, _)| stored(l)).collect();
    model.pairs.sort_unstable();
}

pub(super) fn layout(fitted: &[Fitted], site_of: &[u32], n_sites: usize) -> Layout {
    let mut keys = vec![Vec::new(); n_sites];
    for (key, fitted) in fitted.iter().enumerate() {
        for &node in &fitted.nodes {
            keys[site_of[node as usize] as usize].push(key as u16);
        }
    }
    for keys in &mut keys {
        keys.sort_unstable();
        keys.dedup();
    }
    Layout::new(keys, fitted.len())
}

/// Fills the slots; returns the target of each, where copies have their own code.
fn fill_columns(
    traces: &Traces,
    fitted: &[Fitted],
    resources: &[u32],
    model: &Model,
    codes: &mut Codes,
) -> Vec<u16> {
    let mut exact = vec![u32::MAX; codes.slots.len()];
    for span in 0..codes.n_spans() {
        let slot = codes.base[span] as usize;
        let resource = resources[traces.pod[span] as usize];
        codes.slots[slot] = resource as u16 + 1;
        exact[slot] = resource;
    }
    for (key, fitted) in fitted.iter().enumerate() {
        let column = &traces.columns[fitted.column];
        for (at, &span) in column.spans.iter().enumerate() {
            let node = codes.node[span as usize];
            if let Some(slot) = model.layout.slot(node, key as u16 + 1) {
                let slot = (codes.base[span as usize] + slot) as usize;
                codes.slots[slot] = fitted.codes[at];
                exact[slot] = column.values[at];
            }
        }
    }
    let mut targets = vec![0_u16; codes.slots.len()];
    for span in 0..codes.n_spans() {
        let node = codes.node[span];
        for at in 0..model.layout.n_slots(node) {
            let slot = (codes.base[span] + at) as usize;
            let copies = match at {
                0 => true,
                at => {
                    fitted[usize::from(model.layout.keys[node as usize][at as usize - 1])]
                        .key
                        .copies
                }
            };
            let before = codes.before[slot] as usize;
            let same = exact.get(before).is_some_and(|&value| value == exact[slot]);
            targets[slot] = match codes.slots[slot] {
                0 => 0,
                _ if copies && same => super::model::COPY,
                code => code + super::model::TARGET,
            };
        }
    }
    targets
}

/// References, bins and codes of all times.
fn fill_times(traces: &Traces, model: &mut Model, codes: &mut Codes) -> Coordinates {
    let edges = edges_of(&model.topology, &codes.label);
    model.references = references(traces, &edges, model.topology.edges.len());
    let coordinates = Coordinates::of(traces, &edges, &model.references);
    let n_sites = model.sites.len();
    let is_root = |span: usize| edges[span] == super::topology::NONE;
    let by_site = |values: &[i64], skip_roots: bool| -> Vec<Bins> {
        let mut all = vec![Vec::new(); n_sites];
        for (span, &value) in values.iter().enumerate() {
            if !(skip_roots && is_root(span)) {
                all[codes.node[span] as usize].push(value);
            }
        }
        all.iter_mut()
            .map(|values| {
                values.sort_unstable();
                Bins::fit_times(values, BINS)
            })
            .collect()
    };
    model.gaps = by_site(&coordinates.gap, true);
    model.tails = by_site(&coordinates.tail, false);
    for span in 0..codes.n_spans() {
        let node = codes.node[span] as usize;
        codes.tail[span] = model.tails[node].bin_of(coordinates.tail[span]) as u16 + 1;
        if !is_root(span) {
            codes.gap[span] = model.gaps[node].bin_of(coordinates.gap[span]) as u16 + 1;
        }
    }
    model.quantiles = quantiles(traces, codes, n_sites, &is_root);
    let entry = |trace: usize| model.topology.spans(codes.label[trace]).entry() as usize;
    let duration = |trace: usize| signed(traces.duration(traces.offsets[trace] as usize));
    let mut all = vec![Vec::new(); n_sites];
    for trace in 0..codes.n_traces() {
        all[entry(trace)].push(duration(trace));
    }
    model.durations = all
        .iter_mut()
        .map(|values| {
            values.sort_unstable();
            Bins::fit_fine(values)
        })
        .collect();
    for trace in 0..codes.n_traces() {
        let bins = &model.durations[entry(trace)];
        codes.duration[trace] = bins.bin_of(duration(trace)) as u16 + 1;
    }
    coordinates
}

fn quantiles(
    traces: &Traces,
    codes: &Codes,
    n_sites: usize,
    is_root: &impl Fn(usize) -> bool,
) -> Vec<Quantiles> {
    let mut all = vec![Vec::new(); n_sites];
    for span in (0..codes.n_spans()).filter(|&span| !is_root(span)) {
        all[codes.node[span] as usize].push(signed(traces.duration(span)));
    }
    let fit = |durations: &mut Vec<i64>| {
        durations.sort_unstable();
        Quantiles::fit(durations)
    };
    all.iter_mut().map(fit).collect()
}

fn signed(duration: u64) -> i64 {
    i64::try_from(duration).unwrap_or(i64::MAX)
}

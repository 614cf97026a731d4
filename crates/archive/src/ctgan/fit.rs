//! From a window to three tables, and from the tables to networks.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use spanwise_ctgan::{Data, Gan, Names, Normaliser, Random, Rows, Sampling, Training, Values};

use super::metadata::{Normalisers, Spans, log, seconds};
use super::names::names;
use super::networks::{Input, Network, Networks, Seen, intern};
use super::scales::Scales;
use super::{Error, Fitted};
use crate::gan_options::{GanOptions, Times};
use crate::structured::{Described, Domain, Model, describe};
use crate::traces::Traces;

/// Values by which a mixture is fitted at most, evenly among all.
const SAMPLE: usize = 10_000;
/// Step sizes of Adam: a window has few traces and roots but many chains.
const RATES: [f32; 3] = [1e-3, 1e-3, 5e-4];
const NETWORKS: [Network; 3] = [Network::Start, Network::Root, Network::Chain];

/// Rows with what they are conditioned on.
#[derive(Debug)]
struct Table {
    rows: Rows,
    /// The field of each input, and the entry of each row.
    fields: Vec<(Rows, Vec<u32>)>,
    /// Group of each row, by which rows are drawn.
    groups: Vec<u32>,
    masks: Option<Rows>,
    of_mask: Vec<u32>,
}

/// A window in training.
#[derive(Debug)]
pub(crate) struct Session {
    model: Model,
    begin_ns: u64,
    end_ns: u64,
    normalisers: Normalisers,
    options: GanOptions,
    networks: Networks,
    tables: [Table; 3],
    gans: [Gan; 3],
    /// Units that spans of each site had, as roots and as tails.
    units: [Vec<Vec<u16>>; 2],
}

impl Session {
    /// Prepares a window. Networks for roots and chains go on from those of `before`, the window
    /// before it, where units are the same; starts and topologies are always learnt anew.
    ///
    /// # Errors
    /// It has more of something than a file may hold, or rows would be too wide.
    pub(crate) fn new(
        traces: &Traces,
        options: &GanOptions,
        before: Option<&Warm>,
    ) -> Result<Self, Error> {
        let Described { model, codes, numbers, exact } = describe(traces)?;
        let begin_ns = traces.start.iter().copied().min().unwrap_or(0);
        let spans = Spans {
            begin_ns,
            codes,
            numbers,
            exact,
            start: traces.start.clone(),
            end: traces.end.clone(),
            is_error: (0..traces.n_spans()).map(|span| traces.is_error(span)).collect(),
        };
        let mut normalisers = normalise(&spans, &model, options);
        if let Some(before) = before {
            before.keep_modes(&mut normalisers, &model);
        }
        let below_failed = below_failed(&spans, &model, options);
        let networks = Networks::new(&model, &normalisers, options, below_failed);
        let networks = networks.ok_or(Error::TooMany("columns"))?;
        let mut builder = Builder::new(&spans, &model, &normalisers, &networks, options);
        builder.fill();
        let (tables, units) = builder.finish();
        let mut gans = NETWORKS.map(|network| {
            let at = network as usize;
            let training = Training { rate: RATES[at], ..Training::default() };
            let seed = options.seed.wrapping_mul(3).wrapping_add(at as u64);
            Gan::new(networks.architectures[at].clone(), &training, seed)
        });
        if options.support.is_per_site() {
            for (network, gan) in NETWORKS.into_iter().zip(&mut gans) {
                let inputs = Networks::inputs(network, options);
                let sites = inputs.iter().position(|input| *input == Input::Sites);
                gan.start_at_marginals(&tables[network as usize].data(), sites);
            }
        }
        if let Some(before) = before {
            for network in [Network::Root, Network::Chain] {
                let names = names(&networks, network, &model, options);
                let (old, theirs) = &before.networks[network as usize - 1];
                gans[network as usize].inherit(&names, old, theirs);
            }
        }
        let end_ns = traces.end.iter().copied().max().unwrap_or(begin_ns);
        let options = options.clone();
        Ok(Self { model, begin_ns, end_ns, normalisers, options, networks, tables, gans, units })
    }

    /// One pass over the window.
    pub(crate) fn epoch(&mut self) {
        for (at, (gan, table)) in self.gans.iter_mut().zip(&self.tables).enumerate() {
            let is_used = at != Network::Start as usize || self.options.times == Times::Relative;
            if is_used {
                gan.epoch(&table.data());
            }
        }
    }

    /// What the next window goes on from. Critics are in it: it stays in memory.
    pub(crate) fn warm(self) -> Warm {
        let name = |network| names(&self.networks, network, &self.model, &self.options);
        let names = [name(Network::Root), name(Network::Chain)];
        let [_, root, chain] = self.gans;
        let [of_root, of_chain] = names;
        let keys = self.model.keys.iter().map(|key| key.name.clone());
        Warm {
            keys: keys.zip(self.normalisers.keys).collect(),
            gap: self.normalisers.gap,
            duration: self.normalisers.duration,
            networks: [(root, of_root), (chain, of_chain)],
        }
    }

    /// The window as it can be stored now.
    pub(crate) fn fitted(&self) -> Fitted {
        let freeze = |at: usize| {
            let data = self.tables[at].data();
            let mut frozen = self.gans[at].freeze(&data);
            if self.options.support.is_per_site() {
                let inputs = Networks::inputs(NETWORKS[at], &self.options);
                let sites = inputs.iter().position(|input| *input == Input::Sites);
                frozen.calibrate(&data, sites, self.options.seed);
            }
            frozen
        };
        Fitted {
            model: self.model.clone(),
            begin_ns: self.begin_ns,
            end_ns: self.end_ns,
            normalisers: self.normalisers.clone(),
            options: self.options.clone(),
            below_failed: self.networks.below_failed.clone(),
            units: self.units.clone(),
            generators: [freeze(0), freeze(1), freeze(2)],
        }
    }
}

/// What a window leaves to the next.
#[derive(Clone, Debug)]
pub(crate) struct Warm {
    keys: Vec<(Vec<u8>, Normaliser)>,
    gap: Normaliser,
    duration: Normaliser,
    /// Of roots and of chains.
    networks: [(Gan, Names); 2],
}

impl Warm {
    /// Puts the modes of the last window in the place of those of this one, unless the mean of a
    /// column moved by more than a standard deviation: what networks know is in terms of modes.
    fn keep_modes(&self, normalisers: &mut Normalisers, model: &Model) {
        let keep = |own: &mut Normaliser, old: &Normaliser| {
            let ((mean, deviation), (was, _)) = (own.moments(), old.moments());
            if (mean - was).abs() <= deviation && old.n_modes() > 0 && own.n_modes() > 0 {
                own.clone_from(old);
            }
        };
        keep(&mut normalisers.gap, &self.gap);
        keep(&mut normalisers.duration, &self.duration);
        for (own, key) in normalisers.keys.iter_mut().zip(&model.keys) {
            if let Some((_, old)) = self.keys.iter().find(|(name, _)| *name == key.name) {
                keep(own, old);
            }
        }
    }
}

impl Table {
    fn new(width: usize, widths: &[usize], masks: bool) -> Self {
        Self {
            rows: Rows::new(width),
            fields: widths.iter().map(|&width| (Rows::new(width), Vec::new())).collect(),
            groups: Vec::new(),
            masks: masks.then(|| Rows::new(width)),
            of_mask: Vec::new(),
        }
    }

    fn data(&self) -> Data<'_> {
        let values = |(values, of_row)| Values { values, of_row };
        Data {
            rows: &self.rows,
            conditions: self.fields.iter().map(|(v, of)| values((v, &of[..]))).collect(),
            masks: self.masks.as_ref().map(|masks| values((masks, &self.of_mask[..]))),
            sampling: Sampling::Groups(&self.groups),
        }
    }
}

/// Sites that were seen below a head that failed, if those are told apart.
fn below_failed(spans: &Spans, model: &Model, options: &GanOptions) -> Vec<u32> {
    if !options.tells_failed_heads() {
        return Vec::new();
    }
    let is_below =
        |&span: &usize| spans.parent(model, span).is_some_and(|parent| spans.is_error[parent]);
    let sites = (0..spans.codes.n_spans()).filter(is_below).map(|span| spans.codes.node[span]);
    sites.collect::<BTreeSet<u32>>().into_iter().collect()
}

fn normalise(spans: &Spans, model: &Model, options: &GanOptions) -> Normalisers {
    let scales = Scales::fit(spans, model, options.support);
    let mut normalisers = Normalisers { scales, ..Normalisers::default() };
    let n = spans.codes.n_spans();
    let root = |trace: usize| spans.codes.offsets[trace] as usize;
    let starts: Vec<f64> = match options.times {
        Times::Relative => (0..spans.codes.n_traces())
            .map(|trace| seconds(spans.start[root(trace)], spans.begin_ns))
            .collect(),
        Times::Absolute => spans.start.iter().map(|&ns| seconds(ns, spans.begin_ns)).collect(),
    };
    let gap = |span: usize| {
        let parent = spans.parent(model, span)?;
        let gap = spans.start[span].wrapping_sub(spans.start[parent]).cast_signed();
        Some(normalisers.gap_of((spans, model), span, gap))
    };
    let duration = |span: usize| normalisers.duration_of((spans, model), span);
    let gap = sampled(&(0..n).filter_map(gap).collect::<Vec<_>>());
    let duration = sampled(&(0..n).map(duration).collect::<Vec<_>>());
    normalisers.keys = numbers(spans, model);
    normalisers.start = Normaliser::fit(&sampled(&starts));
    normalisers.gap = Normaliser::fit(&gap);
    normalisers.duration = Normaliser::fit(&duration);
    normalisers
}

/// A normaliser for each key, without components for those that are not numeric.
fn numbers(spans: &Spans, model: &Model) -> Vec<Normaliser> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); model.keys.len()];
    for span in 0..spans.codes.n_spans() {
        for (at, &key) in model.layout.keys[spans.codes.node[span] as usize].iter().enumerate() {
            let slot = spans.codes.base[span] as usize + at + 1;
            let is_number = matches!(model.keys[usize::from(key)].domain, Domain::Numbers { .. });
            if is_number && spans.codes.slots[slot] > 0 {
                values[usize::from(key)].push(log(spans.numbers[slot] as f64));
            }
        }
    }
    let fit = |(values, key): (Vec<f64>, &crate::structured::Key)| match key.domain {
        Domain::Numbers { .. } => Normaliser::fit(&sampled(&values)),
        _ => Normaliser::default(),
    };
    values.into_iter().zip(&model.keys).map(fit).collect()
}

fn sampled(values: &[f64]) -> Vec<f64> {
    let step = values.len().div_ceil(SAMPLE).max(1);
    values.iter().copied().step_by(step).collect()
}

/// Fills the tables.
struct Builder<'a> {
    spans: &'a Spans,
    model: &'a Model,
    normalisers: &'a Normalisers,
    networks: &'a Networks,
    options: &'a GanOptions,
    tables: [Table; 3],
    random: Random,
    seen: Vec<Option<Seen>>,
    /// Field values that are there already, by network and input.
    known: FxHashMap<(usize, usize), FxHashMap<Vec<u32>, u32>>,
    units: [Vec<BTreeSet<u16>>; 2],
}

impl<'a> Builder<'a> {
    fn new(
        spans: &'a Spans,
        model: &'a Model,
        normalisers: &'a Normalisers,
        networks: &'a Networks,
        options: &'a GanOptions,
    ) -> Self {
        let table = |network: Network| {
            let architecture = &networks.architectures[network as usize];
            let widths: Vec<usize> = architecture.fields.iter().map(|f| f.n_in()).collect();
            let masked = network != Network::Start && options.support.is_per_site();
            Table::new(architecture.row_width(), &widths, masked)
        };
        Self {
            spans,
            model,
            normalisers,
            networks,
            options,
            tables: NETWORKS.map(table),
            random: Random::new(options.seed, 9),
            seen: model.topology.shapes.iter().map(|_| None).collect(),
            known: FxHashMap::default(),
            units: [(); 2].map(|()| vec![BTreeSet::new(); model.sites.len()]),
        }
    }

    fn fill(&mut self) {
        for trace in 0..self.spans.codes.n_traces() {
            let shape = self.spans.codes.label[trace];
            let known = self.seen[shape as usize].take();
            let seen = known.unwrap_or_else(|| {
                Seen::of(self.networks, shape, &self.model.topology.shapes[shape as usize])
            });
            self.trace(trace, shape, &seen);
            self.seen[shape as usize] = Some(seen);
        }
    }

    fn trace(&mut self, trace: usize, shape: u32, seen: &Seen) {
        let begin = self.spans.codes.offsets[trace] as usize;
        let mut start = Vec::new();
        if self.options.times == Times::Relative {
            let s = seconds(self.spans.start[begin], self.spans.begin_ns);
            start = start_entries(self.normalisers, s, &mut self.random);
            self.row(Network::Start, start.clone());
            self.tables[Network::Start as usize].groups.push(shape);
            self.field(Network::Start, Input::Topology, vec![shape], || seen.whole.clone());
        }
        for (node, topology) in &seen.roots {
            let entries = self.part(Network::Root, &[begin + *node as usize], None);
            let site = self.spans.codes.node[begin + *node as usize];
            self.row(Network::Root, entries);
            self.field(Network::Root, Input::Start, vec![trace as u32], || start.clone());
            let key = vec![shape, *node];
            self.field(Network::Root, Input::Topology, key, || topology.clone());
            self.sites(Network::Root, &[site], false);
        }
        for (at, (chain, topology)) in seen.chains.iter().enumerate() {
            let head = begin + chain.head as usize;
            let tails: Vec<usize> = chain.tails.iter().map(|&n| begin + n as usize).collect();
            let sites: Vec<u32> = tails.iter().map(|&span| self.spans.codes.node[span]).collect();
            let entries = self.part(Network::Chain, &tails, Some(head));
            self.row(Network::Chain, entries);
            self.field(Network::Chain, Input::Start, vec![trace as u32], || start.clone());
            self.head(head);
            let key = vec![shape, at as u32];
            self.field(Network::Chain, Input::Topology, key, || topology.clone());
            self.sites(Network::Chain, &sites, self.spans.is_error[head]);
        }
    }

    /// The row of some spans, and its units noted as those of their sites.
    fn part(&mut self, network: Network, spans: &[usize], head: Option<usize>) -> Vec<(u16, f32)> {
        let (layout, which) = match network {
            Network::Chain => (&self.networks.tail, 1),
            _ => (&self.networks.root, 0),
        };
        let mut entries = Vec::new();
        let mut head = head;
        for (at, &span) in spans.iter().enumerate() {
            let from = at * layout.width();
            let begin = entries.len();
            layout.encode(
                (self.spans, self.model),
                self.normalisers,
                (span, head),
                &mut self.random,
                (from, &mut entries),
            );
            let units = &mut self.units[which][self.spans.codes.node[span] as usize];
            units.extend(entries[begin..].iter().map(|entry| entry.0 - from as u16));
            head = Some(span);
        }
        entries
    }

    fn row(&mut self, network: Network, entries: Vec<(u16, f32)>) {
        self.tables[network as usize].rows.push(entries);
    }

    /// Adds the value of a field to the last row, if the network has the field.
    fn field(
        &mut self,
        network: Network,
        input: Input,
        key: Vec<u32>,
        entries: impl FnOnce() -> Vec<(u16, f32)>,
    ) {
        let inputs = Networks::inputs(network, self.options);
        let Some(at) = inputs.iter().position(|other| *other == input) else { return };
        let (rows, of_row) = &mut self.tables[network as usize].fields[at];
        let known = self.known.entry((network as usize, at)).or_default();
        of_row.push(intern(rows, known, key, entries));
    }

    fn head(&mut self, head: usize) {
        let (spans, model, normalisers) = (self.spans, self.model, self.normalisers);
        let layout = &self.networks.head;
        let mut random = self.random.clone();
        self.field(Network::Chain, Input::Head, vec![head as u32], || {
            let mut entries = Vec::new();
            let at = (head, None);
            layout.encode((spans, model), normalisers, at, &mut random, (0, &mut entries));
            entries
        });
        self.random.bits();
    }

    /// The sites of the last row, its group and its mask.
    fn sites(&mut self, network: Network, sites: &[u32], has_failed: bool) {
        let entries = self.networks.sites(sites, has_failed);
        let group = entries[0].0;
        let key = sites.iter().copied().chain([u32::from(group)]).collect();
        self.field(network, Input::Sites, key, || entries);
        let inputs = Networks::inputs(network, self.options);
        let at = inputs.iter().position(|input| *input == Input::Sites).unwrap_or(0);
        let table = &mut self.tables[network as usize];
        let of = table.fields[at].1.last().copied().unwrap_or(0);
        table.of_mask.push(of);
        table.groups.push(group.into());
    }

    fn finish(mut self) -> ([Table; 3], [Vec<Vec<u16>>; 2]) {
        let units = self.units.map(|sites| {
            sites.into_iter().map(|units| units.into_iter().collect()).collect::<Vec<Vec<u16>>>()
        });
        let layouts = [&self.networks.root, &self.networks.tail];
        for network in [Network::Root, Network::Chain] {
            let known = network as usize;
            let inputs = Networks::inputs(network, self.options);
            let at = inputs.iter().position(|input| *input == Input::Sites).unwrap_or(0);
            let mut tuples: Vec<(Vec<u32>, u32)> =
                self.known.remove(&(known, at)).unwrap_or_default().into_iter().collect();
            tuples.sort_unstable_by_key(|tuple| tuple.1);
            let which = network as usize - 1;
            let Some(masks) = &mut self.tables[known].masks else { continue };
            for (mut sites, _) in tuples {
                // The last number is the group.
                sites.pop();
                masks.push(mask(&units[which], layouts[which].width(), &sites));
            }
        }
        (self.tables, units)
    }
}

/// The units that nodes of these sites may have, as entries of 1.
pub(crate) fn mask(units: &[Vec<u16>], width: usize, sites: &[u32]) -> Vec<(u16, f32)> {
    let part = |(at, &site): (usize, &u32)| {
        let from = (at * width) as u16;
        units[site as usize].iter().map(move |unit| (from + unit, 1.0)).collect::<Vec<_>>()
    };
    sites.iter().enumerate().flat_map(part).collect()
}

/// The start of a trace as a condition.
pub(crate) fn start_entries(
    normalisers: &Normalisers,
    seconds: f64,
    random: &mut Random,
) -> Vec<(u16, f32)> {
    let (place, mode) = normalisers.start.encode(seconds, random, &mut Vec::new());
    vec![(0, place), (1 + mode, 1.0)]
}

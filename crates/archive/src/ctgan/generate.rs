//! From networks to a window: topologies by their counts, a start for each trace, its roots, and
//! then chain after chain. See the six steps of the paper's Figure 4.

use std::ops::Range;

use spanwise_ctgan::{Frozen, Random, Scratch, Value};

use super::Fitted;
use super::fit::{mask, start_entries};
use super::metadata::{Spans, instant, seconds};
use super::networks::{Input, Network, Networks, Seen};
use crate::gan_options::Times;
use crate::structured::{Codes, Generated, Model, Topology, empty_codes, order_siblings};

/// What random streams are for.
const PURPOSE: [u64; 2] = [20, 21];

/// A window under generation.
struct Work<'a> {
    fitted: &'a Fitted,
    networks: &'a Networks,
    random: Random,
    scratch: Scratch,
    values: Vec<Value>,
    spans: Spans,
}

/// Generates a window, and the model in whose terms it is.
pub(crate) fn generate(fitted: &Fitted, networks: &Networks, seed: u64) -> (Model, Generated) {
    let mut random = Random::new(seed, PURPOSE[0]);
    let (shapes, starts) = starts(fitted, networks, &mut random);
    let codes = empty_codes(&fitted.model, &shapes);
    let (n_spans, n_slots) = (codes.n_spans(), codes.slots.len());
    let spans = Spans {
        begin_ns: fitted.begin_ns,
        codes,
        numbers: vec![0; n_slots],
        exact: vec![0; n_slots],
        start: vec![fitted.begin_ns; n_spans],
        end: vec![fitted.begin_ns; n_spans],
        is_error: vec![false; n_spans],
    };
    let mut work = Work {
        fitted,
        networks,
        random: Random::new(seed, PURPOSE[1]),
        scratch: Scratch::default(),
        values: Vec::new(),
        spans,
    };
    // Shape by shape, so that only one is looked at closely at a time.
    let mut order: Vec<u32> = (0..shapes.len() as u32).collect();
    order.sort_by_key(|&trace| (shapes[trace as usize], trace));
    for traces in order.chunk_by(|a, b| shapes[*a as usize] == shapes[*b as usize]) {
        let shape = shapes[traces[0] as usize];
        let seen = Seen::of(networks, shape, &fitted.model.topology.shapes[shape as usize]);
        for &trace in traces {
            work.trace((trace as usize, shape), starts[trace as usize], &seen);
        }
    }
    finish(&fitted.model, work.spans)
}

/// Shape and start of each trace, by start.
fn starts(fitted: &Fitted, networks: &Networks, random: &mut Random) -> (Vec<u32>, Vec<u64>) {
    let mut all: Vec<(u64, u32)> = Vec::new();
    let (mut scratch, mut values) = (Scratch::default(), Vec::new());
    let generator = &fitted.generators[Network::Start as usize];
    for (shape, &n) in fitted.model.drawn.iter().enumerate() {
        if n == 0 {
            continue;
        }
        let tree = &fitted.model.topology.shapes[shape];
        let seen = Seen::of(networks, shape as u32, tree);
        for _ in 0..n {
            let mut start = fitted.begin_ns;
            if fitted.options.times == Times::Relative {
                generator.generate(&[&seen.whole], None, random, &mut scratch, &mut values);
                if let [Value::Scalar(place), Value::Choice(mode)] = values[..] {
                    let s = fitted.normalisers.start.decode(place, mode.unwrap_or(0));
                    start = instant(fitted.begin_ns, s).clamp(fitted.begin_ns, fitted.end_ns);
                }
            }
            all.push((start, shape as u32));
        }
    }
    all.sort_unstable();
    all.into_iter().map(|(start, shape)| (shape, start)).unzip()
}

impl Work<'_> {
    fn trace(&mut self, (trace, shape): (usize, u32), start_ns: u64, seen: &Seen) {
        let begin = self.spans.codes.offsets[trace] as usize;
        let end = self.spans.codes.offsets[trace + 1] as usize;
        self.spans.start[begin..end].fill(start_ns);
        let mut start = Vec::new();
        if self.fitted.options.times == Times::Relative {
            let s = seconds(start_ns, self.fitted.begin_ns);
            start = start_entries(&self.fitted.normalisers, s, &mut self.random);
        }
        for (node, topology) in &seen.roots {
            let span = begin + *node as usize;
            self.fill(Network::Root, &start, topology, &[span], None);
        }
        for (chain, topology) in &seen.chains {
            let tails: Vec<usize> = chain.tails.iter().map(|&n| begin + n as usize).collect();
            let head = Some(begin + chain.head as usize);
            self.fill(Network::Chain, &start, topology, &tails, head);
        }
        self.order(begin..end, shape);
    }

    /// Networks know nothing of siblings: a topology comes back as itself only if those start in its
    /// order.
    fn order(&mut self, spans: Range<usize>, shape: u32) {
        let origin = self.fitted.begin_ns;
        let after = |time: &u64| i64::try_from(time.saturating_sub(origin)).unwrap_or(i64::MAX);
        let mut start: Vec<i64> = self.spans.start[spans.clone()].iter().map(after).collect();
        let mut end: Vec<i64> = self.spans.end[spans.clone()].iter().map(after).collect();
        let shape = &self.fitted.model.topology.shapes[shape as usize];
        order_siblings(shape, &mut start, &mut end);
        let whole = |time: i64| origin.saturating_add_signed(time);
        for (at, (start, end)) in spans.zip(start.into_iter().zip(end)) {
            (self.spans.start[at], self.spans.end[at]) = (whole(start), whole(end));
        }
    }

    /// Fills the metadata of some spans, each the head of the next.
    fn fill(
        &mut self,
        network: Network,
        start: &[(u16, f32)],
        topology: &[(u16, f32)],
        spans: &[usize],
        head: Option<usize>,
    ) {
        let Fitted { model, normalisers, options, .. } = self.fitted;
        let sites: Vec<u32> = spans.iter().map(|&span| self.spans.codes.node[span]).collect();
        let (layout, units) = match network {
            Network::Chain => (&self.networks.tail, &self.fitted.units[1]),
            _ => (&self.networks.root, &self.fitted.units[0]),
        };
        let has_failed = head.is_some_and(|head| self.spans.is_error[head]);
        let one_hot = self.networks.sites(&sites, has_failed);
        let mut known = Vec::new();
        let inputs = Networks::inputs(network, options);
        if let Some(head) = head.filter(|_| inputs.contains(&Input::Head)) {
            let layout = &self.networks.head;
            let spans = (&self.spans, model);
            layout.encode(spans, normalisers, (head, None), &mut self.random, (0, &mut known));
        }
        let entries = |input: &Input| match input {
            Input::Start => start,
            Input::Head => &known[..],
            Input::Topology => topology,
            Input::Sites => &one_hot[..],
        };
        let fields: Vec<&[(u16, f32)]> = inputs.iter().map(entries).collect();
        let is_masked = options.support.is_per_site();
        let allowed = is_masked.then(|| mask(units, layout.width(), &sites));
        let generator: &Frozen = &self.fitted.generators[network as usize];
        let Self { random, scratch, values, .. } = self;
        generator.generate(&fields, allowed.as_deref(), random, scratch, values);
        let mut head = head;
        for (at, &span) in spans.iter().enumerate() {
            let values = &self.values[at * layout.n_blocks()..(at + 1) * layout.n_blocks()];
            let target = (&mut self.spans, model);
            layout.decode(values, normalisers, target, (span, head), &mut self.random);
            head = Some(span);
        }
    }
}

/// Turns errors into labels of the topology.
fn finish(model: &Model, spans: Spans) -> (Model, Generated) {
    let Spans { mut codes, numbers, exact, start, end, is_error, .. } = spans;
    let mut failures: Vec<((u32, Vec<u32>), usize)> = Vec::new();
    for trace in 0..codes.n_traces() {
        let (begin, end) = (codes.offsets[trace], codes.offsets[trace + 1]);
        let errors = (begin..end).filter(|&span| is_error[span as usize]);
        let positions: Vec<u32> = errors.map(|span| span - begin).collect();
        if !positions.is_empty() {
            failures.push(((codes.label[trace], positions), trace));
        }
    }
    failures.sort();
    let mut distinct: Vec<(u32, Vec<u32>)> = Vec::new();
    for (failure, trace) in failures {
        if distinct.last() != Some(&failure) {
            distinct.push(failure);
        }
        codes.label[trace] = (model.topology.shapes.len() + distinct.len()) as u32 - 1;
    }
    let mut model = model.clone();
    let shapes = std::mem::take(&mut model.topology.shapes);
    model.topology = Topology::new(shapes.into_iter().map(|s| s.spans).collect(), distinct);
    (model, generated(codes, numbers, exact, start, end))
}

fn generated(
    codes: Codes,
    numbers: Vec<i64>,
    picks: Vec<u32>,
    start: Vec<u64>,
    end: Vec<u64>,
) -> Generated {
    Generated { codes, picks, numbers, start, end, ..Generated::default() }
}

//! The three generators of the paper's Table 2: their sizes, and what enters them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use spanwise_ctgan::{Architecture, Block, Field, Rows};

use super::graph::{Chain, Graph};
use super::metadata::{Layout, Normalisers, Role};
use crate::gan_options::{GanOptions, HeadMetadata, Times, TopologyCode};
use crate::structured::{Model, Shape};

/// Units of the graph embedding and of the metadata embedding.
const EMBEDDING: usize = 32;
/// Units of the noise, its embedding and the hidden layers.
const HIDDEN: usize = 128;
/// Rows that a critic judges together, CTGAN's.
const PAC: usize = 10;
/// Units of a row and of its condition together, at most.
const WIDTH_MAX: usize = 1 << 13;

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// `T_G`: the start of a trace.
    Start = 0,
    /// `R_G`: the metadata of a root.
    Root = 1,
    /// `C_G`: the metadata of a chain after its head.
    Chain = 2,
}

/// Sizes of all networks and the meaning of their units: follows from vocabulary, normalisers and
/// options, so that a file does not say it.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(crate) root: Layout,
    pub(crate) tail: Layout,
    pub(crate) head: Layout,
    /// Most nodes of a chain behind its head.
    pub(crate) n_tails: usize,
    pub(crate) architectures: [Architecture; 3],
    /// Call sites that were seen below a head that failed, ascending: each is a call site of its own
    /// there. None unless [`GanOptions::tells_failed_heads`].
    pub(crate) below_failed: Vec<u32>,
    n_sites: usize,
    n_shapes: usize,
    topology: TopologyCode,
}

/// A field that a network may have, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Start,
    Head,
    Topology,
    Sites,
}

impl Networks {
    /// `None` if rows would be too wide.
    pub(crate) fn new(
        model: &Model,
        normalisers: &Normalisers,
        options: &GanOptions,
        below_failed: Vec<u32>,
    ) -> Option<Self> {
        let n_sites = model.sites.len();
        let n_tails = usize::from(options.chain_length.clamp(2, 5)) - 1;
        let mut sites = [(); 3].map(|()| vec![false; n_sites]);
        for shape in &model.topology.shapes {
            for (at, place) in shape.places.iter().enumerate() {
                let site = |at: usize| shape.spans[at].0 as usize;
                if place.parent == u32::MAX {
                    sites[0][site(at)] = true;
                } else {
                    sites[1][site(at)] = true;
                    sites[2][site(place.parent as usize)] = true;
                }
            }
        }
        let layout = |role, at: usize| Layout::new(role, model, &sites[at], normalisers, options);
        let mut networks = Self {
            root: layout(Role::Root, 0),
            tail: layout(Role::Tail, 1),
            head: layout(Role::Head, 2),
            n_tails,
            architectures: [(); 3].map(|()| Architecture::ctgan(Vec::new(), Vec::new())),
            below_failed,
            n_sites,
            n_shapes: model.topology.shapes.len(),
            topology: options.topology,
        };
        let all = [Network::Start, Network::Root, Network::Chain];
        networks.architectures = all.map(|n| networks.architecture(n, normalisers, options));
        let fits = |architecture: &Architecture| {
            let fields: usize = architecture.fields.iter().map(|field| field.n_in()).sum();
            architecture.row_width() + fields <= WIDTH_MAX
        };
        networks.architectures.iter().all(fits).then_some(networks)
    }

    /// Fields of a network in order.
    pub(crate) fn inputs(network: Network, options: &GanOptions) -> Vec<Input> {
        let mut inputs = Vec::new();
        if network != Network::Start && options.times == Times::Relative {
            inputs.push(Input::Start);
        }
        if network == Network::Chain && options.head == HeadMetadata::Given {
            inputs.push(Input::Head);
        }
        inputs.push(Input::Topology);
        if network != Network::Start {
            inputs.push(Input::Sites);
        }
        inputs
    }

    fn architecture(
        &self,
        network: Network,
        normalisers: &Normalisers,
        options: &GanOptions,
    ) -> Architecture {
        let n_start = 1 + normalisers.start.n_modes();
        let n_topology = self.topology_width();
        let field = |input: Input| match input {
            Input::Start => Field::Plain { n_in: n_start },
            Input::Head => Field::Rectified { n_in: self.head.width(), n_out: EMBEDDING },
            Input::Topology if self.topology == TopologyCode::OneHot => {
                Field::Plain { n_in: n_topology }
            }
            Input::Topology => Field::Linear { n_in: n_topology, n_out: EMBEDDING },
            Input::Sites => Field::Plain { n_in: self.sites_width(network) },
        };
        let blocks: Vec<Block> = match network {
            Network::Start => normalisers.start.blocks(false).into(),
            Network::Root => self.root.blocks().collect(),
            Network::Chain => (0..self.n_tails).flat_map(|_| self.tail.blocks()).collect(),
        };
        let inputs = Self::inputs(network, options).into_iter();
        Architecture {
            n_noise: HIDDEN,
            noise_embedding: Some(HIDDEN),
            fields: inputs.map(field).collect(),
            residual: vec![HIDDEN],
            critic: vec![HIDDEN],
            pac: PAC,
            blocks,
        }
    }

    fn sites_width(&self, network: Network) -> usize {
        match network {
            Network::Chain => self.n_sites * self.n_tails + self.below_failed.len(),
            _ => self.n_sites,
        }
    }

    /// Units of the topology before its embedding. For a convolution a node's features are its call
    /// site and its part: none, the head, or a node to fill.
    pub(crate) fn topology_width(&self) -> usize {
        match self.topology {
            TopologyCode::Convolution => self.n_sites * (2 + self.n_tails),
            TopologyCode::OneHot => self.n_shapes + self.n_sites,
        }
    }

    /// The topology as the field of a network that fills `nodes` of a shape after `head`: the mean
    /// embedding of all nodes, plus that of the nodes to fill.
    fn topology(&self, looked: &Looked<'_>, head: Option<u32>, nodes: &[u32]) -> Vec<(u16, f32)> {
        let site = |node: u32| looked.shape.spans[node as usize].0 as usize;
        if self.topology == TopologyCode::OneHot {
            let node = nodes.first().map(|&node| self.n_shapes + site(node));
            let shape = looked.number as usize;
            return [shape].into_iter().chain(node).map(|unit| (unit as u16, 1.0)).collect();
        }
        let part = |node: u32| match nodes.iter().position(|&filled| filled == node) {
            Some(at) => 2 + at,
            None => usize::from(head == Some(node)),
        };
        let mut weights: BTreeMap<usize, f32> = looked.by_site.iter().copied().collect();
        let mut add = |part: usize, node: u32, weight: f32| {
            *weights.entry(part * self.n_sites + site(node)).or_default() += weight;
        };
        for &node in head.iter().chain(nodes) {
            let weight = looked.mean[node as usize];
            add(0, node, -weight);
            add(part(node), node, weight);
        }
        for &filled in nodes {
            for (node, weight) in looked.graph.embedding(filled) {
                add(part(node), node, weight / nodes.len() as f32);
            }
        }
        weights.into_iter().map(|(unit, weight)| (unit as u16, weight)).collect()
    }

    /// The call sites of the nodes to fill, as a field; `has_failed` is the status of their head.
    pub(crate) fn sites(&self, sites: &[u32], has_failed: bool) -> Vec<(u16, f32)> {
        let unit = |(at, &site): (usize, &u32)| match self.below_failed.binary_search(&site) {
            Ok(place) if has_failed && at == 0 => self.n_sites * self.n_tails + place,
            _ => at * self.n_sites + site as usize,
        };
        sites.iter().enumerate().map(|part| (unit(part) as u16, 1.0)).collect()
    }
}

/// What the networks see of a shape.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) whole: Vec<(u16, f32)>,
    /// Of each root: node, topology.
    pub(crate) roots: Vec<(u32, Vec<(u16, f32)>)>,
    pub(crate) chains: Vec<(Chain, Vec<(u16, f32)>)>,
}

/// A shape with what its nodes weigh.
struct Looked<'a> {
    number: u32,
    shape: &'a Shape,
    graph: &'a Graph,
    /// Of each node, in the mean embedding.
    mean: Vec<f32>,
    /// The same summed up by site.
    by_site: Vec<(usize, f32)>,
}

impl Seen {
    pub(crate) fn of(networks: &Networks, number: u32, shape: &Shape) -> Self {
        let graph = Graph::of_shape(shape);
        let mean = graph.mean_embedding();
        let mut by_site: BTreeMap<usize, f32> = BTreeMap::new();
        for (span, weight) in shape.spans.iter().zip(&mean) {
            *by_site.entry(span.0 as usize).or_default() += weight;
        }
        let by_site = by_site.into_iter().collect();
        let looked = Looked { number, shape, graph: &graph, mean, by_site };
        let root = |node: u32| (node, networks.topology(&looked, None, &[node]));
        let chain = |chain: Chain| {
            let topology = networks.topology(&looked, Some(chain.head), &chain.tails);
            (chain, topology)
        };
        Self {
            whole: networks.topology(&looked, None, &[]),
            roots: graph.roots().map(root).collect(),
            chains: graph.chains(networks.n_tails + 1).into_iter().map(chain).collect(),
        }
    }
}

/// Adds a row of entries; the number of an equal one if there is one.
pub(crate) fn intern(
    rows: &mut Rows,
    known: &mut FxHashMap<Vec<u32>, u32>,
    key: Vec<u32>,
    entries: impl FnOnce() -> Vec<(u16, f32)>,
) -> u32 {
    *known.entry(key).or_insert_with(|| {
        rows.push(entries());
        rows.len() as u32 - 1
    })
}

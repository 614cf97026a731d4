//! Who called whom: nodes of a trace in preorder, then the resource and the layout of each.

use super::dictionary::Dictionary;
use super::{Broken, NONE, State, Trace};
use crate::entropy::{Coder, hash};

/// Symbols of a step: the trace ends, or the next span stands this many levels up, plus 2, from a
/// child of the last one. What does not fit follows in full.
const END: u32 = 0;
const FAR: u32 = 15;

/// Sets of weights.
const SET_STEP: u32 = 0x10;
const SET_NODE: u32 = 0x18;
const SET_RESOURCE: u32 = 0x20;
const SET_LAYOUT: u32 = 0x28;

/// Where the next span will stand.
#[derive(Clone, Copy, Debug)]
struct Spot {
    parent: u32,
    sibling: u32,
    /// Children of the parent so far.
    n_children: u32,
}

/// Nibbles that tell `n` values apart.
pub(super) const fn n_nibbles(n: usize) -> u32 {
    match n {
        0..=1 => 0,
        _ => (usize::BITS - (n - 1).leading_zeros()).div_ceil(4),
    }
}

/// What a walk over a trace in preorder knows of the spans above.
#[derive(Debug, Default)]
struct Path {
    /// Position of the ancestor at each depth, and how many children it has, and the last one.
    open: Vec<(u32, u32, u32)>,
    /// Roots so far, and the last one.
    roots: (u32, u32),
    prefix: u32,
}

impl Path {
    /// Moves to `depth` and reserves the next span's place there.
    fn spot(&mut self, depth: usize, position: u32) -> Spot {
        self.open.truncate(depth);
        let spot = if let Some((parent, n, last)) = self.open.last_mut() {
            let spot = Spot { parent: *parent, sibling: *last, n_children: *n };
            (*n, *last) = (*n + 1, position);
            spot
        } else {
            let (n, last) = self.roots;
            self.roots = (n + 1, position);
            let sibling = if n == 0 { NONE } else { last };
            Spot { parent: NONE, sibling, n_children: n }
        };
        self.open.push((position, 0, NONE));
        spot
    }
}

impl State {
    /// Codes the shape of a trace; a reader appends to an empty one. At most `n_max` spans.
    pub(super) fn topology<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        (n_nodes, n_max): (usize, usize),
    ) -> Result<(), Broken> {
        let n_given = trace.node.len();
        let mut path = Path::default();
        for i in 0.. {
            let mut depth = 0;
            if i > 0 {
                let next = trace.depth.get(i).filter(|_| i < n_given).copied();
                let Some(found) = self.step(coder, trace, (i - 1, path.prefix), next)? else {
                    break;
                };
                depth = found;
            }
            if i >= n_max {
                return Err(Broken("a trace has more spans than there are ids"));
            }
            let spot = path.spot(depth as usize, i as u32);
            path.prefix = hash(path.prefix, depth);
            let given = trace.node.get(i).copied().unwrap_or(0);
            let node = self.node(coder, trace, (spot, path.prefix), (n_nodes, given));
            if node as usize >= n_nodes {
                return Err(Broken("a span has an unknown node"));
            }
            path.prefix = hash(path.prefix, node);
            if C::READS {
                trace.push(node, depth, spot.parent, spot.sibling);
            } else {
                trace.sibling[i] = spot.sibling;
            }
        }
        Ok(())
    }

    /// The depth of the span behind `at`; `None` at the end.
    fn step<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &Trace,
        (at, prefix): (usize, u32),
        next: Option<u32>,
    ) -> Result<Option<u32>, Broken> {
        let (node, depth) = (trace.node[at], trace.depth[at]);
        let parent = trace.node_of(trace.parent[at]);
        let grandparent = trace.node_of(trace.parent_of(trace.parent[at]));
        let near = hash(hash(0x81, node), parent);
        let contexts = [
            hash(0x80, prefix),
            near,
            hash(hash(near, grandparent), depth),
            hash(hash(near, trace.node_of(trace.sibling[at])), 3),
        ];
        let wanted = next.map_or(END, |next| depth + 2 - next);
        let mut symbol = self.model.nibble(coder, &contexts, SET_STEP, wanted.min(FAR));
        if symbol == FAR {
            let more = self.count(coder, 0x82, u64::from(wanted.max(FAR) - FAR))?;
            symbol = u32::try_from(more).map_or(u32::MAX, |more| more.saturating_add(FAR));
        }
        if coder.is_overrun() {
            return Err(Broken("the content ends inside a trace"));
        }
        match symbol {
            END => Ok(None),
            up => match (depth + 2).checked_sub(up) {
                Some(depth) => Ok(Some(depth)),
                None => Err(Broken("a span stands above the roots")),
            },
        }
    }

    fn node<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &Trace,
        (spot, prefix): (Spot, u32),
        (n_nodes, given): (usize, u32),
    ) -> u32 {
        let parent = trace.node_of(spot.parent);
        let grandparent = trace.node_of(trace.parent_of(spot.parent));
        let sibling = trace.node_of(spot.sibling);
        let contexts = [
            hash(0x90, prefix),
            hash(hash(0x91, parent), sibling),
            hash(hash(hash(0x92, parent), spot.n_children), grandparent),
            hash(hash(hash(0x93, parent), sibling), grandparent),
        ];
        self.model.index(coder, &contexts, (SET_NODE, n_nibbles(n_nodes)), given)
    }

    /// Codes where each span ran and how its message is laid out. Both are given as positions in
    /// the lists of the service and of the node.
    pub(super) fn placement<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        dictionary: &Dictionary,
    ) -> Result<(), Broken> {
        for i in 0..trace.node.len() {
            let node = &dictionary.nodes[trace.node[i] as usize];
            let members = dictionary.services.members[node.service as usize].len();
            let resource = self.resource(coder, trace, (i, node.service), members);
            let layout = self.layout(coder, (trace, i), resource, node.layouts.len());
            if resource as usize >= members || layout as usize >= node.layouts.len() {
                return Err(Broken("a span has an unknown resource or layout"));
            }
            trace.resource[i] = resource;
            trace.layout[i] = layout;
        }
        if coder.is_overrun() { Err(Broken("the content ends inside a trace")) } else { Ok(()) }
    }

    fn resource<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &Trace,
        (i, service): (usize, u32),
        n: usize,
    ) -> u32 {
        if n < 2 {
            return 0;
        }
        let node = trace.node[i];
        let parent = trace.parent[i];
        let of = |at: u32| trace.resource.get(at as usize).map_or(NONE, |resource| *resource);
        let in_trace = self.service_in_trace.get(&service).filter(|(n, _)| *n == self.n_traces);
        let in_trace = in_trace.map_or(NONE, |(_, resource)| *resource);
        let before = self.by_node.get(&node).map_or(NONE, |recent| recent.resource);
        let contexts = [
            hash(0xa0, node),
            hash(hash(hash(0xa1, node), trace.node_of(parent)), of(parent)),
            hash(hash(0xa2, service), in_trace),
            hash(hash(hash(0xa3, node), in_trace), of(parent)),
            hash(hash(0xa4, node), before),
        ];
        let given = trace.resource[i];
        let resource = self.model.index(coder, &contexts, (SET_RESOURCE, n_nibbles(n)), given);
        self.service_in_trace.insert(service, (self.n_traces, resource));
        self.by_node.entry(node).or_default().resource = resource;
        resource
    }

    fn layout<C: Coder>(
        &mut self,
        coder: &mut C,
        (trace, i): (&Trace, usize),
        resource: u32,
        n: usize,
    ) -> u32 {
        if n < 2 {
            return 0;
        }
        let node = trace.node[i];
        let layout_of = |at: u32| trace.layout.get(at as usize).map_or(NONE, |layout| *layout);
        let (parent, sibling) = (trace.parent[i], trace.sibling[i]);
        let before = self.by_node.get(&node).map_or(NONE, |recent| recent.layout);
        let near = hash(hash(0xb1, node), trace.node_of(parent));
        let contexts = [
            hash(0xb0, node),
            hash(near, layout_of(parent)),
            hash(hash(near, trace.node_of(sibling)), layout_of(sibling)),
            hash(hash(0xb2, node), before),
            hash(hash(0xb3, node), resource),
        ];
        let given = trace.layout[i];
        let layout = self.model.index(coder, &contexts, (SET_LAYOUT, n_nibbles(n)), given);
        self.by_node.entry(node).or_default().layout = layout;
        layout
    }
}

//! Two windows of traces in one vocabulary: what the metrics read.
//!
//! Why not the columns of [`Traces`] themselves: names and values are numbered per window there, and
//! two windows can be compared only in numbers they share; so is the order of children that start
//! together. Times are in microseconds.

use std::hash::Hash;
use std::ops::Range;

use rustc_hash::FxHashMap;
use spanwise_model::ValueRef;

use crate::traces::{Column, NO_PARENT, Place, Pod, Traces, Values};

/// No parent, no value.
pub(super) const NONE: u32 = u32::MAX;

/// What marks a generated span on its resource. Not data: no metric looks at it.
const MARKS: &[u8] = b"trace.synthetic";

/// Numbers things in the order they are first seen.
#[derive(Debug)]
pub(super) struct Interner<T> {
    numbers: FxHashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: FxHashMap::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// The number of `thing`, new if need be.
    pub(super) fn number(&mut self, thing: T) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(thing).or_insert(next)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// What stands for a node, a service, a key, a value: shared by both windows.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    /// Strings and bytes of any kind.
    texts: Interner<Box<[u8]>>,
    /// (service, name, kind).
    nodes: Interner<(u32, u32, u8)>,
    /// Service and name of each node.
    node_names: Vec<(u32, u32)>,
}

impl Vocabulary {
    /// The number of a text.
    pub(super) fn text(&mut self, text: &[u8]) -> u32 {
        match self.texts.numbers.get(text) {
            Some(number) => *number,
            None => self.texts.number(text.into()),
        }
    }

    /// The number of an attribute's key; the same key in another place is another one.
    fn key(&mut self, place: u8, key: &[u8]) -> u32 {
        let mut tagged = Vec::with_capacity(key.len() + 1);
        tagged.push(place);
        tagged.extend_from_slice(key);
        self.text(&tagged)
    }

    /// The number of a resource, whatever the order of its attributes.
    fn resource(&mut self, attributes: &[(u32, u32)]) -> u32 {
        let mut sorted = attributes.to_vec();
        sorted.sort_unstable();
        let number = |(key, value): (u32, u32)| u64::from(key) << 32 | u64::from(value);
        let bytes: Vec<u8> =
            sorted.into_iter().flat_map(|pair| number(pair).to_le_bytes()).collect();
        self.text(&bytes)
    }

    /// The number of a value; values of different types differ.
    fn value(&mut self, values: &Values, id: u32) -> u32 {
        let mut tagged = Vec::new();
        match values.get(id) {
            ValueRef::Str(text) => tagged.extend_from_slice(text.as_bytes()),
            ValueRef::Bool(flag) => tagged.push(u8::from(flag)),
            ValueRef::Int(number) => tagged.extend_from_slice(&number.to_le_bytes()),
            ValueRef::Double(number) => tagged.extend_from_slice(&number.to_bits().to_le_bytes()),
            ValueRef::Bytes(bytes) => tagged.extend_from_slice(bytes),
            ValueRef::Other => tagged.extend_from_slice(values.other(id)),
        }
        tagged.push(match values.get(id) {
            ValueRef::Str(_) => b's',
            ValueRef::Bool(_) => b'b',
            ValueRef::Int(_) => b'i',
            ValueRef::Double(_) => b'd',
            ValueRef::Bytes(_) => b'y',
            ValueRef::Other => b'o',
        });
        self.text(&tagged)
    }

    /// The number of a call site: service, name and kind.
    pub(super) fn node(&mut self, service: &[u8], name: &[u8], kind: u8) -> u32 {
        let (service, name) = (self.text(service), self.text(name));
        let node = self.nodes.number((service, name, kind));
        if node as usize == self.node_names.len() {
            self.node_names.push((service, name));
        }
        node
    }

    /// The service of a node.
    pub(super) fn service(&self, node: u32) -> u32 {
        self.node_names[node as usize].0
    }

    /// The span name of a node.
    pub(super) fn name(&self, node: u32) -> u32 {
        self.node_names[node as usize].1
    }

    /// How many nodes there are.
    pub(super) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }
}

/// What the place of an attribute adds to its key: the same key on a resource is another column.
const fn place_tag(place: Place) -> u8 {
    match place {
        Place::Span => b's',
        Place::Exception => b'x',
        Place::StatusMessage => b'm',
    }
}

/// The tag of a resource attribute.
const RESOURCE_TAG: u8 = b'r';

/// A window as the metrics see it: traces in preorder, children by start and then by call site.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Where each trace begins, and the end of the last.
    begins: Vec<u32>,
    /// Call site of each span.
    pub(super) node: Vec<u32>,
    /// Position of the parent; [`NONE`] for a root.
    pub(super) parent: Vec<u32>,
    /// Start, us since the epoch.
    pub(super) start_us: Vec<i64>,
    /// End, us since the epoch.
    pub(super) end_us: Vec<i64>,
    /// Status is error.
    pub(super) is_error: Vec<bool>,
    pod: Vec<u32>,
    /// Attributes of each resource.
    pods: Vec<Vec<(u32, u32)>>,
    /// Each resource as a whole, as one value.
    resources: Vec<u32>,
    attribute_begins: Vec<u32>,
    /// Attributes of the spans, one span after the other.
    attributes: Vec<(u32, u32)>,
}

impl View {
    /// Puts a window into the words that both sides share.
    pub(super) fn of(traces: &Traces, words: &mut Vocabulary) -> Self {
        let node_numbers: Vec<u32> = traces
            .nodes
            .iter()
            .map(|node| {
                let (service, name) = (traces.names.get(node.service), traces.names.get(node.name));
                words.node(service, name, node.kind as u8)
            })
            .collect();
        let mut view = Self { pods: pods(traces, words), ..Self::default() };
        view.resources = view.pods.iter().map(|pod| words.resource(pod)).collect();
        view.begins.clone_from(&traces.offsets);
        if view.begins.is_empty() {
            view.begins.push(0);
        }
        let mut order = Order::default();
        for trace in 0..traces.n_traces() {
            order.append(traces, &node_numbers, trace);
        }
        let Order { spans: order, position, .. } = order;
        view.node =
            order.iter().map(|&at| node_numbers[traces.node[at as usize] as usize]).collect();
        view.parent = order
            .iter()
            .map(|&at| match traces.parent[at as usize] {
                NO_PARENT => NONE,
                parent => position[parent as usize],
            })
            .collect();
        let us = |ns: u64| (ns / 1_000).cast_signed();
        view.start_us = order.iter().map(|&at| us(traces.start[at as usize])).collect();
        view.end_us = order.iter().map(|&at| us(traces.end[at as usize])).collect();
        view.is_error = order.iter().map(|&at| traces.is_error(at as usize)).collect();
        view.pod = order.iter().map(|&at| traces.pod[at as usize]).collect();
        view.read_attributes(traces, &position, words);
        view
    }

    /// Turns columns into rows.
    fn read_attributes(&mut self, traces: &Traces, position: &[u32], words: &mut Vocabulary) {
        let mut begins = vec![0_u32; traces.n_spans() + 1];
        for span in traces.columns.iter().flat_map(|column| &column.spans) {
            begins[position[*span as usize] as usize + 1] += 1;
        }
        for at in 1..begins.len() {
            begins[at] += begins[at - 1];
        }
        let n = begins.last().copied().unwrap_or_default();
        self.attributes = vec![(NONE, NONE); n as usize];
        let mut next = begins.clone();
        let mut values = vec![NONE; traces.values.len()];
        for column in &traces.columns {
            let key = column_key(traces, column, words);
            for (span, value) in column.spans.iter().zip(&column.values) {
                let known = &mut values[*value as usize];
                if *known == NONE {
                    *known = words.value(&traces.values, *value);
                }
                let at = &mut next[position[*span as usize] as usize];
                self.attributes[*at as usize] = (key, *known);
                *at += 1;
            }
        }
        self.attribute_begins = begins;
    }

    /// Number of traces.
    pub(super) fn n_traces(&self) -> usize {
        self.begins.len() - 1
    }

    /// Number of spans.
    pub(super) fn n_spans(&self) -> usize {
        self.node.len()
    }

    /// The spans of each trace; the first is its root. Never empty.
    pub(super) fn traces(&self) -> impl Iterator<Item = Range<usize>> {
        self.begins.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
    }

    /// Duration in us; a span that ends before it starts has none.
    pub(super) fn duration_us(&self, span: usize) -> f64 {
        (self.end_us[span] - self.start_us[span]).max(0) as f64
    }

    /// Keys and values of the span itself.
    pub(super) fn own_attributes(&self, span: usize) -> &[(u32, u32)] {
        let begin = self.attribute_begins[span] as usize;
        &self.attributes[begin..self.attribute_begins[span + 1] as usize]
    }

    /// Keys and values of a span's resource and of the span itself.
    pub(super) fn attributes(&self, span: usize) -> impl Iterator<Item = (u32, u32)> {
        let of_resource = &self.pods[self.pod[span] as usize];
        of_resource.iter().chain(self.own_attributes(span)).copied()
    }

    /// Keys and values of a span, with its whole resource as one column (key [`NONE`]).
    pub(super) fn columns(&self, span: usize) -> impl Iterator<Item = (u32, u32)> {
        let resource = (NONE, self.resources[self.pod[span] as usize]);
        std::iter::once(resource).chain(self.own_attributes(span).iter().copied())
    }

    /// The entry spans of a trace, by structure: its root, and the root's child where the root does
    /// nothing but pass the request on (one child, in another service). The last one names what was
    /// asked for.
    pub(super) fn entries(&self, trace: &Range<usize>, words: &Vocabulary) -> Range<usize> {
        let (root, next) = (trace.start, trace.start + 1);
        let is_passed_on = next < trace.end
            && self.parent[next] == root as u32
            && words.service(self.node[next]) != words.service(self.node[root])
            && (next + 1..trace.end).all(|span| self.parent[span] != root as u32);
        root..if is_passed_on { next + 1 } else { next }
    }
}

fn column_key(traces: &Traces, column: &Column, words: &mut Vocabulary) -> u32 {
    words.key(place_tag(column.place), traces.names.get(column.key))
}

/// The attributes of each resource but for the marks of generated ones.
fn pods(traces: &Traces, words: &mut Vocabulary) -> Vec<Vec<(u32, u32)>> {
    let mut attributes = |pod: &Pod| {
        let mut attributes = Vec::new();
        for (key, value) in &pod.attributes {
            let key = traces.names.get(*key);
            if !key.starts_with(MARKS) {
                let key = words.key(RESOURCE_TAG, key);
                attributes.push((key, words.value(&traces.values, *value)));
            }
        }
        attributes
    };
    traces.pods.iter().map(&mut attributes).collect()
}

/// The order of spans in a view, and where each span of the window went.
#[derive(Default)]
struct Order {
    spans: Vec<u32>,
    position: Vec<u32>,
    children: Vec<(u32, u64, u32, u64, u32)>,
    stack: Vec<u32>,
}

impl Order {
    /// Appends the spans of a trace. Only children that start together can change places.
    fn append(&mut self, traces: &Traces, node_numbers: &[u32], trace: usize) {
        let spans = traces.spans_of(trace);
        let (begin, end) = (spans.start, spans.end);
        self.children.clear();
        self.children.extend(spans.map(|at| {
            let node = node_numbers[traces.node[at] as usize];
            (traces.parent[at], traces.start[at], node, traces.end[at], at as u32)
        }));
        self.children.sort_unstable();
        self.position.resize(end, NONE);
        self.stack.clear();
        // Roots sort last, since no parent is the greatest number.
        let children_of =
            |of: u32, stack: &mut Vec<u32>, children: &[(u32, u64, u32, u64, u32)]| {
                let from = children.partition_point(|child| child.0 < of);
                let to = children.partition_point(|child| child.0 <= of);
                stack.extend(children[from..to].iter().rev().map(|child| child.4));
            };
        children_of(NO_PARENT, &mut self.stack, &self.children);
        while let Some(at) = self.stack.pop() {
            self.position[at as usize] = self.spans.len() as u32;
            self.spans.push(at);
            children_of(at, &mut self.stack, &self.children);
        }
        assert_eq!(self.spans.len(), end, "a trace from {begin} on is no tree");
    }
}

#[cfg(test)]
mod tests;

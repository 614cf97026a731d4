//! From request bytes to a window.
//!
//! Each request is read once into flat rows and then forgotten; the rows are put into order when the
//! window closes. Traces that are not one rooted tree, or that the caller keeps verbatim, are named
//! and left out: their spans stay in the requests, which are the caller's.

use std::ops::Range;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use spanwise_model::{Batch, SpanHead, SpanId, StatusCode, TraceId, ValueRef};
use spanwise_otlp::{Limits, decode};

use super::columns::{Column, NO_PARENT, Node, Place, Pod, Traces};
use super::wire::{Field, Fields, key_value};
use super::{Error, N_SPANS_MAX, N_TRACES_MAX, SPANS_PER_TRACE_MAX, TRACE_DEPTH_MAX};

const SPAN_ATTRIBUTE: u32 = 9;
const SPAN_EVENT: u32 = 11;
const SPAN_STATUS: u32 = 15;
const EVENT_NAME: u32 = 2;
const EVENT_ATTRIBUTE: u32 = 3;
const STATUS_MESSAGE: u32 = 2;

/// Collects the spans of a window.
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    window: Traces,
    node_ids: FxHashMap<Node, u32>,
    pod_ids: FxHashMap<Pod, u32>,
    column_ids: FxHashMap<(Place, u32), u32>,
    rows: Vec<Row>,
    /// (column, value) of all rows, one after the other.
    attributes: Vec<(u32, u32)>,
    n_rejected: u64,
}

/// What [`Builder::finish`] yields.
#[derive(Debug, Default)]
pub struct Window {
    /// The traces that are one rooted tree.
    pub traces: Traces,
    /// Traces that are not, ascending: several roots or none, repeated span ids, cycles, an end
    /// before its start, a start at 0, more than 4,096 spans or 256 levels.
    pub apart: Vec<TraceId>,
    /// Traces the caller asked to leave out, ascending.
    pub kept: Vec<TraceId>,
    /// Spans that `otlp` refused (no valid ids).
    pub n_rejected: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: SpanId,
    start: u64,
    end: u64,
    node: u32,
    pod: u32,
    attributes: u32,
    n_attributes: u32,
    status: StatusCode,
}

impl Builder {
    /// An empty window.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the spans of one `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// It is malformed or over the limits of [`Limits::default`], or the window is full.
    pub fn push(&mut self, request: Bytes) -> Result<(), Error> {
        let decoded = decode(request, &self.limits)?;
        let batch = &decoded.batch;
        self.n_rejected += u64::from(decoded.report.n_rejected());
        if self.rows.len() + batch.spans.len() > N_SPANS_MAX {
            return Err(Error::TooManySpans { limit: N_SPANS_MAX });
        }
        let pods: Vec<u32> = (0..batch.resources.len()).map(|at| self.pod(batch, at)).collect();
        for head in &batch.spans {
            self.span(batch, head, &pods);
        }
        Ok(())
    }

    /// Spans added so far.
    pub fn n_spans(&self) -> usize {
        self.rows.len()
    }

    /// Puts the window into order. `keep` says which traces the caller stores elsewhere.
    ///
    /// # Errors
    /// There are more than 2^20 traces.
    pub fn finish(mut self, keep: impl Fn(&TraceId) -> bool) -> Result<Window, Error> {
        let mut rows = std::mem::take(&mut self.rows);
        // Of spans that start together: ids say nothing of their order, and are made anew.
        rows.sort_unstable_by_key(|row| (row.trace_id, row.start, row.node, row.end, row.span_id));
        let mut window =
            Window { n_rejected: std::mem::take(&mut self.n_rejected), ..Window::default() };
        let mut trees = Vec::new();
        let mut order = Vec::with_capacity(rows.len());
        let mut begin = 0;
        while let Some(first) = rows.get(begin) {
            let trace_id = first.trace_id;
            let len = rows[begin..].partition_point(|row| row.trace_id == trace_id);
            let tree = Tree { start: 0, first_row: begin, spans: order.len()..order.len() };
            let trace = &rows[begin..begin + len];
            begin += len;
            if keep(&trace_id) {
                window.kept.push(trace_id);
            } else if let Some(root) = preorder(trace, &mut order) {
                let spans = tree.spans.start..order.len();
                trees.push(Tree { start: trace[root as usize].start, spans, ..tree });
            } else {
                order.truncate(tree.spans.start);
                window.apart.push(trace_id);
            }
        }
        if trees.len() > N_TRACES_MAX {
            return Err(Error::TooManyTraces { limit: N_TRACES_MAX });
        }
        trees.sort_unstable_by_key(|tree| (tree.start, tree.first_row));
        window.traces = self.columns(&rows, &order, &trees);
        Ok(window)
    }

    fn columns(self, rows: &[Row], order: &[Placed], trees: &[Tree]) -> Traces {
        let mut traces = self.window;
        traces.offsets.push(0);
        for tree in trees {
            let base = traces.node.len() as u32;
            for placed in &order[tree.spans.clone()] {
                let row = &rows[tree.first_row + placed.row as usize];
                let span = traces.node.len() as u32;
                let (parent, depth) = match placed.parent {
                    NO_PARENT => (NO_PARENT, 0),
                    parent => (base + parent, traces.depth[(base + parent) as usize] + 1),
                };
                traces.node.push(row.node);
                traces.parent.push(parent);
                traces.depth.push(depth);
                traces.pod.push(row.pod);
                traces.start.push(row.start);
                traces.end.push(row.end);
                traces.status.push(row.status);
                let begin = row.attributes as usize;
                for &(column, value) in &self.attributes[begin..begin + row.n_attributes as usize] {
                    let column = &mut traces.columns[column as usize];
                    // Of several attributes with one key the first counts.
                    if column.spans.last() != Some(&span) {
                        column.spans.push(span);
                        column.values.push(value);
                    }
                }
            }
            traces.trace_ids.push(rows[tree.first_row].trace_id);
            traces.offsets.push(traces.node.len() as u32);
        }
        traces.columns.retain(|column| !column.spans.is_empty());
        traces
    }

    fn pod(&mut self, batch: &Batch, resource_idx: usize) -> u32 {
        let resource = &batch.resources[resource_idx];
        let window = &mut self.window;
        let service = match resource.service.of(&batch.bytes) {
            [] => b"unknown_service",
            name => name,
        };
        let mut pod = Pod { service: window.names.intern(service), attributes: Vec::new() };
        for field in Fields(resource.raw.of(&batch.bytes)) {
            if let (1, Field::Bytes(message)) = field {
                let (key, value, raw) = key_value(message);
                let key = window.names.intern(key);
                if pod.attributes.iter().all(|attribute| attribute.0 != key) {
                    pod.attributes.push((key, window.values.intern(value, raw)));
                }
            }
        }
        let pods = &mut window.pods;
        *self.pod_ids.entry(pod).or_insert_with_key(|pod| {
            pods.push(pod.clone());
            pods.len() as u32 - 1
        })
    }

    fn span(&mut self, batch: &Batch, head: &SpanHead, pods: &[u32]) {
        let pod = pods[head.resource_idx as usize];
        let service = self.window.pods[pod as usize].service;
        let name = self.window.names.intern(head.name.of(&batch.bytes));
        let nodes = &mut self.window.nodes;
        let node = Node { service, name, kind: head.kind };
        let node = *self.node_ids.entry(node).or_insert_with(|| {
            nodes.push(node);
            nodes.len() as u32 - 1
        });
        let begin = self.attributes.len();
        for field in Fields(head.raw.of(&batch.bytes)) {
            match field {
                (SPAN_ATTRIBUTE, Field::Bytes(message)) => {
                    let (key, value, raw) = key_value(message);
                    self.attribute(Place::Span, key, value, raw);
                }
                (SPAN_EVENT, Field::Bytes(message)) => self.event(message),
                (SPAN_STATUS, Field::Bytes(message)) => self.status(message),
                _ => {}
            }
        }
        self.rows.push(Row {
            trace_id: head.trace_id,
            span_id: head.span_id,
            parent_id: head.parent_id,
            start: head.start.0,
            end: head.end.0,
            node,
            pod,
            attributes: begin as u32,
            n_attributes: (self.attributes.len() - begin) as u32,
            status: head.status,
        });
    }

    fn event(&mut self, message: &[u8]) {
        let named = |field| matches!(field, (EVENT_NAME, Field::Bytes(b"exception")));
        if !Fields(message).any(named) {
            return;
        }
        for field in Fields(message) {
            if let (EVENT_ATTRIBUTE, Field::Bytes(attribute)) = field {
                let (key, value, raw) = key_value(attribute);
                if key == b"exception.type" {
                    self.attribute(Place::Exception, key, value, raw);
                }
            }
        }
    }

    fn status(&mut self, message: &[u8]) {
        for field in Fields(message) {
            if let (STATUS_MESSAGE, Field::Bytes(text)) = field
                && let Ok(text) = std::str::from_utf8(text)
            {
                self.attribute(Place::StatusMessage, b"status.message", ValueRef::Str(text), &[]);
            }
        }
    }

    fn attribute(&mut self, place: Place, key: &[u8], value: ValueRef<'_>, raw: &[u8]) {
        let window = &mut self.window;
        let key = window.names.intern(key);
        let value = window.values.intern(value, raw);
        let columns = &mut window.columns;
        let column = *self.column_ids.entry((place, key)).or_insert_with(|| {
            columns.push(Column { place, key, spans: Vec::new(), values: Vec::new() });
            columns.len() as u32 - 1
        });
        self.attributes.push((column, value));
    }
}

/// A trace that is a tree: its first row and its part of the order.
#[derive(Clone, Debug)]
struct Tree {
    start: u64,
    first_row: usize,
    spans: Range<usize>,
}

/// A span in preorder: its row in the trace, and its parent's place in the order.
#[derive(Clone, Copy, Debug)]
struct Placed {
    row: u32,
    parent: u32,
}

/// Appends the rows of a trace in preorder to `order` and returns the root's row, or `None` if they
/// are no single rooted tree within limits; then what was appended is void. A single span whose
/// parent is elsewhere is a root like one that names no parent. Rows come by start, so children do.
fn preorder(rows: &[Row], order: &mut Vec<Placed>) -> Option<u32> {
    let invalid = |row: &Row| row.start == 0 || row.end < row.start;
    if rows.len() > SPANS_PER_TRACE_MAX || rows.iter().any(invalid) {
        return None;
    }
    let mut by_id: Vec<(SpanId, u32)> =
        rows.iter().enumerate().map(|(at, row)| (row.span_id, at as u32)).collect();
    by_id.sort_unstable();
    if by_id.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let mut children: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
    let mut root = None;
    for (at, row) in rows.iter().enumerate() {
        match by_id.binary_search_by_key(&row.parent_id, |entry| entry.0) {
            Ok(parent) => children.push((by_id[parent].1, at as u32)),
            Err(_) if root.is_none() => root = Some(at as u32),
            Err(_) => return None,
        }
    }
    children.sort_unstable();
    let root = root?;
    let begin = order.len();
    let mut stack = vec![(root, NO_PARENT, 0)];
    while let Some((row, parent, depth)) = stack.pop() {
        if depth > TRACE_DEPTH_MAX {
            return None;
        }
        let place = (order.len() - begin) as u32;
        order.push(Placed { row, parent });
        let from = children.partition_point(|edge| edge.0 < row);
        let to = children.partition_point(|edge| edge.0 <= row);
        stack.extend(children[from..to].iter().rev().map(|edge| (edge.1, place, depth + 1)));
    }
    (order.len() - begin == rows.len()).then_some(root)
}

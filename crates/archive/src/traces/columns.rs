//! The columns of a window.

use spanwise_model::{SpanKind, StatusCode, TraceId, ValueRef};

use super::intern::{Interner, Values};

/// What [`Traces::parent`] holds for a root.
pub const NO_PARENT: u32 = u32::MAX;

/// What a span is: the key by which archives group spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// `service.name`, a number of [`Traces::names`].
    pub service: u32,
    /// The span's name, a number of [`Traces::names`].
    pub name: u32,
    /// Span kind.
    pub kind: SpanKind,
}

/// A resource: a process that sends spans, with all its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// `service.name`, a number of [`Traces::names`]; `unknown_service` if there is none.
    pub service: u32,
    /// (key, a number of [`Traces::names`]; value, a number of [`Traces::values`]) as sent,
    /// `service.name` among them if it was sent.
    pub attributes: Vec<(u32, u32)>,
}

/// Where the values of a column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Place {
    /// An attribute of the span.
    Span = 0,
    /// An attribute of its first event named `exception`; only `exception.type`.
    Exception = 1,
    /// The span's status message.
    StatusMessage = 2,
}

/// One attribute over all spans that have it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Where it was found.
    pub place: Place,
    /// Its key, a number of [`Traces::names`].
    pub key: u32,
    /// Positions of the spans, ascending.
    pub spans: Vec<u32>,
    /// Their values, numbers of [`Traces::values`], one for each of `spans`.
    pub values: Vec<u32>,
}

/// A window of traces, each one rooted tree: spans trace after trace, inside a trace in preorder
/// with children by start. Traces stand in order of root start, then of id.
///
/// All columns over spans have the same length. Built by [`Builder`](super::Builder); whoever makes
/// one otherwise keeps these invariants.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// Services, span names and attribute keys.
    pub names: Interner,
    /// Attribute values.
    pub values: Values,
    /// The distinct nodes.
    pub nodes: Vec<Node>,
    /// The distinct resources.
    pub pods: Vec<Pod>,
    /// Trace ids.
    pub trace_ids: Vec<TraceId>,
    /// Where each trace begins among the spans, and at the end their number: one more than traces.
    pub offsets: Vec<u32>,
    /// Number of each span's node.
    pub node: Vec<u32>,
    /// Position of each span's parent, [`NO_PARENT`] for roots; smaller than the span's own.
    pub parent: Vec<u32>,
    /// Distance from the root.
    pub depth: Vec<u16>,
    /// Number of each span's resource.
    pub pod: Vec<u32>,
    /// Start in nanoseconds since the epoch.
    pub start: Vec<u64>,
    /// End in nanoseconds since the epoch; not before the start.
    pub end: Vec<u64>,
    /// Status code.
    pub status: Vec<StatusCode>,
    /// Attributes, in order of first appearance; at most one column for each (place, key).
    pub columns: Vec<Column>,
}

impl Traces {
    /// How many traces there are.
    pub fn n_traces(&self) -> usize {
        self.trace_ids.len()
    }

    /// How many spans there are.
    pub fn n_spans(&self) -> usize {
        self.node.len()
    }

    /// The positions of the spans of a trace.
    pub fn spans_of(&self, trace: usize) -> std::ops::Range<usize> {
        self.offsets[trace] as usize..self.offsets[trace + 1] as usize
    }

    /// Duration of a span in nanoseconds.
    pub fn duration(&self, span: usize) -> u64 {
        self.end[span].saturating_sub(self.start[span])
    }

    /// Whether a span has status error.
    pub fn is_error(&self, span: usize) -> bool {
        self.status[span] == StatusCode::Error
    }

    /// The column of an attribute, if some span has it.
    pub fn column(&self, place: Place, key: &str) -> Option<&Column> {
        let key = self.names.find(key.as_bytes())?;
        self.columns.iter().find(|column| column.place == place && column.key == key)
    }

    /// An attribute of a resource, if it has it.
    pub fn pod_attribute(&self, pod: usize, key: &str) -> Option<ValueRef<'_>> {
        let key = self.names.find(key.as_bytes())?;
        let found = self.pods[pod].attributes.iter().find(|attribute| attribute.0 == key);
        found.map(|attribute| self.values.get(attribute.1))
    }
}

impl Column {
    /// The value of a span, if it has one. Cost: a binary search.
    pub fn of(&self, span: usize) -> Option<u32> {
        let at = self.spans.binary_search(&(span as u32)).ok()?;
        Some(self.values[at])
    }

    /// The values of all spans of a window of `n_spans`, `u32::MAX` for those that have none.
    pub fn dense(&self, n_spans: usize) -> Vec<u32> {
        let mut dense = vec![u32::MAX; n_spans];
        for (&span, &value) in self.spans.iter().zip(&self.values) {
            dense[span as usize] = value;
        }
        dense
    }
}

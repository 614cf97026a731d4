//! A window in codes: what fitting reads and generating fills, with one way to ask features.

use super::features::{Feature, Kind};
use super::topology::{NONE, Topology};

/// Which columns a node has, and where a span keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Keys of each node in their order of coding.
    pub(crate) keys: Vec<Vec<u16>>,
    /// Slot of (node, column), or `u16::MAX`.
    slots: Vec<u16>,
    n_columns: usize,
}

/// The codes of a window, spans in preorder trace after trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codes {
    /// Bucket and label of each trace.
    pub(crate) bucket: Vec<u16>,
    pub(crate) label: Vec<u32>,
    /// Bin of each trace's duration plus one.
    pub(crate) duration: Vec<u16>,
    pub(crate) offsets: Vec<u32>,
    pub(crate) trace: Vec<u32>,
    pub(crate) node: Vec<u32>,
    /// Where the slots of each span begin; slot 0 is the resource.
    pub(crate) base: Vec<u32>,
    /// Values of columns, 0 for none.
    pub(crate) slots: Vec<u16>,
    /// For each slot the one of the previous span in the trace with that column, or [`NONE`].
    pub(crate) before: Vec<u32>,
    /// Bins of gap and tail plus one.
    pub(crate) gap: Vec<u16>,
    pub(crate) tail: Vec<u16>,
    /// What is left of the trace's duration where the gap begins, and where the span does; empty
    /// unless a tree asks: see [`super::clock`].
    pub(crate) left_gap: Vec<u16>,
    pub(crate) left_tail: Vec<u16>,
    /// Buckets to one of at most 60.
    pub(crate) coarse: u16,
}

impl Layout {
    pub(crate) fn new(keys: Vec<Vec<u16>>, n_keys: usize) -> Self {
        let n_columns = n_keys + 1;
        let mut slots = vec![u16::MAX; keys.len() * n_columns];
        for (node, keys) in keys.iter().enumerate() {
            slots[node * n_columns] = 0;
            for (at, &key) in keys.iter().enumerate() {
                slots[node * n_columns + usize::from(key) + 1] = at as u16 + 1;
            }
        }
        Self { keys, slots, n_columns }
    }

    /// Where a span of a node keeps a column, if it has it.
    pub(crate) fn slot(&self, node: u32, column: u16) -> Option<u32> {
        match self.slots.get(node as usize * self.n_columns + usize::from(column)) {
            None | Some(&u16::MAX) => None,
            Some(&slot) => Some(u32::from(slot)),
        }
    }

    /// Columns of a node, the resource among them.
    pub(crate) fn n_slots(&self, node: u32) -> u32 {
        self.keys[node as usize].len() as u32 + 1
    }
}

/// How many buckets make a coarse one.
pub(crate) fn coarse(n_buckets: u32) -> u16 {
    n_buckets.div_ceil(60).max(1) as u16
}

impl Codes {
    /// A window of (bucket, label) without values.
    pub(crate) fn new(
        traces: &[(u16, u32)],
        topology: &Topology,
        layout: &Layout,
        service_of: &[u32],
        n_buckets: u32,
    ) -> Self {
        let mut codes = Self { coarse: coarse(n_buckets), ..Self::default() };
        codes.duration = vec![0; traces.len()];
        codes.offsets.push(0);
        let n_services = service_of.iter().max().map_or(0, |&last| last as usize + 1);
        let mut last = vec![NONE; layout.n_columns + n_services];
        let mut touched: Vec<usize> = Vec::new();
        for (at, &(bucket, label)) in traces.iter().enumerate() {
            codes.bucket.push(bucket);
            codes.label.push(label);
            for &(node, _) in &topology.spans(label).spans {
                let base = codes.slots.len() as u32;
                codes.trace.push(at as u32);
                codes.node.push(node);
                codes.base.push(base);
                for slot in 0..layout.n_slots(node) {
                    // A resource repeats within its service, a key within the trace.
                    let column = match slot {
                        0 => layout.n_columns + service_of[node as usize] as usize,
                        slot => usize::from(layout.keys[node as usize][slot as usize - 1]) + 1,
                    };
                    codes.slots.push(0);
                    codes.before.push(last[column]);
                    last[column] = base + slot;
                    touched.push(column);
                }
            }
            codes.offsets.push(codes.node.len() as u32);
            touched.drain(..).for_each(|column| last[column] = NONE);
        }
        codes.gap = vec![0; codes.node.len()];
        codes.tail = vec![0; codes.node.len()];
        codes
    }

    pub(crate) fn n_traces(&self) -> usize {
        self.label.len()
    }

    pub(crate) fn n_spans(&self) -> usize {
        self.node.len()
    }

    /// The value of the previous span in the trace with the column of a slot, 0 if there is none.
    pub(crate) fn before(&self, slot: usize) -> u16 {
        self.slots.get(self.before[slot] as usize).copied().unwrap_or(0)
    }

    fn column(&self, layout: &Layout, span: usize, column: u16) -> u16 {
        layout
            .slot(self.node[span], column)
            .map_or(0, |slot| self.slots[(self.base[span] + slot) as usize])
    }

    /// The value of a feature for a span; for columns of the resource and keys alike.
    pub(crate) fn feature(
        &self,
        topology: &Topology,
        layout: &Layout,
        span: usize,
        feature: Feature,
    ) -> u16 {
        let trace = self.trace[span] as usize;
        let begin = self.offsets[trace] as usize;
        let position = span - begin;
        let label = self.label[trace];
        let place = || topology.spans(label).places[position];
        let marks = || topology.marks(label, position);
        let at = |position: u32, values: &[u16]| match position {
            NONE => 0,
            position => values[begin + position as usize],
        };
        match feature.kind {
            Kind::Bucket => self.bucket[trace],
            Kind::Coarse => self.bucket[trace] / self.coarse,
            Kind::Entry => topology.spans(label).entry() as u16,
            Kind::Shape => topology.shape_of(label) as u16,
            Kind::ParentNode => match place().parent {
                NONE => 0,
                parent => self.node[begin + parent as usize] as u16 + 1,
            },
            Kind::Slot => place().slot,
            Kind::Production => place().production as u16,
            Kind::SiblingErrors => marks().siblings,
            Kind::Error => u16::from(marks().error),
            Kind::ChildError => u16::from(marks().child_error),
            Kind::TraceError => u16::from(topology.is_failure(label)),
            Kind::ParentError => match place().parent {
                NONE => 0,
                _ => 1 + u16::from(marks().parent_error),
            },
            Kind::RootError => u16::from(marks().root_error),
            Kind::Parent => match place().parent {
                NONE => 0,
                parent => self.column(layout, begin + parent as usize, feature.column),
            },
            Kind::Root if position == 0 => 0,
            Kind::Root => self.column(layout, begin, feature.column),
            Kind::Second if position <= 1 => 0,
            Kind::Second => self.column(layout, begin + 1, feature.column),
            Kind::Own => self.column(layout, span, feature.column),
            Kind::Before => match layout.slot(self.node[span], feature.column) {
                None => 0,
                Some(slot) => self.before((self.base[span] + slot) as usize),
            },
            Kind::Duration => self.duration[trace],
            Kind::ParentTail => at(place().parent, &self.tail),
            Kind::ParentGap => at(place().parent, &self.gap),
            Kind::SameTail => at(place().same, &self.tail),
            Kind::SameGap => at(place().same, &self.gap),
            Kind::SiblingTail => at(place().sibling, &self.tail),
            Kind::SiblingGap => at(place().sibling, &self.gap),
            Kind::OwnGap => self.gap[span],
            Kind::LeftBefore => self.left_gap.get(span).copied().unwrap_or(0),
            Kind::LeftAtStart => self.left_tail.get(span).copied().unwrap_or(0),
        }
    }
}

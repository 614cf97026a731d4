//! What only the whole trace can tell about a span: parent, self time, own time, gap.
//!
//! Ids and times come from outside: they may repeat, point at themselves, run in circles or form a
//! chain of a million. So nothing here recurses, everything is linear but for sorting, and nothing
//! is hashed that an attacker could choose.

use spanwise_model::{ClosedSpan, ServiceId, SpanKind};

use crate::cover::{Groups, NO_GROUP, covered};

/// No parent, or none that is in the trace.
const NONE: u32 = NO_GROUP;
/// Scratch for more spans than this is freed after use.
const N_SPANS_KEPT: usize = 8192;

/// Scratch space for resolving one trace after another without allocating.
#[derive(Debug, Default)]
pub(crate) struct Family {
    nodes: Vec<Node>,
    /// Span ids with their positions in one number, so that sorting compares integers.
    by_id: Vec<u128>,
    /// Key of each position for the grouping at hand.
    keys: Vec<u32>,
    groups: Groups,
    /// Positions, parents before children.
    order: Vec<u32>,
    /// The entry span whose own work a span is part of.
    owners: Vec<u32>,
    /// Spans whose calls are not just their children; may hold a span more than once.
    differing: Vec<u32>,
    marks: Vec<u32>,
}

/// What is needed of a head, side by side.
#[derive(Clone, Copy, Debug)]
struct Node {
    id: u64,
    parent_id: u64,
    start: u64,
    /// `None` if the times are invalid.
    duration: Option<u64>,
    parent: u32,
    service: ServiceId,
    kind: SpanKind,
}

/// What was found on the way.
#[expect(clippy::struct_field_names, reason = "counts are named n_ everywhere")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) n_duplicates: u64,
    pub(crate) n_orphans: u64,
    pub(crate) n_cycles: u64,
}

impl Family {
    pub(crate) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.by_id.capacity() * size_of::<u128>()
            + (self.keys.capacity()
                + self.order.capacity()
                + self.owners.capacity()
                + self.differing.capacity()
                + self.marks.capacity())
                * size_of::<u32>()
            + self.groups.bytes()
    }

    /// Drops duplicates, then fills in every figure of every span. O(n log n).
    pub(crate) fn resolve(&mut self, spans: &mut Vec<ClosedSpan>) -> Findings {
        let n_duplicates = self.load(spans);
        let (n_orphans, n_self_parents) = self.find_parents();
        let n_cycles = n_self_parents + self.order_and_cut();
        self.fill_self_time(spans);
        self.fill_own_time(spans);
        self.fill_gaps(spans);
        if spans.len() > N_SPANS_KEPT {
            *self = Self::default();
        }
        Findings { n_duplicates, n_orphans, n_cycles }
    }

    /// Copies the heads and sorts the ids; of equal ids the first to arrive stays.
    fn load(&mut self, spans: &mut Vec<ClosedSpan>) -> u64 {
        self.nodes.clear();
        self.nodes.extend(spans.iter().map(Node::of));
        self.sort_ids();
        let n_before = spans.len();
        let is_duplicate = |pair: &[u128]| pair[0] >> 32 == pair[1] >> 32;
        if self.by_id.windows(2).any(is_duplicate) {
            self.drop_duplicates(spans);
            self.sort_ids();
        }
        (n_before - spans.len()) as u64
    }

    fn sort_ids(&mut self) {
        self.by_id.clear();
        let ids = self.nodes.iter().enumerate();
        self.by_id.extend(ids.map(|(i, node)| u128::from(node.id) << 32 | i as u128));
        self.by_id.sort_unstable();
    }

    fn drop_duplicates(&mut self, spans: &mut Vec<ClosedSpan>) {
        self.marks.clear();
        self.marks.resize(spans.len(), 0);
        let mut first = 0;
        for i in 1..self.by_id.len() {
            if self.by_id[first] >> 32 == self.by_id[i] >> 32 {
                let position = self.by_id[i] as u32;
                self.marks[position as usize] = 1;
                // A span that was kept once must not be judged a second time.
                let kept = spans[position as usize].kept_early;
                spans[self.by_id[first] as u32 as usize].kept_early |= kept;
            } else {
                first = i;
            }
        }
        let mut marks = self.marks.iter();
        spans.retain(|_| marks.next() == Some(&0));
        let mut marks = self.marks.iter();
        self.nodes.retain(|_| marks.next() == Some(&0));
    }

    /// Numbers of orphans and of spans that name themselves.
    fn find_parents(&mut self) -> (u64, u64) {
        let (mut n_orphans, mut n_self_parents) = (0, 0);
        // Siblings often follow each other.
        let mut last = (0, NONE);
        for i in 0..self.nodes.len() {
            let parent_id = self.nodes[i].parent_id;
            if parent_id == 0 {
                continue;
            }
            if last.0 != parent_id {
                last = (parent_id, self.position(parent_id));
            }
            match last.1 {
                NONE => n_orphans += 1,
                parent if parent as usize == i => n_self_parents += 1,
                parent => self.nodes[i].parent = parent,
            }
        }
        (n_orphans, n_self_parents)
    }

    fn position(&self, id: u64) -> u32 {
        let at = self.by_id.partition_point(|&entry| entry < u128::from(id) << 32);
        match self.by_id.get(at) {
            Some(&entry) if entry >> 32 == u128::from(id) => entry as u32,
            _ => NONE,
        }
    }

    /// Puts parents before children and cuts every cycle at its member that arrived first.
    ///
    /// Every span has one parent, so what no root reaches is a set of components with one cycle
    /// each. Walking up from an unreached span ends on its cycle; once that is cut, the walk down
    /// reaches the whole component. Each span is walked over at most three times.
    fn order_and_cut(&mut self) -> u64 {
        let n = self.nodes.len();
        self.group_by_parent();
        self.order.clear();
        self.marks.clear();
        self.marks.resize(n, NONE);
        for i in 0..n as u32 {
            if self.nodes[i as usize].parent == NONE {
                self.reach(i);
            }
        }
        let mut n_cycles = 0;
        for i in 0..n as u32 {
            if self.order.len() == n {
                break;
            }
            if self.marks[i as usize] != REACHED {
                let cut = self.first_on_cycle(i);
                self.nodes[cut as usize].parent = NONE;
                self.reach(cut);
                n_cycles += 1;
            }
        }
        if n_cycles > 0 {
            self.group_by_parent();
        }
        n_cycles
    }

    fn group_by_parent(&mut self) {
        self.keys.clear();
        self.keys.extend(self.nodes.iter().map(|node| node.parent));
        self.groups.build(&self.keys);
    }

    /// Appends `from` and everything below it to the order.
    fn reach(&mut self, from: u32) {
        let mut next = self.order.len();
        self.marks[from as usize] = REACHED;
        self.order.push(from);
        while let Some(&parent) = self.order.get(next) {
            next += 1;
            for &child in self.groups.of(parent) {
                if self.marks[child as usize] != REACHED {
                    self.marks[child as usize] = REACHED;
                    self.order.push(child);
                }
            }
        }
    }

    /// The lowest position on the cycle that `from`, which no root reaches, leads into.
    fn first_on_cycle(&mut self, from: u32) -> u32 {
        let mut at = from;
        while self.marks[at as usize] != from {
            self.marks[at as usize] = from;
            at = self.nodes[at as usize].parent;
        }
        let mut lowest = at;
        let mut around = self.nodes[at as usize].parent;
        while around != at {
            lowest = lowest.min(around);
            around = self.nodes[around as usize].parent;
        }
        lowest
    }

    fn fill_self_time(&mut self, spans: &mut [ClosedSpan]) {
        for (i, span) in spans.iter_mut().enumerate() {
            let node = self.nodes[i];
            // NONE is -1 in two's complement, and positions stay far below 2^31.
            span.parent = node.parent.cast_signed();
            span.self_ns = self.uncovered(i as u32);
            span.own_ns = span.self_ns;
        }
    }

    /// Duration of a span minus what the members of its group cover; 0 if its times are invalid.
    fn uncovered(&mut self, i: u32) -> u64 {
        let Some(duration) = self.nodes[i as usize].duration else {
            return 0;
        };
        let nodes = &self.nodes;
        let start = nodes[i as usize].start;
        let members = self.groups.of_mut(i);
        match members.len() {
            0 => return duration,
            1 => {}
            _ => members.sort_unstable_by_key(|&m| nodes[m as usize].start),
        }
        let intervals = members.iter().map(|&m| nodes[m as usize].interval());
        duration - covered((start, start + duration), intervals)
    }

    /// Own time of entry spans; needs parents before children.
    ///
    /// It differs from self time only where the calls of an entry span are not just its children,
    /// so only such entry spans, if there are any, are looked at again.
    fn fill_own_time(&mut self, spans: &mut [ClosedSpan]) {
        let n = self.nodes.len();
        self.owners.clear();
        self.owners.resize(n, NONE);
        self.keys.clear();
        self.keys.resize(n, NONE);
        self.differing.clear();
        for &i in &self.order {
            let (owner, caller) = self.roles(i);
            self.owners[i as usize] = owner;
            self.keys[i as usize] = caller;
            let parent = self.nodes[i as usize].parent;
            if caller != parent {
                self.differing.extend([caller, parent].into_iter().filter(|&p| p != NONE));
            }
        }
        if self.differing.is_empty() {
            return;
        }
        self.groups.build(&self.keys);
        for at in 0..self.differing.len() {
            let i = self.differing[at];
            // A span may stand here many times, and is looked at once.
            if self.owners[i as usize] == i {
                self.owners[i as usize] = NONE;
                spans[i as usize].own_ns = self.uncovered(i);
            }
        }
    }

    /// The entry span whose work `i` is, and the entry span for which `i` is an outgoing call.
    ///
    /// An entry span owns itself. INTERNAL spans (and those without a kind) below it in the same
    /// service belong to it; CLIENT spans there are its calls, and where a service calls another
    /// without a CLIENT span, the callee's entry span is the call. Messages (PRODUCER, CONSUMER) do
    /// not block.
    fn roles(&self, i: u32) -> (u32, u32) {
        let node = &self.nodes[i as usize];
        if node.parent == NONE {
            return (i, NONE);
        }
        let parent = &self.nodes[node.parent as usize];
        let parent_owner = self.owners[node.parent as usize];
        let is_entry = matches!(node.kind, SpanKind::Server | SpanKind::Consumer)
            || parent.service != node.service;
        match node.kind {
            SpanKind::Consumer => (i, NONE),
            _ if is_entry && parent.kind == SpanKind::Producer => (i, NONE),
            // Below a CLIENT span that is a call, `parent_owner` is NONE: the call counts already.
            _ if is_entry => (i, parent_owner),
            SpanKind::Client => (NONE, parent_owner),
            SpanKind::Producer => (NONE, NONE),
            _ => (parent_owner, NONE),
        }
    }

    fn fill_gaps(&self, spans: &mut [ClosedSpan]) {
        for (node, span) in self.nodes.iter().zip(spans) {
            span.gap_ns = self.gap(node);
        }
    }

    fn gap(&self, node: &Node) -> Option<u64> {
        let caller = self.nodes.get(node.parent as usize)?;
        if caller.kind != SpanKind::Client || caller.service == node.service {
            return None;
        }
        Some(caller.duration?.saturating_sub(node.duration?))
    }
}

/// Mark of a span that stands in the order. Other marks are positions, which are smaller.
const REACHED: u32 = u32::MAX - 1;

impl Node {
    fn of(span: &ClosedSpan) -> Self {
        let head = span.head();
        Self {
            id: u64::from_be_bytes(head.span_id.0),
            parent_id: u64::from_be_bytes(head.parent_id.0),
            start: head.start.0,
            duration: head.duration_ns(),
            parent: NONE,
            service: head.service,
            kind: head.kind,
        }
    }

    /// Start and end; empty if the times are invalid.
    fn interval(&self) -> (u64, u64) {
        (self.start, self.start + self.duration.unwrap_or(0))
    }
}

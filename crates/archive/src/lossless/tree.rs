//! Spans of one trace in preorder: children by start, several roots and cycles included.

use rustc_hash::FxHashMap;

use super::window::SpanRef;

/// A span's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Position among the spans of the window.
    pub(super) span: u32,
    /// Position of the parent in this order; `None` for roots and for spans whose parent is unknown.
    pub(super) parent: Option<u32>,
    pub(super) depth: u32,
}

/// The traces of a window by start of their first root; each is a list of positions of spans.
pub(super) fn traces(spans: &[SpanRef<'_>]) -> Vec<Vec<Step>> {
    let mut by_id: FxHashMap<u128, u32> = FxHashMap::default();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (i, span) in spans.iter().enumerate() {
        let next = members.len() as u32;
        let trace = *by_id.entry(span.trace_id).or_insert(next);
        if trace == next {
            members.push(Vec::new());
        }
        members[trace as usize].push(i as u32);
    }
    let mut traces: Vec<Vec<Step>> =
        members.into_iter().map(|mut members| preorder(spans, &mut members)).collect();
    traces.sort_by_key(|steps| steps.first().map(|step| spans[step.span as usize].start));
    traces
}

fn preorder(spans: &[SpanRef<'_>], members: &mut [u32]) -> Vec<Step> {
    members.sort_by_key(|&i| (spans[i as usize].start, i));
    let mut by_id: FxHashMap<u64, u32> = FxHashMap::default();
    for (at, &i) in members.iter().enumerate() {
        by_id.entry(spans[i as usize].span_id).or_insert(at as u32);
    }
    let parent_of = |i: u32| {
        let parent = spans[i as usize].parent_id.filter(|&id| id != 0)?;
        by_id.get(&parent).copied()
    };
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); members.len()];
    let mut roots = Vec::new();
    for (at, &i) in members.iter().enumerate() {
        match parent_of(i) {
            Some(parent) if parent as usize != at => children[parent as usize].push(at as u32),
            _ => roots.push(at as u32),
        }
    }
    let mut walk = Walk { members, children, seen: vec![false; members.len()], steps: Vec::new() };
    for root in roots {
        walk.from(root);
    }
    // What is left hangs on a cycle; it is cut at its earliest span.
    for at in 0..members.len() as u32 {
        walk.from(at);
    }
    walk.steps
}

struct Walk<'a> {
    members: &'a [u32],
    children: Vec<Vec<u32>>,
    seen: Vec<bool>,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn from(&mut self, root: u32) {
        let mut stack = vec![(root, None, 0)];
        while let Some((at, parent, depth)) = stack.pop() {
            if std::mem::replace(&mut self.seen[at as usize], true) {
                continue;
            }
            let position = self.steps.len() as u32;
            self.steps.push(Step { span: self.members[at as usize], parent, depth });
            let children = self.children[at as usize].iter().rev();
            stack.extend(children.map(|&child| (child, Some(position), depth + 1)));
        }
    }
}

//! Times as offsets in the tree: where a span begins relative to what it waits for, and how long it
//! goes on after its last child.
//!
//! Per edge type the start is measured from the parent's start (children in parallel), from the end
//! of the previous sibling (in sequence), or from the parent's end (async). `tail` is the end less
//! the latest end of the span's own start and its children that are not async.

use crate::traces::{NO_PARENT, Traces};

use super::topology::{NONE, Shape, Topology};

/// What the gap of an edge type is measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reference {
    /// The parent's start.
    #[default]
    Parallel = 0,
    /// The end of the previous sibling that is not async, or the parent's start.
    Sequence = 1,
    /// The parent's end.
    Async = 2,
}

/// Gap and tail of every span, in nanoseconds; the gap of a root is 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinates {
    pub(crate) gap: Vec<i64>,
    pub(crate) tail: Vec<i64>,
}

#[derive(Clone, Copy, Default)]
struct Evidence {
    n: u64,
    n_after_parent: u64,
    n_siblings: u64,
    n_after_sibling: u64,
    from_sibling: f64,
    from_parent: f64,
}

impl Reference {
    pub(crate) fn of(number: u32) -> Self {
        match number {
            1 => Self::Sequence,
            2 => Self::Async,
            _ => Self::Parallel,
        }
    }
}

/// The edge of each span, [`NONE`] for roots.
pub(crate) fn edges_of(topology: &Topology, labels: &[u32]) -> Vec<u32> {
    let mut edges = Vec::new();
    for &label in labels {
        edges.extend(topology.spans(label).places.iter().map(|place| place.edge));
    }
    edges
}

/// What each edge type is measured from.
pub(crate) fn references(traces: &Traces, edges: &[u32], n_edges: usize) -> Vec<Reference> {
    let mut evidence = vec![Evidence::default(); n_edges];
    for (span, &edge) in edges.iter().enumerate() {
        if edge != NONE {
            let evidence = &mut evidence[edge as usize];
            evidence.n += 1;
            let parent = traces.parent[span] as usize;
            evidence.n_after_parent += u64::from(traces.start[span] >= traces.end[parent]);
        }
    }
    let mut last_end = vec![None; traces.n_spans()];
    for (span, &edge) in edges.iter().enumerate() {
        if edge == NONE || is_async(&evidence[edge as usize]) {
            continue;
        }
        let parent = traces.parent[span] as usize;
        if let Some(end) = last_end[parent] {
            let evidence = &mut evidence[edge as usize];
            let start = traces.start[span];
            evidence.n_siblings += 1;
            evidence.n_after_sibling += u64::from(start >= end);
            let log = |a: u64, b: u64| libm::log1p(a.abs_diff(b) as f64);
            evidence.from_sibling += log(start, end);
            evidence.from_parent += log(start, traces.start[parent]);
        }
        last_end[parent] = Some(traces.end[span]);
    }
    evidence
        .iter()
        .map(|e| {
            if is_async(e) {
                Reference::Async
            } else if e.n_after_sibling * 2 > e.n_siblings && e.from_sibling < e.from_parent {
                Reference::Sequence
            } else {
                Reference::Parallel
            }
        })
        .collect()
}

fn is_async(evidence: &Evidence) -> bool {
    evidence.n_after_parent * 2 > evidence.n
}

impl Coordinates {
    /// The coordinates of a window.
    pub(crate) fn of(traces: &Traces, edges: &[u32], references: &[Reference]) -> Self {
        let n = traces.n_spans();
        let mut gap = vec![0; n];
        let mut last_end: Vec<u64> = traces.start.clone();
        let mut latest: Vec<u64> = traces.start.clone();
        for (span, &edge) in edges.iter().enumerate() {
            let parent = traces.parent[span];
            if parent == NO_PARENT {
                continue;
            }
            let parent = parent as usize;
            let (start, end) = (traces.start[span], traces.end[span]);
            gap[span] = match references[edge as usize] {
                Reference::Parallel => difference(start, traces.start[parent]),
                Reference::Sequence => difference(start, last_end[parent]),
                Reference::Async => difference(start, traces.end[parent]),
            };
            if references[edge as usize] != Reference::Async {
                last_end[parent] = end;
                latest[parent] = latest[parent].max(end);
            }
        }
        let tail = (0..n).map(|span| difference(traces.end[span], latest[span])).collect();
        Self { gap, tail }
    }
}

/// a - b within the range of bins.
fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    difference.clamp(-i128::from(i64::MAX), i128::from(i64::MAX)) as i64
}

/// Scratch of [`Placer::place`], reused from trace to trace.
#[derive(Debug, Default)]
pub(crate) struct Placer {
    /// Start and end of each span after the trace's start.
    pub(crate) start: Vec<i64>,
    pub(crate) end: Vec<i64>,
    last_end: Vec<i64>,
    latest: Vec<i64>,
    /// Spans whose children are being placed, and the async ones that wait for their end.
    stack: Vec<Step>,
    /// Last child of each span; the ones before are its siblings.
    last_child: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Place a span; its parent's state is current.
    Enter(u32),
    /// All children that are not async are placed: set the end.
    Close(u32),
}

/// Times of one span: gap, tail.
pub(crate) type Offsets = (i64, i64);

impl Placer {
    /// Places the spans of a shape from time 0 on. `offsets` yields gap and tail of a position.
    /// `finish` may move an end: it gets the position, the start, the latest end before the tail
    /// and the tail, and returns the end.
    pub(crate) fn place(
        &mut self,
        shape: &Shape,
        references: &[Reference],
        offsets: impl Fn(usize) -> Offsets,
        finish: impl Fn(usize, i64, i64, i64) -> i64,
    ) {
        let n = shape.spans.len();
        for times in [&mut self.start, &mut self.end, &mut self.last_end, &mut self.latest] {
            times.clear();
            times.resize(n, 0);
        }
        self.last_child.clear();
        self.last_child.resize(n, NONE);
        for (at, place) in shape.places.iter().enumerate().skip(1) {
            self.last_child[place.parent as usize] = at as u32;
        }
        let reference = |at: u32| references[shape.places[at as usize].edge as usize];
        self.stack.clear();
        self.stack.push(Step::Enter(0));
        while let Some(step) = self.stack.pop() {
            match step {
                Step::Enter(at) => {
                    let (gap, _) = offsets(at as usize);
                    let start = self.start_of(at, shape, references, gap);
                    let at = at as usize;
                    (self.start[at], self.last_end[at], self.latest[at]) = (start, start, start);
                    self.stack.push(Step::Close(at as u32));
                    let mut child = self.last_child[at];
                    while child != NONE {
                        if reference(child) != Reference::Async {
                            self.stack.push(Step::Enter(child));
                        }
                        child = shape.places[child as usize].sibling;
                    }
                }
                Step::Close(at) => {
                    let (_, tail) = offsets(at as usize);
                    let i = at as usize;
                    let end = finish(i, self.start[i], self.latest[i], tail);
                    self.end[i] = end.max(self.start[i].saturating_add(1));
                    if at > 0 && reference(at) != Reference::Async {
                        let parent = shape.places[i].parent as usize;
                        self.last_end[parent] = self.end[i];
                        self.latest[parent] = self.latest[parent].max(self.end[i]);
                    }
                    let mut child = self.last_child[i];
                    while child != NONE {
                        if reference(child) == Reference::Async {
                            self.stack.push(Step::Enter(child));
                        }
                        child = shape.places[child as usize].sibling;
                    }
                }
            }
        }
    }

    /// Children of a span of the shape that was placed last, the last one first.
    pub(crate) fn children(&self, shape: &Shape, at: usize) -> impl Iterator<Item = usize> {
        let known = |at: u32| (at != NONE).then_some(at as usize);
        std::iter::successors(known(self.last_child[at]), move |&child| {
            known(shape.places[child].sibling)
        })
    }

    fn start_of(&self, at: u32, shape: &Shape, references: &[Reference], gap: i64) -> i64 {
        let place = shape.places[at as usize];
        if place.parent == NONE {
            return 0;
        }
        let parent = place.parent as usize;
        // Children stand in order of their starts.
        let earliest = match place.sibling {
            NONE => self.start[parent],
            sibling => self.start[sibling as usize].saturating_add(1),
        };
        let from = match references[place.edge as usize] {
            Reference::Parallel => self.start[parent],
            Reference::Sequence => self.last_end[parent],
            Reference::Async => self.end[parent],
        };
        from.saturating_add(gap).max(earliest)
    }
}

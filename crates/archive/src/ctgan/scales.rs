//! How times lie: gap and duration of a span as logarithms about that of its parent's duration, a line
//! for each kind of place.
//!
//! Networks then learn what is left, which looks much the same everywhere. The duration of a root has
//! no parent to lie about, and hardly anything to go by but the topology: where each topology has its
//! own mean, spans below do not inherit the mistake that a request of one kind took as long as one of
//! another.

use rustc_hash::FxHashMap;

use super::metadata::{Spans, difference, log_ns};
use crate::gan_options::Support;
use crate::structured::{Model, Shape};

/// Standard deviations below this are taken for it.
const DEVIATION_MIN: f32 = 1e-3;
/// Spans that a kind needs for lines of its own: they take bytes.
const OWN_ROWS_MIN: f64 = 32.0;
/// Spans by which a slope is fitted at least, and the variance that the parent's logarithm needs.
const ROWS_MIN: f64 = 16.0;
const VARIANCE_MIN: f64 = 1e-4;

/// No site.
const NONE: u32 = u32::MAX;

/// Lines by kind of place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scales {
    /// The kind of each place of each shape.
    kinds: Vec<Vec<u32>>,
    pub(crate) lines: Vec<Scale>,
}

/// How the logarithms of gap and duration of a kind of place lie about that of the parent's duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) gap: Line,
    pub(crate) duration: Line,
}

/// A number as mean + slope * (that of the parent) + deviation * x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) mean: f32,
    pub(crate) slope: f32,
    pub(crate) deviation: f32,
}

/// Kinds of places: how many, and the kind of each place of each shape.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) n: usize,
    of_shapes: Vec<Vec<u32>>,
}

impl Kinds {
    /// Follows from the topologies: call sites, or with [`Support::PerPlace`] what stands above a span
    /// and all that stands below it, in the order in which shapes have them in preorder.
    pub(crate) fn of(model: &Model, support: Support) -> Self {
        let shapes = &model.topology.shapes;
        if support != Support::PerPlace {
            let sites = shapes.iter().map(|shape| shape.spans.iter().map(|span| span.0).collect());
            return Self { n: model.sites.len(), of_shapes: sites.collect() };
        }
        let mut subtrees = FxHashMap::default();
        let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        let mut of_shape = |shape: &Shape| -> Vec<u32> {
            let below = self::subtrees(shape, &mut subtrees);
            let kind = |at: usize| {
                let next = known.len() as u32;
                let above = edge(shape, at).map_or(NONE, |edge| edge.0);
                *known.entry((above, below[at])).or_insert(next)
            };
            (0..shape.spans.len()).map(kind).collect()
        };
        let of_shapes = shapes.iter().map(&mut of_shape).collect();
        Self { n: known.len(), of_shapes }
    }
}

/// A number for what stands at and below each place: the same for equal subtrees.
fn subtrees(shape: &Shape, known: &mut FxHashMap<(u32, Vec<u32>), u32>) -> Vec<u32> {
    let mut below: Vec<Vec<u32>> = vec![Vec::new(); shape.spans.len()];
    let mut numbers = vec![0; shape.spans.len()];
    // In preorder children come later.
    for at in (0..shape.spans.len()).rev() {
        let next = known.len() as u32;
        let subtree = (shape.spans[at].0, std::mem::take(&mut below[at]));
        numbers[at] = *known.entry(subtree).or_insert(next);
        if let Some(siblings) = below.get_mut(shape.places[at].parent as usize) {
            siblings.push(numbers[at]);
        }
    }
    numbers
}

/// Sites of the parent and of a span that has one.
fn edge(shape: &Shape, at: usize) -> Option<(u32, u32)> {
    let parent = shape.spans.get(shape.places[at].parent as usize)?;
    Some((parent.0, shape.spans[at].0))
}

/// Which of the wider kinds, and two sites, or a site and a production.
type Wider = (u8, u32, u32);

/// What a kind with few spans is taken for, the nearest first: the site above and the children; the
/// edge above, for roots the one to their first child; the site.
fn wider(model: &Model, spans: &Spans, span: usize) -> [Wider; 3] {
    let trace = spans.codes.trace[span] as usize;
    let shape = model.topology.spans(spans.codes.label[trace]);
    let at = span - spans.codes.offsets[trace] as usize;
    let site = spans.codes.node[span];
    let first = shape.spans.get(at + 1).map_or(NONE, |child| child.0);
    let edge = edge(shape, at).map_or((0, site, first), |(above, site)| (1, above, site));
    let above = if edge.0 == 0 { NONE } else { edge.1 };
    [(3, above, shape.places[at].production), edge, (2, site, NONE)]
}

impl Scales {
    /// Of all gaps and durations. A kind that few spans have gets the line of a wider one.
    pub(crate) fn fit(spans: &Spans, model: &Model, support: Support) -> Self {
        let kinds = Kinds::of(model, support);
        let plain = Line { mean: 0.0, slope: 0.0, deviation: 1.0 };
        if !support.is_per_site() {
            return Self::new(kinds, |_| Scale { gap: plain, duration: plain });
        }
        let mut of_wider: FxHashMap<Wider, [Moments; 2]> = FxHashMap::default();
        let mut of_kinds = vec![([Moments::default(); 2], [(0, NONE, NONE); 3]); kinds.n];
        for span in 0..spans.codes.n_spans() {
            let (own, names) = &mut of_kinds[kind_of(&kinds.of_shapes, spans, span)];
            *names = wider(model, spans, span);
            let h = spans.log_of_parent(model, span);
            let gap =
                spans.parent(model, span).map(|p| difference(spans.start[span], spans.start[p]));
            let duration = difference(spans.end[span], spans.start[span]);
            let add = |moments: &mut [Moments; 2]| {
                if let Some(gap) = gap {
                    moments[0].add(h, log_ns(gap));
                }
                moments[1].add(h, log_ns(duration));
            };
            add(own);
            for name in *names {
                add(of_wider.entry(name).or_default());
            }
        }
        Self::new(kinds, |kind| {
            let (own, names) = of_kinds[kind];
            let all =
                [own].into_iter().chain(names.map(|n| of_wider.get(&n).copied().unwrap_or(own)));
            let all = || all.clone().enumerate();
            let is_many = |(at, moments): &(usize, [Moments; 2])| {
                moments[1].n >= if *at == 0 { OWN_ROWS_MIN } else { ROWS_MIN }
            };
            let [gap, duration] = all().find(is_many).or_else(|| all().last()).map_or(own, |m| m.1);
            Scale { gap: gap.line(), duration: duration.line() }
        })
    }

    /// Kinds with their lines.
    pub(crate) fn new(kinds: Kinds, line: impl FnMut(usize) -> Scale) -> Self {
        Self { lines: (0..kinds.n).map(line).collect(), kinds: kinds.of_shapes }
    }

    pub(super) fn of(&self, spans: &Spans, span: usize) -> &Scale {
        &self.lines[kind_of(&self.kinds, spans, span)]
    }
}

/// The kind of a span's place; labels are shapes.
fn kind_of(kinds: &[Vec<u32>], spans: &Spans, span: usize) -> usize {
    let trace = spans.codes.trace[span] as usize;
    let at = span - spans.codes.offsets[trace] as usize;
    kinds[spans.codes.label[trace] as usize][at] as usize
}

impl Line {
    pub(super) fn place(self, h: f64, y: f64) -> f64 {
        (y - f64::from(self.mean) - f64::from(self.slope) * h) / f64::from(self.deviation)
    }

    pub(super) fn value(self, h: f64, x: f64) -> f64 {
        x * f64::from(self.deviation) + f64::from(self.mean) + f64::from(self.slope) * h
    }
}

/// Sums over pairs (h, y).
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: f64,
    h: f64,
    y: f64,
    hh: f64,
    hy: f64,
    yy: f64,
}

impl Moments {
    fn add(&mut self, h: f64, y: f64) {
        self.n += 1.0;
        self.h += h;
        self.y += y;
        self.hh += h * h;
        self.hy += h * y;
        self.yy += y * y;
    }

    /// By least squares; level if h hardly varies. A slope outside [0, 1] would let an error in the
    /// duration of a root grow from child to child.
    fn line(self) -> Line {
        let n = self.n.max(1.0);
        let (h, y) = (self.h / n, self.y / n);
        let (var_h, var_y) = (self.hh / n - h * h, self.yy / n - y * y);
        let covariance = self.hy / n - h * y;
        let varies = self.n >= ROWS_MIN && var_h > VARIANCE_MIN;
        let slope = if varies { (covariance / var_h).clamp(0.0, 1.0) as f32 } else { 0.0 };
        let b = f64::from(slope);
        let left = (var_y - 2.0 * b * covariance + b * b * var_h).max(0.0);
        Line {
            mean: (y - f64::from(slope) * h) as f32,
            slope,
            deviation: (libm::sqrt(left) as f32).max(DEVIATION_MIN),
        }
    }
}

//! Shapes, failures, and how many traces of what there are when.

use crate::structured::Error;
use crate::structured::coder::{Coder, hash, number};
use crate::structured::model::{BUCKET_NS, Model, N_SLOTS_MAX};
use crate::structured::topology::Topology;

use super::{N_BUCKETS_MAX, N_PLACES_MAX, N_SHAPES_MAX, Stream};

type Spans = Vec<(u32, u16)>;

/// Shapes in ascending order: what a shape shares with the one before costs next to nothing.
pub(super) fn shapes<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let topology = std::mem::take(&mut model.topology);
    let failures = topology.failures.iter();
    let failures = failures.map(|f| (f.shape, f.positions.clone())).collect();
    let mut all: Vec<Spans> = topology.shapes.into_iter().map(|shape| shape.spans).collect();
    let n_sites = model.sites.len() as u32;
    let (mut last, mut n_places) = (Vec::new(), 0);
    let n_shapes_max = stream.limits.n_shapes.min(N_SHAPES_MAX);
    stream.list(0x84, &mut all, n_shapes_max, |stream, spans| {
        shape(stream, spans, &last, n_sites)?;
        n_places += spans.len() as u64;
        if n_places > stream.limits.n_spans.min(N_PLACES_MAX) {
            return Err(Error::TooMany("spans of shapes"));
        }
        last.clone_from(spans);
        Ok(())
    })?;
    model.topology = Topology::new(all, failures);
    let mut known = 0;
    model.drawn.resize(model.topology.shapes.len(), 0);
    let mut n_spans = 0_u64;
    for (at, n) in model.drawn.iter_mut().enumerate() {
        *n = stream.number(0x90, [known, 0], *n);
        known = n.ilog2_or_0();
        n_spans += u64::from(*n) * model.topology.shapes[at].spans.len() as u64;
        if u64::from(*n) > stream.limits.n_traces || n_spans > stream.limits.n_spans {
            return Err(Error::TooMany("spans"));
        }
    }
    stream.coder.check()
}

trait Magnitude {
    fn ilog2_or_0(&self) -> u32;
}

impl Magnitude for u32 {
    fn ilog2_or_0(&self) -> u32 {
        (*self + 1).ilog2()
    }
}

/// Each span in the context of its surroundings and of the shape before, as far as both agree.
fn shape<C: Coder>(
    stream: &mut Stream<C>,
    spans: &mut Spans,
    last: &[(u32, u16)],
    n_sites: u32,
) -> Result<(), Error> {
    let mut path: Vec<(u32, u32)> = Vec::new();
    let mut agrees = true;
    let mut at = 0;
    loop {
        let depth_max = if at == 0 { 0 } else { path.len() as u32 };
        // 0 ends the shape; else how far up the next span goes, plus one.
        let up = spans.get(at).map_or(0, |span| depth_max - u32::from(span.1) + 1);
        let expected = match last.get(at) {
            _ if !agrees => 0x1_0000,
            None => 0,
            Some(span) => depth_max.saturating_sub(u32::from(span.1)) + 1,
        };
        let node_expected = last.get(at).filter(|_| agrees).map_or(u32::MAX, |span| span.0);
        let (own, inner) = path.last().copied().unwrap_or((u32::MAX, 0));
        let above = path.iter().rev().nth(1).copied().unwrap_or((u32::MAX, 0));
        let contexts = [
            hash(0x91, own),
            hash(0x92, hash(own, above.1)),
            hash(0x93, hash(expected, node_expected)),
            hash(0x94, hash(hash(own, inner), hash(above.0, above.1))),
            hash(0x95, hash(own, hash(expected, depth_max))),
        ];
        let up = number(&mut stream.coder, 9, &contexts, up);
        if up == 0 {
            break;
        }
        let Some(depth) = (depth_max + 1).checked_sub(up).filter(|&d| d > 0 || at == 0) else {
            return Err(Error::Impossible("depth"));
        };
        let depth_max = stream.limits.shape_depth.min(u32::from(u16::MAX));
        if depth > depth_max || at as u32 >= stream.limits.shape_spans {
            return Err(Error::TooMany("spans in a shape"));
        }
        path.truncate(depth as usize);
        agrees &= expected == up;
        let (parent, siblings) = path.last().copied().unwrap_or((u32::MAX, 0));
        let contexts = [
            hash(0x96, parent),
            hash(0x97, hash(parent, siblings)),
            hash(0x98, hash(node_expected, u32::from(agrees))),
            hash(0x99, hash(own, up)),
            hash(0x9a, hash(hash(parent, siblings), node_expected)),
        ];
        let node = spans.get(at).map_or(0, |span| span.0);
        let node = number(&mut stream.coder, 10, &contexts, node);
        if node >= n_sites {
            return Err(Error::Impossible("call site"));
        }
        agrees &= node == node_expected;
        if let Some(parent) = path.last_mut() {
            parent.1 = hash(parent.1.wrapping_add(1), node);
        }
        path.push((node, 0));
        if stream.is_reader() {
            stream.coder.check()?;
            spans.push((node, depth as u16));
        }
        at += 1;
    }
    if at == 0 { Err(Error::Impossible("shape")) } else { Ok(()) }
}

/// Failures in ascending order, then the buckets of each label that is stored trace by trace.
pub(super) fn labelled<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let topology = std::mem::take(&mut model.topology);
    let failures = topology.failures.into_iter();
    let mut failures: Vec<(u32, Vec<u32>)> = failures.map(|f| (f.shape, f.positions)).collect();
    let shapes = topology.shapes;
    let (mut shape, mut n_places) = (0, 0_u64);
    let mut last: Vec<u32> = Vec::new();
    let n_failures_max = u32::try_from(stream.limits.n_traces).unwrap_or(u32::MAX);
    stream.list(0xa0, &mut failures, n_failures_max, |stream, (of, positions)| {
        let step = stream.number(0xa4, [0, 0], *of - shape.min(*of));
        if step > 0 {
            last.clear();
        }
        shape += step;
        *of = shape;
        let spans = shapes.get(shape as usize).ok_or(Error::Impossible("shape"))?;
        let n = spans.spans.len();
        let mut next = 0;
        let mut at = 0;
        // 0 ends the positions; else the distance to the next.
        loop {
            let step = positions.get(at).map_or(0, |&position| position + 1 - next);
            let depth = |position: u32| spans.spans.get(position as usize).map_or(0, |s| s.1 + 1);
            let before = next.checked_sub(1).map_or(u32::MAX, |p| spans.spans[p as usize].0);
            let expected = last.get(at).map_or(u32::MAX, |&p| p.wrapping_sub(next));
            let contexts = [
                hash(0xa8, at as u32),
                hash(0xa9, before),
                hash(0xaa, hash(shape, next)),
                hash(0xab, expected),
                hash(0xac, hash(u32::from(depth(next)), before)),
            ];
            let step = number(&mut stream.coder, 11, &contexts, step);
            if step == 0 {
                break;
            }
            next = next.saturating_add(step);
            if next as usize > n {
                return Err(Error::Impossible("position"));
            }
            if stream.is_reader() {
                positions.push(next - 1);
                stream.coder.check()?;
            }
            n_places += 1;
            at += 1;
        }
        n_places += n as u64;
        if at == 0 || n_places > 2 * stream.limits.n_spans.min(2 * N_PLACES_MAX) {
            return Err(Error::Impossible("failure"));
        }
        last.clone_from(positions);
        Ok(())
    })?;
    let shapes = shapes.into_iter().map(|shape| shape.spans).collect();
    model.topology = Topology::new(shapes, failures);
    Ok(())
}

/// The buckets, and in which of them the pairs fall.
pub(super) fn times<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let minutes = (model.begin_ns / BUCKET_NS) as u32;
    let width = (model.bucket_ns / BUCKET_NS) as u32;
    let minutes = stream.number(0xb0, [0, 0], minutes);
    let width = stream.number(0xb4, [0, 0], width).clamp(1, 1 << 20);
    let begin_ns = u64::from(minutes).checked_mul(BUCKET_NS);
    model.begin_ns = begin_ns.ok_or(Error::Impossible("time"))?;
    model.bucket_ns = u64::from(width) * BUCKET_NS;
    let (mut last, mut n_traces) = (0, 0_u64);
    stream.list(0xc0, &mut model.per_bucket, N_BUCKETS_MAX, |stream, n| {
        *n = stream.number(0xc4, [last_known(last), 0], *n);
        last = *n;
        n_traces += u64::from(*n);
        if n_traces > stream.limits.n_traces {
            return Err(Error::TooMany("traces"));
        }
        Ok(())
    })?;
    model.ends[1] = if stream.is_reader() { u8::MAX } else { model.ends[1] };
    if stream.version > 1 {
        pauses(stream, model)?;
        for end in &mut model.ends {
            *end = stream.below(0x158, [0, 0], u32::from(*end), 256)? as u8;
        }
    }
    pairs(stream, model)?;
    // Every trace of a bucket is drawn or a pair.
    let n_drawn: u64 = model.drawn.iter().map(|&n| u64::from(n)).sum();
    let mut left = model.per_bucket.clone();
    for &(_, bucket) in &model.pairs {
        match left[usize::from(bucket)].checked_sub(1) {
            Some(n) => left[usize::from(bucket)] = n,
            None => return Err(Error::Impossible("number of traces")),
        }
    }
    let n_left: u64 = left.iter().map(|&n| u64::from(n)).sum();
    if n_left != n_drawn {
        return Err(Error::Impossible("number of traces"));
    }
    check_slots(model, stream.limits.n_slots)
}

/// Refuses what would take too much memory to generate.
pub(in crate::structured) fn check_slots(model: &Model, n_slots_max: u64) -> Result<(), Error> {
    let is_held = model.n_slots() <= n_slots_max.min(N_SLOTS_MAX);
    if is_held { Ok(()) } else { Err(Error::TooMany("attributes")) }
}

/// Where buckets were left out, ascending, and how many.
fn pauses<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let n_buckets = model.per_bucket.len() as u32;
    let mut last = 0_u16;
    stream.list(0xc1, &mut model.pauses, n_buckets, |stream, (bucket, n)| {
        let step = stream.number(0x150, [0, 0], u32::from(*bucket - last.min(*bucket)));
        let at = u32::from(last).saturating_add(step);
        if at >= n_buckets {
            return Err(Error::Impossible("bucket"));
        }
        *bucket = at as u16;
        last = *bucket;
        *n = stream.number(0x154, [0, 0], *n);
        Ok(())
    })
}

fn last_known(last: u32) -> u32 {
    last.ilog2_or_0()
}

fn pairs<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let pairs = std::mem::take(&mut model.pairs);
    let n_buckets = model.per_bucket.len() as u32;
    let mut rest = &pairs[..];
    let mut n_spans: u64 = model
        .drawn
        .iter()
        .zip(&model.topology.shapes)
        .map(|(&n, shape)| u64::from(n) * shape.spans.len() as u64)
        .sum();
    for label in 0..model.topology.n_labels() as u32 {
        if model.drawn.get(label as usize).is_some_and(|&n| n > 0) {
            continue;
        }
        let is_failure = u32::from(model.topology.is_failure(label));
        let n = rest.partition_point(|pair| pair.0 == label);
        let (of_label, later) = rest.split_at(n);
        rest = later;
        let n = stream.number(0xc8, [is_failure, 0], n as u32);
        n_spans += u64::from(n) * model.topology.spans(label).spans.len() as u64;
        if u64::from(n) > stream.limits.n_traces || n_spans > stream.limits.n_spans {
            return Err(Error::TooMany("spans"));
        }
        let mut bucket = 0_u32;
        for at in 0..n as usize {
            let left = n - at as u32;
            let step = of_label.get(at).map_or(0, |pair| u32::from(pair.1) - bucket);
            let node = model.topology.spans(label).spans.len() as u32;
            let contexts = [
                hash(0xcc, is_failure),
                hash(0xcd, hash(bucket, is_failure)),
                hash(0xce, hash(left.min(8), bucket / 4)),
                hash(0xcf, hash(node, bucket)),
            ];
            bucket = bucket.saturating_add(number(&mut stream.coder, 12, &contexts, step));
            if bucket >= n_buckets {
                return Err(Error::Impossible("bucket"));
            }
            stream.coder.check()?;
            model.pairs.push((label, bucket as u16));
        }
    }
    Ok(())
}

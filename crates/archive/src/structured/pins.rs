//! L2: shape and duration of each trace, pinned.
//!
//! Which of a bucket's traces comes first says nothing, since starts inside a bucket are drawn; so a
//! bucket is a multiset, and only counts are written: of each shape, and of each bin of duration
//! among the traces of a shape, each from its binomial distribution given what the trees expect.
//! On a window of 20,000 traces that halves what a list would take.

use super::Error;
use super::coder::{Coder, Decoder, Encoder, hash, number};
use super::codes::Codes;
use super::features::{Feature, Kind};
use super::model::Model;
use super::tree::{LEAF_TOTAL, Leaf, Tree};

/// Bucket, label and code of the duration of each trace, ascending.
pub(crate) type Pins = Vec<(u16, u32, u16)>;

/// Counts up to this many around the mean are told by their probability.
const SPREAD_MAX: usize = 1 << 12;
/// Counts of all buckets at most, and of the durations of one label in one bucket.
const N_COUNTS_MAX: u32 = 1 << 26;
const N_BINS_MAX: u32 = 256;
/// Probability, out of 65,536, that a count lies outside what is expected.
const OUTSIDE: u32 = 8;

/// The pins of a fitted window.
pub(crate) fn pins_of(codes: &Codes) -> Pins {
    let traces = 0..codes.n_traces();
    let pin = |trace: usize| (codes.bucket[trace], codes.label[trace], codes.duration[trace]);
    let mut pins: Pins = traces.map(pin).collect();
    pins.sort_unstable();
    pins
}

/// Their section.
pub(crate) fn write(model: &Model, pins: &Pins) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let result = code(&mut encoder, model, pins);
    debug_assert_eq!(result.as_ref(), Ok(pins));
    encoder.finish()
}

/// Reads them back.
///
/// # Errors
/// The section ends early or contradicts the model.
pub(crate) fn read(model: &Model, bytes: &[u8]) -> Result<Pins, Error> {
    code(&mut Decoder::new(bytes), model, &Vec::new())
}

fn code<C: Coder>(coder: &mut C, model: &Model, pins: &Pins) -> Result<Pins, Error> {
    let mut read = Pins::new();
    let mut pairs: Vec<(u16, u32)> = model.pairs.iter().map(|&(l, b)| (b, l)).collect();
    pairs.sort_unstable();
    let mut pairs = pairs.into_iter().peekable();
    let (mut rest, mut left_of) = (&pins[..], model.drawn.clone());
    let mut n_counts = 0;
    for bucket in 0..model.per_bucket.len() {
        coder.check()?;
        let (here, later) = rest.split_at(rest.partition_point(|pin| usize::from(pin.0) == bucket));
        rest = later;
        let mut labels: Vec<(u32, u32)> = Vec::new();
        while let Some((_, label)) = pairs.next_if(|pair| usize::from(pair.0) == bucket) {
            match labels.last_mut() {
                Some(last) if last.0 == label => last.1 += 1,
                _ => labels.push((label, 1)),
            }
        }
        let n_pairs: u32 = labels.iter().map(|label| label.1).sum();
        let n_drawn = model.per_bucket[bucket].saturating_sub(n_pairs);
        if n_drawn > 0 {
            n_counts += model.topology.shapes.len() as u32;
        }
        labels.extend(shapes(coder, model, bucket, n_drawn, here)?);
        labels.sort_unstable();
        for (label, n) in labels {
            n_counts += n.min(N_BINS_MAX);
            if n_counts > N_COUNTS_MAX {
                return Err(Error::TooMany("counts of traces"));
            }
            if let Some(left) = left_of.get_mut(label as usize).filter(|left| **left > 0) {
                *left = left.checked_sub(n).ok_or(Error::Impossible("number of traces"))?;
            }
            let from = here.partition_point(|pin| pin.1 < label);
            let to = here.partition_point(|pin| pin.1 <= label);
            let known: Vec<u16> = here[from..to].iter().map(|pin| pin.2).collect();
            let place = (bucket as u16, label);
            durations(coder, model, place, n, &known, &mut read)?;
        }
    }
    Ok(read)
}

/// How many traces of a bucket have each shape that is drawn.
fn shapes<C: Coder>(
    coder: &mut C,
    model: &Model,
    bucket: usize,
    n: u32,
    here: &[(u16, u32, u16)],
) -> Result<Vec<(u32, u32)>, Error> {
    let Some(tree) = &model.shape else { return Ok(Vec::new()) };
    let leaf = &tree.leaves[tree.leaf(|_| bucket as u16)];
    let count = |label: u16| {
        let label = u32::from(label);
        let from = here.partition_point(|pin| pin.1 < label);
        (here.partition_point(|pin| pin.1 <= label) - from) as u32
    };
    let counts = multiset(coder, leaf, n, count)?;
    Ok(counts.into_iter().map(|(label, n)| (u32::from(label), n)).collect())
}

fn durations<C: Coder>(
    coder: &mut C,
    model: &Model,
    (bucket, label): (u16, u32),
    n: u32,
    known: &[u16],
    read: &mut Pins,
) -> Result<(), Error> {
    let tree = model.duration.as_ref().ok_or(Error::Impossible("tree"))?;
    let leaf = duration_leaf(tree, model, bucket, label);
    let count = |code: u16| {
        let from = known.partition_point(|&other| other < code);
        (known.partition_point(|&other| other <= code) - from) as u32
    };
    for (code, n) in multiset(coder, leaf, n, count)? {
        read.extend(std::iter::repeat_n((bucket, label, code), n as usize));
    }
    Ok(())
}

/// The expected durations of the traces of a label in a bucket.
fn duration_leaf<'a>(tree: &'a Tree, model: &Model, bucket: u16, label: u32) -> &'a Leaf {
    let coarse = super::codes::coarse(model.n_buckets());
    let topology = &model.topology;
    let leaf = tree.leaf(|feature: Feature| match feature.kind {
        Kind::Bucket => bucket,
        Kind::Coarse => bucket / coarse,
        Kind::Entry => topology.spans(label).entry() as u16,
        Kind::Shape => topology.shape_of(label) as u16,
        Kind::TraceError => u16::from(topology.is_failure(label)),
        _ => 0,
    });
    &tree.leaves[leaf]
}

/// How many of `n` things have each code of a leaf; codes that none has are left out.
fn multiset<C: Coder>(
    coder: &mut C,
    leaf: &Leaf,
    n: u32,
    count: impl Fn(u16) -> u32,
) -> Result<Vec<(u16, u32)>, Error> {
    let (mut left, mut begin) = (n, 0);
    let mut counts = Vec::new();
    for (at, (&code, &end)) in leaf.codes.iter().zip(&leaf.ends).enumerate() {
        if left == 0 {
            break;
        }
        let here = if at + 1 == leaf.codes.len() {
            left
        } else {
            let share = f64::from(end - begin) / f64::from((LEAF_TOTAL - begin).max(1));
            binomial(coder, left, share, count(code))?
        };
        begin = end;
        left -= here;
        if here > 0 {
            counts.push((code, here));
        }
    }
    Ok(counts)
}

/// Codes a number of `n` successes of probability `p` by halving what is likely.
fn binomial<C: Coder>(coder: &mut C, n: u32, p: f64, k: u32) -> Result<u32, Error> {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    let (mean, deviation) = (f64::from(n) * p, libm::sqrt(f64::from(n) * p * (1.0 - p)));
    let low = libm::floor(mean - 8.0 * deviation - 8.0).max(0.0) as u32;
    let high = (libm::ceil(mean + 8.0 * deviation + 8.0) as u32).min(n);
    let high = high.min(low + SPREAD_MAX as u32);
    if (low, high) != (0, n) {
        let outside = coder.bit_of(OUTSIDE, k < low || k > high);
        if outside {
            coder.check()?;
            let k = number(coder, 1, &[hash(1, 0)], k);
            return if k <= n { Ok(k) } else { Err(Error::Impossible("count")) };
        }
    }
    // Probabilities relative to the lowest, from their ratios; scaled so that none overflows.
    let mut logs = Vec::with_capacity((high - low + 1) as usize);
    let mut log = 0.0;
    let odds = libm::log(p / (1.0 - p));
    for k in low..=high {
        logs.push(log);
        log += odds + libm::log(f64::from(n - k).max(1e-300) / f64::from(k + 1));
    }
    let top = logs.iter().copied().fold(f64::MIN, f64::max);
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for log in logs {
        sum += libm::exp(log - top);
        sums.push(sum);
    }
    let (mut from, mut to) = (0, sums.len() - 1);
    let k = k.saturating_sub(low) as usize;
    while to - from > 1 {
        // Halve the mass, not the range.
        let middle = f64::midpoint(sums[from], sums[to]);
        let cut = sums.partition_point(|&sum| sum < middle).clamp(from + 1, to - 1);
        let all = sums[to] - sums[from];
        let share = if all > 0.0 { (sums[cut] - sums[from]) / all } else { 0.5 };
        if coder.bit_of(libm::round(share * 65_536.0) as u32, k < cut) {
            to = cut;
        } else {
            from = cut;
        }
    }
    Ok(low + from as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_back_whatever_was_expected() {
        let cases =
            [(10, 0.3, 3), (10, 0.999, 0), (1, 0.5, 1), (60_000, 0.01, 599), (500, 0.0, 77)];
        let mut encoder = Encoder::new();
        for (n, p, k) in cases {
            assert_eq!(binomial(&mut encoder, n, p, k), Ok(k));
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        for (n, p, k) in cases {
            assert_eq!(binomial(&mut decoder, n, p, 0), Ok(k));
        }
    }
}

//! L1: every trace, times and numbers to their bin. The coder is that of L0; here is what is given
//! up: distances in time and numbers are rounded to a logarithmic grid, ids are made anew, and the
//! varying parts of strings with many values are made up.
//!
//! Why a grid for all and not quantiles of each node: the promise is a relative error, and a node
//! whose durations hardly vary then costs nothing. Why the coder of L0 and not the trees of L3: it
//! learns as it goes, needs no model in the file, and comes out smaller. Each time is rounded
//! relative to times as the reader has them, so errors do not add up along a trace.

mod ends;

use std::io;

use bytes::Bytes;

use crate::compress::Summary;
use crate::container::{Container, Header, Level, Method, Section, Tag, write_archive};
use crate::error::Error;
use crate::lossless;
use crate::lossless::verbatim::Source;
use crate::options::Options;
use crate::structured::template::{fill, template_of};

/// Bins of an octave: a distance is off by 3.5 % in the median, a duration made of several by less.
const STEPS: u32 = 5;
/// Bins of an octave of the distance between a span's start and what came before it: no duration is
/// off by it, since ends are rounded relative to starts as they are read.
const STEPS_START: u32 = 3;
/// Distances below this many ns are none.
const TIME_MIN: u64 = 64;
/// Numbers below this are exact.
const NUMBER_MIN: u64 = 16;
/// Codes are stored above this, so that negative ones are positive.
const CODE_ZERO: u32 = 0x800;
/// Doubles that are no decimals keep this many bits: sign, exponent and four of the mantissa.
const DOUBLE_MASK: u64 = !((1 << 48) - 1);

/// Bins of distances in time, and of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Grids {
    pub(crate) starts: Grid,
    pub(crate) ends: Grid,
    pub(crate) numbers: Grid,
}

/// Bins that grow with the number.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// Lower edges of the bins of positive numbers, ascending.
    edges: Vec<u64>,
    /// Numbers below the first edge: kept, or taken as 0.
    keeps_small: bool,
}

impl Grids {
    pub(crate) fn new() -> Self {
        let starts = Grid { edges: edges(TIME_MIN, STEPS_START), keeps_small: false };
        let ends = Grid { edges: edges(TIME_MIN, STEPS), keeps_small: false };
        let numbers = Grid { edges: edges(NUMBER_MIN, STEPS), keeps_small: true };
        Self { starts, ends, numbers }
    }
}

fn edges(min: u64, steps: u32) -> Vec<u64> {
    let n = steps * (63 - min.ilog2());
    let growth = |k: u32| libm::exp2(f64::from(k) / f64::from(steps));
    let edge = |k: u32| libm::round(min as f64 * growth(k)) as u64;
    let mut edges: Vec<u64> = (0..n).map(edge).collect();
    edges.dedup();
    edges
}

impl Grid {
    fn n_small(&self) -> u32 {
        if self.keeps_small { self.edges[0] as u32 } else { 1 }
    }

    /// The code of the bin that holds a number, below 2^12.
    pub(crate) fn code(&self, number: i64) -> u32 {
        let magnitude = number.unsigned_abs();
        let n_below = self.edges.partition_point(|&edge| edge <= magnitude) as u32;
        let code = match n_below {
            0 if self.keeps_small => magnitude as u32,
            0 => 0,
            n => self.n_small() + n - 1,
        };
        if number < 0 { CODE_ZERO - code } else { CODE_ZERO + code }
    }

    /// The middle of a bin.
    pub(crate) fn value(&self, code: u32) -> i64 {
        let (is_negative, code) = match code.checked_sub(CODE_ZERO) {
            Some(code) => (false, code),
            None => (true, CODE_ZERO - code),
        };
        let magnitude = match code.checked_sub(self.n_small()) {
            None => u64::from(code),
            Some(bin) => {
                let last = self.edges.len() - 1;
                let bin = (bin as usize).min(last);
                let high = self.edges.get(bin + 1).map_or(i64::MAX as u64, |edge| edge - 1);
                u64::midpoint(self.edges[bin], high)
            }
        };
        let value = magnitude.min(i64::MAX as u64).cast_signed();
        if is_negative { -value } else { value }
    }
}

/// What stands for a string of a column with many of them: its form.
pub(crate) fn form(text: &[u8]) -> Vec<u8> {
    template_of(text).unwrap_or_else(|| {
        let plain: Vec<u8> = text.iter().map(|&byte| if byte < 3 { b'?' } else { byte }).collect();
        template_of(&plain).unwrap_or_default()
    })
}

/// A double of the same sign and about the same size.
pub(crate) fn rounded(double: [u8; 8]) -> [u8; 8] {
    (u64::from_le_bytes(double) & DOUBLE_MASK).to_le_bytes()
}

/// How generated spans are named and marked.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    key: [u8; 32],
    archive_id: [u8; 16],
}

impl Mark {
    pub(crate) fn new(archive_id: [u8; 16]) -> Self {
        Self { key: blake3::derive_key("spanwise archive ids", &archive_id), archive_id }
    }

    /// An id of a `kind` by its number in a block: bytes that nobody guesses without the archive.
    pub(crate) fn id<const N: usize>(&self, kind: u8, block: u32, number: u64) -> [u8; N] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[kind]);
        hasher.update(&block.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        let mut id = [0; N];
        hasher.finalize_xof().fill(&mut id);
        id
    }

    /// A string of a form. The same form in the same column of the same trace is the same string.
    pub(crate) fn text(&self, form: &[u8], (block, trace, column): (u32, u64, u32)) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"text");
        hasher.update(&block.to_le_bytes());
        hasher.update(&trace.to_le_bytes());
        hasher.update(&column.to_le_bytes());
        hasher.update(form);
        let mut words = hasher.finalize_xof();
        fill(form, || {
            let mut word = [0; 4];
            words.fill(&mut word);
            u32::from_le_bytes(word)
        })
    }

    /// Attributes of a resource that say that its spans are not real, as fields of `Resource`.
    pub(crate) fn attributes(&self) -> Vec<u8> {
        let hex = format!("{:032x}", u128::from_be_bytes(self.archive_id));
        let mut out = Vec::new();
        let mut attribute = |key: &str, value: &[u8]| {
            let mut inner = Vec::new();
            lossless::put_field(&mut inner, 1, key.as_bytes());
            lossless::put_field(&mut inner, 2, value);
            lossless::put_field(&mut out, 1, &inner);
        };
        attribute("trace.synthetic", &[0x10, 1]);
        let mut text = |key: &str, value: &str| {
            let mut inner = Vec::new();
            lossless::put_field(&mut inner, 1, value.as_bytes());
            attribute(key, &inner);
        };
        text("trace.synthetic.archive_id", &hex);
        text("trace.synthetic.level", Level::NearLossless.name());
        text("trace.synthetic.method", Method::Columns.name());
        out
    }
}

/// What a near-lossless file took, and what it gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NearLossless {
    /// Ideal length of the coded traces in bytes: the sum of -log2 of the probabilities with which
    /// their symbols were coded.
    pub ideal_bytes: f64,
    /// Bytes of their sections as written.
    pub coded_bytes: u64,
    /// Median over spans of the relative error of the duration.
    pub timing_error: f64,
}

/// Compresses a window.
pub(crate) fn compress(requests: &[Bytes], options: &Options) -> Result<(Vec<u8>, Summary), Error> {
    let source = Source::read(requests)?;
    let kept = source.choose(options);
    let mut header = Header::new(Level::NearLossless, Method::Columns);
    header.seed = options.seed;
    (header.start_ns, header.end_ns) = source.times();
    (header.n_traces, header.n_spans) = source.counts();
    let n_traces_verbatim = kept.len() as u64;
    let (coded, near) = source.near_lossless(&kept)?;
    let mut sections: Vec<Section> = coded;
    if !kept.is_empty() {
        sections.extend(Source::read(requests)?.sections(&kept)?.0);
    }
    let bytes = write_archive(&header, &sections)?;
    let n_bytes_in = requests.iter().map(|request| request.len() as u64).sum();
    let near_lossless = Some(near);
    Ok((bytes, Summary { header, n_bytes_in, n_traces_verbatim, near_lossless }))
}

/// Brings a window back. Of the traces that are not verbatim no span ends before it starts.
pub(crate) fn generate(
    container: &Container,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    lossless::generate(container, Tag::VERBATIM, sink)?;
    lossless::generate(container, Tag::COLUMNS, &mut |request| sink(ends::in_order(request)))
}

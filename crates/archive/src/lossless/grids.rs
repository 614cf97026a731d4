//! What L1 gives up of a value: distances in time and numbers are rounded to a logarithmic grid, of
//! strings with many values only the form stays.

use crate::structured::template::template_of;

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
pub(super) struct Grids {
    pub(super) starts: Grid,
    pub(super) ends: Grid,
    pub(super) numbers: Grid,
}

/// Bins that grow with the number.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Lower edges of the bins of positive numbers, ascending.
    edges: Vec<u64>,
    /// Numbers below the first edge: kept, or taken as 0.
    keeps_small: bool,
}

impl Grids {
    pub(super) fn new() -> Self {
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
    pub(super) fn code(&self, number: i64) -> u32 {
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
    pub(super) fn value(&self, code: u32) -> i64 {
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
pub(super) fn form(text: &[u8]) -> Vec<u8> {
    template_of(text).unwrap_or_else(|| {
        let plain: Vec<u8> = text.iter().map(|&byte| if byte < 3 { b'?' } else { byte }).collect();
        template_of(&plain).unwrap_or_default()
    })
}

/// A double of the same sign and about the same size.
pub(super) fn rounded(double: [u8; 8]) -> [u8; 8] {
    (u64::from_le_bytes(double) & DOUBLE_MASK).to_le_bytes()
}

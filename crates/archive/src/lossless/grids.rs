//! What L1 gives up of a value: distances in time and numbers are rounded to a logarithmic grid, of
//! strings with many values only the form stays.

use crate::structured::template::template_of;

/// Bins of an octave: a number is off by 3.5 % in the median.
const STEPS: u32 = 5;
/// Bins of an octave of starts, relative to what came before them. They are parts of the durations
/// above.
const STEPS_START: u32 = 4;
/// Bins of an octave of ends: most durations are one of them, so these decide the median error, which
/// may be 3 %.
const STEPS_END: u32 = 6;
/// Bins of an octave where times are whole milliseconds or seconds: there are few times then, so finer bins
/// cost little, and timeouts that differ by a tick are told apart. More would not fit into codes.
const STEPS_COARSE: u32 = 32;
/// Ticks in ns from which times are that coarse.
const COARSE_NS: u64 = 1_000_000;
/// Bins of an octave of starts and of ends in blocks of mode 1.
const STEPS_AS_READ: [u32; 2] = [3, 5];
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
    /// Times are multiples of this many ns.
    tick: i64,
    pub(super) rounding: Rounding,
}

/// Which distance is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// From the reference as it was given. Gaps and tails are off by their bins, and what is made of them by
    /// no more.
    AsGiven,
    /// From the reference as it is read, numbers from the last one: blocks of mode 1. No time is off by
    /// more than its bin, but a short span behind a long wait is lost in the bin of the wait.
    AsRead,
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
    /// Bins of times that are multiples of `tick` ns.
    pub(super) fn new(tick: u64) -> Self {
        let is_coarse = tick >= COARSE_NS;
        let steps = if is_coarse { [STEPS_COARSE; 2] } else { [STEPS_START, STEPS_END] };
        Self::with(Rounding::AsGiven, tick, steps)
    }

    /// Bins of blocks of mode 1.
    pub(super) fn as_read() -> Self {
        Self::with(Rounding::AsRead, 1, STEPS_AS_READ)
    }

    fn with(rounding: Rounding, tick: u64, [starts, ends]: [u32; 2]) -> Self {
        let min = (TIME_MIN / tick).max(1);
        let starts = Grid { edges: edges(min, starts), keeps_small: false };
        let ends = Grid { edges: edges(min, ends), keeps_small: false };
        let numbers = Grid { edges: edges(NUMBER_MIN, STEPS), keeps_small: true };
        Self { starts, ends, numbers, tick: tick.cast_signed(), rounding }
    }

    /// The code of the bin of a distance in time.
    pub(super) fn code(&self, grid: &Grid, distance: i64) -> u32 {
        let ticks = match self.tick {
            1 => distance,
            tick => distance.saturating_add(tick / 2).div_euclid(tick),
        };
        grid.code(ticks)
    }

    /// The distance in time as which a bin is read.
    pub(super) fn distance(&self, grid: &Grid, code: u32) -> i64 {
        grid.value(code).wrapping_mul(self.tick)
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

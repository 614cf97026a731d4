//! Logarithmic bins for durations: 16 per octave from 2^12 ns (4 us) to 2^38 ns (275 s).
//!
//! Within an octave the bins are of equal width, so a bin is found from the position of the
//! highest bit and the four bits below it: no logarithm, no floating point, no rounding. (The
//! usual trick takes the same five bits from the bits of an `f32`; that conversion rounds to 24
//! bits and so puts a value just below an edge into the bin above it.) A bin is 4.4 to 6.3 % wide.

/// Bits below the highest one that choose the bin within an octave.
const SUB_BITS: u32 = 4;
const N_SUB: usize = 1 << SUB_BITS;
/// The first octave starts at 2^12 ns: below 4 us a span measures the clock.
const FIRST_EXPONENT: u32 = 12;
const N_OCTAVES: usize = 26;

/// The fixed grid of latency models. It holds no state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grid;

impl Grid {
    /// Number of bins: 26 octaves of 16.
    pub const N_BINS: usize = N_OCTAVES * N_SUB;
    /// Bins per octave.
    pub const BINS_PER_OCTAVE: usize = N_SUB;

    /// The bin of a duration of `ns` nanoseconds, below [`Grid::N_BINS`]. Shorter durations than
    /// 2^12 ns share bin 0 with the first true one, those from 2^38 ns on share the last bin.
    #[inline]
    pub const fn bin_of(ns: u64) -> usize {
        if ns >= 1 << (FIRST_EXPONENT + N_OCTAVES as u32) {
            return Self::N_BINS - 1;
        }
        if ns < 1 << FIRST_EXPONENT {
            return 0;
        }
        let exponent = ns.ilog2();
        let top_bits = (ns >> (exponent - SUB_BITS)) as usize;
        ((exponent - FIRST_EXPONENT) as usize) * N_SUB + top_bits - N_SUB
    }

    /// The least duration of `bin` in nanoseconds, so that `bin_of(ns) < bin` exactly when
    /// `ns < lower_edge_ns(bin)`: 0 for bin 0. For [`Grid::N_BINS`] and above it is 2^38, the
    /// nominal upper end of the last bin.
    pub const fn lower_edge_ns(bin: usize) -> u64 {
        if bin == 0 {
            return 0;
        }
        if bin >= Self::N_BINS {
            return 1 << (FIRST_EXPONENT + N_OCTAVES as u32);
        }
        let exponent = FIRST_EXPONENT + (bin / N_SUB) as u32;
        ((N_SUB + bin % N_SUB) as u64) << (exponent - SUB_BITS)
    }

    /// The middle of `bin` in nanoseconds, between its edges (for bin 0 between 2^12 ns and its
    /// upper edge, since shorter durations are rare guests there). `bin` is clamped to the grid.
    pub const fn mid_ns(bin: usize) -> u64 {
        let bin = if bin < Self::N_BINS { bin } else { Self::N_BINS - 1 };
        let lower = if bin == 0 { 1 << FIRST_EXPONENT } else { Self::lower_edge_ns(bin) };
        u64::midpoint(lower, Self::lower_edge_ns(bin + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ns: u64, bin: usize) {
        assert_eq!(Grid::bin_of(ns), bin, "{ns} ns");
    }

    #[test]
    fn known_durations_fall_into_known_bins() {
        check(0, 0);
        check(4_095, 0);
        check(4_096, 0);
        check(4_351, 0);
        check(4_352, 1);
        check(8_192, 16);
        check(1_000_000, 126);
        check((1 << 38) - 1, 415);
        check(1 << 38, 415);
        check(u64::MAX, 415);
    }

    #[test]
    fn every_edge_separates_its_two_bins_exactly() {
        for bin in 1..Grid::N_BINS {
            let edge = Grid::lower_edge_ns(bin);
            check(edge, bin);
            check(edge - 1, bin - 1);
        }
        assert_eq!(Grid::lower_edge_ns(0), 0);
        assert_eq!(Grid::lower_edge_ns(Grid::N_BINS), 1 << 38);
        assert_eq!(Grid::lower_edge_ns(usize::MAX), 1 << 38);
    }

    #[test]
    fn the_middle_of_a_bin_lies_inside_it() {
        for bin in 0..Grid::N_BINS {
            check(Grid::mid_ns(bin), bin);
        }
        assert_eq!(Grid::mid_ns(usize::MAX), Grid::mid_ns(Grid::N_BINS - 1));
    }

    #[test]
    fn the_exact_bin_equals_the_float_trick_where_the_float_is_exact() {
        let by_float = |ns: u64| ((ns as f32).to_bits() >> 19) as usize - ((127 + 12) << 4);
        for ns in (1_u64 << 12)..(1 << 16) {
            check(ns, by_float(ns));
        }
    }
}

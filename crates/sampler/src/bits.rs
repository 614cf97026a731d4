//! Scores are in bits and stored as `u16`; this is the arithmetic between the two.
//!
//! The logarithm is our own: additions and multiplications only, so that two machines agree to the
//! bit (the one of std may not), and good to 10^-5, far finer than the 1/1024 bit of a stored score.

/// Stored scores per bit.
const SCALE: f32 = 1024.0;
/// The least score: a bin as dense as a half-space forest can say, 2^8 times uniform.
pub(crate) const SCORE_MIN: f32 = -16.0;

/// A score against one reference, stored as `(bits + 16) * 1024`. [`Stored::NOT_SLOW`] is the
/// lowest: the bin lies at or below the median, on the fast side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stored(pub(crate) u16);

impl Stored {
    pub(crate) const NOT_SLOW: Self = Self(0);

    /// Rounds towards zero; what lies outside -16 .. 48 bits is clamped to it.
    pub(crate) fn of_bits(bits: f32) -> Self {
        // Casting a float saturates. 0 is left to `NOT_SLOW`.
        Self((((bits - SCORE_MIN) * SCALE) as u16).max(1))
    }

    pub(crate) fn bits(self) -> f32 {
        f32::from(self.0) / SCALE + SCORE_MIN
    }
}

/// Logarithm to base 2 of a positive, normal, finite number. Others give some finite number.
#[inline]
pub(crate) fn log2(x: f32) -> f32 {
    /// Least-squares fit of `log2(m) / (m - 1)` at 2,000 Chebyshev nodes of 1 .. 2.
    const FIT: [f32; 6] =
        [3.116_846, -3.327_925_2, 2.604_024_4, -1.235_076_2, 0.319_409_67, -0.034_595_21];
    let bits = x.to_bits();
    let exponent = (bits >> 23).cast_signed() - 127;
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    // Estrin's scheme: half the latency of Horner's.
    let square = m * m;
    let pair = |i: usize| FIT[i] + FIT[i + 1] * m;
    let series = pair(0) + square * (pair(2) + square * pair(4));
    exponent as f32 + (m - 1.0) * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_agrees_with_std() {
        let mut x = 1e-6_f32;
        while x < 1e9 {
            assert!((log2(x) - x.log2()).abs() < 2e-5, "{x}: {} {}", log2(x), x.log2());
            x *= 1.01;
        }
    }

    #[test]
    fn stored_scores_keep_a_thousandth_of_a_bit_and_their_order() {
        for bits in [-16.0_f32, -15.99, -3.25, 0.0, 0.5, 12.75, 26.0] {
            assert!((Stored::of_bits(bits).bits() - bits).abs() <= 1.0 / 1024.0, "{bits}");
        }
        assert!(Stored::of_bits(-99.0) > Stored::NOT_SLOW);
        assert_eq!(Stored::of_bits(1e9), Stored(u16::MAX));
        assert_eq!(Stored::of_bits(f32::NAN), Stored(1));
    }
}

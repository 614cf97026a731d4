//! Elementary functions of `f32` from additions, multiplications and divisions alone: the platform's
//! own differ from machine to machine, and what is decoded must not.
//!
//! Errors are a few units in the last place: enough for networks. Compilers may vectorise them, since
//! every element stands alone.

use std::f32::consts::{LN_2, LOG2_E, SQRT_2};

/// Adding and taking it away again rounds to an integer (ties to even) below 2^22.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts, the first with few digits, so that multiples of it are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const EXP_MIN: f32 = -87.0;
const EXP_MAX: f32 = 88.0;

/// e^x; arguments are held in [-87, 88].
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_MIN, EXP_MAX);
    let n = (x * LOG2_E + ROUNDER) - ROUNDER;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_2e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let y = p * r * r + r + 1.0;
    // 2^n by its bits; n is in [-126, 127].
    y * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// ln x of a positive normal number.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 23).cast_signed() - 127;
    let mut m = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = ((((s2 / 11.0 + 1.0 / 9.0) * s2 + 1.0 / 7.0) * s2 + 0.2) * s2 + 1.0 / 3.0) * s2;
    exponent as f32 * LN_2 + 2.0 * s * (1.0 + series)
}

/// tanh x.
pub(crate) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-9.0, 9.0);
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// The standard normal quantile of u in (0, 1): Giles' single-precision approximation of the inverse
/// error function (GPU Computing Gems, 2011).
pub(crate) fn normal_quantile(u: f32) -> f32 {
    const NEAR: [f32; 9] = [
        2.810_226_4e-8,
        3.432_739_4e-7,
        -3.523_387_7e-6,
        -4.391_506_5e-6,
        2.185_808_7e-4,
        -1.253_725e-3,
        -4.177_681_6e-3,
        2.466_407_3e-1,
        1.501_409_4,
    ];
    const FAR: [f32; 9] = [
        -2.002_142_6e-4,
        1.009_505_6e-4,
        1.349_343_2e-3,
        -3.673_428_4e-3,
        5.739_507_7e-3,
        -7.622_461_3e-3,
        9.438_870_5e-3,
        1.001_674,
        2.832_976_8,
    ];
    let x = 2.0 * u - 1.0;
    let w = -ln((4.0 * u * (1.0 - u)).max(f32::MIN_POSITIVE));
    let (coefficients, w) = if w < 5.0 { (&NEAR, w - 2.5) } else { (&FAR, w.sqrt() - 3.0) };
    SQRT_2 * x * coefficients.iter().fold(0.0, |p, c| p * w + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 4e-7;

    /// Relative to the value, or to `least` where the value is smaller.
    fn check(own: fn(f32) -> f32, exact: fn(f64) -> f64, [from, to, least]: [f32; 3]) {
        for step in 0..=1000 {
            let x = from + (to - from) * step as f32 / 1000.0;
            let (own, exact) = (f64::from(own(x)), exact(f64::from(x)));
            let scale = exact.abs().max(f64::from(least));
            assert!((own - exact).abs() <= TOLERANCE * scale, "{x}: {own} {exact}");
        }
    }

    #[test]
    fn functions_agree_with_those_of_the_platform() {
        check(exp, f64::exp, [-20.0, 20.0, 0.0]);
        check(ln, f64::ln, [1e-6, 5.0, 0.5]);
        check(ln, f64::ln, [1e3, 1e9, 0.5]);
        check(tanh, f64::tanh, [-8.0, 8.0, 1.0]);
    }

    #[test]
    fn normal_quantiles_are_those_of_tables() {
        let table = [(0.5, 0.0), (0.841_344_7, 1.0), (0.025, -1.959_964), (0.999, 3.090_232)];
        for (u, expected) in table {
            assert!((normal_quantile(u) - expected).abs() < 2e-5, "{u}");
        }
        assert!(normal_quantile(1e-7).is_finite() && normal_quantile(0.999_999_9).is_finite());
    }

    #[test]
    fn extremes_stay_finite() {
        assert!(exp(1e9).is_finite() && exp(-1e9) > 0.0);
        assert_eq!((tanh(1e9) > 0.999_999, tanh(-1e9) < -0.999_999), (true, true));
    }
}

//! `ot=th`: the rejection threshold that a keep by chance leaves on a span.
//!
//! R is the `rv` sub-key, else the last 7 bytes of the trace id. A keep of probability p has the
//! threshold T = (1 - p) 2^56 and keeps if R >= T. A keep by content has probability 1 in its
//! stratum and leaves what came in. A threshold is only ever raised.

/// 2^56: a threshold that keeps nothing.
pub const FULL: u64 = 1 << 56;
/// Significant digits after the leading `f`s.
const DIGITS: u32 = 4;

/// What becomes of the `th` sub-key of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// As it came.
    Leave,
    /// This threshold, out of 2^56, replaces it.
    Write(u64),
    /// It is removed: with what probability the span was kept is not known.
    Erase,
}

/// The threshold of a probability, rounded to 4 significant hexadecimal digits after leading `f`s,
/// as it is written. 1 and above give 0, 0 and NaN give [`FULL`].
pub fn of_probability(p: f64) -> u64 {
    if p >= 1.0 {
        return 0;
    }
    if p.is_nan() || p <= 0.0 {
        return FULL;
    }
    let exact = ((1.0 - p) * FULL as f64) as u64;
    let n_leading = (!(exact << 8)).leading_zeros() / 4;
    let kept = (n_leading + DIGITS).min(14);
    let unit = 1_u64 << (4 * (14 - kept));
    // Rounding up to 2^56 would keep nothing.
    ((exact + unit / 2) / unit * unit).min(FULL - 1)
}

/// The probability of a threshold.
pub fn probability(threshold: u64) -> f64 {
    (FULL.saturating_sub(threshold)) as f64 / FULL as f64
}

/// The digits of a threshold below 2^56: 1 to 14, trailing zeros removed, `0` = all are kept.
pub fn digits(threshold: u64) -> String {
    let text = format!("{:014x}", threshold.min(FULL - 1));
    let text = text.trim_end_matches('0');
    if text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// What a span with an incoming threshold (0 = none or all) leaves with, when its trace was kept by
/// chance with `own` (0 = by content). `erase`: the keep's probability is not known.
pub const fn outgoing(incoming: u64, randomness: u64, own: u64, erase: bool) -> Outgoing {
    if randomness < incoming {
        // It should not be here: its threshold is not true.
        return Outgoing::Erase;
    }
    if erase {
        return if incoming == 0 { Outgoing::Leave } else { Outgoing::Erase };
    }
    if own > incoming { Outgoing::Write(own) } else { Outgoing::Leave }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_written_with_four_digits() {
        let check = |p: f64, expected: &str| assert_eq!(digits(of_probability(p)), expected, "{p}");
        check(0.01, "fd70a");
        check(0.1, "e666");
        check(1.0 / 3.0, "aaab");
        check(0.5, "8");
        check(1.0, "0");
        check(7.0, "0");
        check(1e-30, "ffffffffffffff");
    }

    #[test]
    fn a_written_threshold_keeps_its_probability_within_a_thousandth() {
        for i in 1..1000 {
            let p = f64::from(i) / 1000.0;
            let found = probability(of_probability(p));
            assert!((found / p - 1.0).abs() < 1e-3, "{p}: {found}");
        }
        assert_eq!(of_probability(f64::NAN), FULL);
        assert_eq!(of_probability(-1.0), FULL);
    }

    #[test]
    fn thresholds_are_raised_never_lowered() {
        let half = FULL / 2;
        let check = |incoming, own, erase, expected| {
            assert_eq!(outgoing(incoming, FULL - 1, own, erase), expected);
        };
        check(0, 0, false, Outgoing::Leave);
        check(half, 0, false, Outgoing::Leave);
        check(0, half, false, Outgoing::Write(half));
        check(half, half / 2, false, Outgoing::Leave);
        check(half, half + 1, false, Outgoing::Write(half + 1));
        check(half, 0, true, Outgoing::Erase);
        check(0, 0, true, Outgoing::Leave);
        // A span that its own threshold should have rejected.
        assert_eq!(outgoing(half, half - 1, 0, false), Outgoing::Erase);
    }
}

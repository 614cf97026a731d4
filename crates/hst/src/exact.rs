//! How far counting is exact: the sums behind a score are integers that must stay below 2^53.

use crate::error::Error;

/// The largest total mass for which no sum of any formula exceeds 2^53: `2^53 / (T 2^(h+1))`.
pub(crate) const fn total_max(n_trees: usize, height: usize) -> u64 {
    (1 << 53) / ((n_trees as u64) << (height + 1))
}

/// `total` as a count of observations, if it is exact and leaves room for one more.
pub(crate) fn count(total: u64, total_max: u64) -> Result<u32, Error> {
    match u32::try_from(total) {
        Ok(count) if total <= total_max && count < u32::MAX => Ok(count),
        _ => Err(Error::TooManyObservations),
    }
}

/// The sum of two counts, within the same bounds.
pub(crate) fn sum(a: u32, b: u32, total_max: u64) -> Result<u32, Error> {
    count(u64::from(a) + u64::from(b), total_max)
}

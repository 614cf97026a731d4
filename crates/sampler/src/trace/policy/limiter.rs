//! A bucket of tokens: so many a second, and so many at once.
//!
//! Filled at first, refilled continuously, as the limiter that the Collector's policies use. What does
//! not fit takes nothing, so that a smaller trace after it still can. In whole tokens of 1e-9, so that
//! the same times give the same answers on every machine.

use spanwise_model::Timestamp;

use super::Error;

/// Parts of a token.
const PARTS: u128 = 1_000_000_000;

/// A bucket of tokens, and what it is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limiter {
    per_second: u64,
    burst: u64,
    /// 1e-9 tokens; at most `burst` tokens.
    parts: u128,
    last: Timestamp,
}

impl Limiter {
    /// `per_second` tokens a second, at most `burst` at once; `None` = twice the rate. A trace that
    /// costs more than `burst` never passes.
    ///
    /// # Errors
    /// Numbers of zero or less: they would keep nothing for ever.
    pub fn new(per_second: i64, burst: Option<i64>) -> Result<Self, Error> {
        let per_second = positive(per_second, "the rate")?;
        let burst = match burst {
            Some(burst) => positive(burst, "the burst capacity")?,
            None => per_second.saturating_mul(2),
        };
        let parts = u128::from(burst) * PARTS;
        Ok(Self { per_second, burst, parts, last: Timestamp::default() })
    }

    /// The same for one of `n` that share the traces evenly: the rate is divided, 1 at least, the
    /// burst is not, since it also bounds the size of a single trace.
    #[must_use]
    pub fn shared(self, n: u32) -> Self {
        Self { per_second: (self.per_second / u64::from(n.max(1))).max(1), ..self }
    }

    /// Takes `n` tokens, or none and says `false`. `now` does not go backwards.
    pub fn take(&mut self, n: u64, now: Timestamp) -> bool {
        let elapsed_ns = u128::from(now.since(self.last));
        self.last = self.last.max(now);
        let full = u128::from(self.burst) * PARTS;
        self.parts = full.min(self.parts + elapsed_ns * u128::from(self.per_second));
        let cost = u128::from(n) * PARTS;
        let fits = cost <= self.parts;
        if fits {
            self.parts -= cost;
        }
        fits
    }
}

fn positive(number: i64, name: &'static str) -> Result<u64, Error> {
    match u64::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Error::Range { name, expected: "1 or more" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_is_emptied_and_fills_again() {
        let mut limiter = Limiter::new(10, Some(20)).unwrap();
        let at = Timestamp::from_millis;
        assert!(limiter.take(15, at(1_000)));
        assert!(!limiter.take(6, at(1_000)), "5 are left");
        assert!(limiter.take(5, at(1_000)), "what did not fit took nothing");
        assert!(!limiter.take(1, at(1_099)));
        assert!(limiter.take(1, at(1_100)));
        assert!(!limiter.take(21, at(90_000)), "more than the burst never passes");
        assert!(limiter.take(20, at(90_000)));
    }

    #[test]
    fn shares_divide_the_rate_and_not_the_burst() {
        let mut limiter = Limiter::new(8, None).unwrap().shared(4);
        assert!(limiter.take(16, Timestamp::from_secs(1)));
        assert!(!limiter.take(3, Timestamp::from_secs(2)));
        assert!(limiter.take(2, Timestamp::from_secs(2)));
        assert_eq!(Limiter::new(3, None).unwrap().shared(16).per_second, 1);
    }

    #[test]
    fn a_rate_of_nothing_is_refused_and_extremes_do_not_overflow() {
        assert!(Limiter::new(0, None).is_err());
        assert!(Limiter::new(5, Some(0)).is_err());
        assert!(Limiter::new(-3, None).is_err());
        let mut limiter = Limiter::new(i64::MAX, Some(i64::MAX)).unwrap();
        assert!(!limiter.take(u64::MAX, Timestamp(u64::MAX)));
        assert!(limiter.take(1, Timestamp(0)));
    }
}

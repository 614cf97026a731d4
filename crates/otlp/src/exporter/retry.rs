//! When to try again: exponential backoff with full jitter, and what a server asks for.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// First bound of the pause.
const FIRST: Duration = Duration::from_secs(1);
/// Last bound of the pause.
const LAST: Duration = Duration::from_secs(30);
/// A server cannot make us wait longer.
const ASKED_MAX: Duration = Duration::from_mins(5);
/// Part of an asked pause that is added at random, so that clients do not come back together.
const ASKED_JITTER: f64 = 0.1;

/// Pauses between attempts. Deterministic for a seed.
#[derive(Clone, Debug)]
pub struct Backoff {
    state: u64,
    n_attempts: u32,
}

impl Backoff {
    /// The first pause is at most 1 s.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, n_attempts: 0 }
    }

    /// The next pause: between 0 and 1 s, 2 s, 4 s, up to 30 s, evenly; or what the server asked
    /// for, at most 5 minutes, and up to a tenth more.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let jitter = self.unit();
        let bound = FIRST.saturating_mul(1 << self.n_attempts.min(16)).min(LAST);
        self.n_attempts = self.n_attempts.saturating_add(1);
        match asked {
            Some(asked) => asked.min(ASKED_MAX).mul_f64(1.0 + ASKED_JITTER * jitter),
            None => bound.mul_f64(jitter),
        }
    }

    /// After a success.
    pub const fn reset(&mut self) {
        self.n_attempts = 0;
    }

    /// Evenly in [0, 1): `SplitMix64`, whose every seed is good.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What `Retry-After` asks for: seconds, or a date, which is read against the server's own `Date`,
/// so that neither clock matters. `None` if it is absent or makes no sense.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    // A date that has passed asks for nothing.
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pauses_stay_within_their_bounds_and_repeat_for_a_seed() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            for bound_s in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
                let pause = backoff.next(None).as_secs_f64();
                assert!((0.0..bound_s).contains(&pause), "{pause} {bound_s}");
            }
            let asked = backoff.next(Some(Duration::from_secs(10))).as_secs_f64();
            assert!((10.0..11.0).contains(&asked), "{asked}");
            assert!(backoff.next(Some(Duration::MAX)) <= ASKED_MAX.mul_f64(1.0 + ASKED_JITTER));
            backoff.reset();
            assert!(backoff.next(None) < FIRST);
        }
        assert_eq!(Backoff::new(7).next(None), Backoff::new(7).next(None));
        assert_ne!(Backoff::new(7).next(None), Backoff::new(8).next(None));
    }

    fn check(retry_after_text: &str, date: &str, expected_s: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after_text).unwrap());
        headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        assert_eq!(
            retry_after(&headers),
            expected_s.map(Duration::from_secs),
            "{retry_after_text}"
        );
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        check("120", date, Some(120));
        check("Wed, 21 Oct 2026 07:29:30 GMT", date, Some(90));
        check("Wed, 21 Oct 2026 07:00:00 GMT", date, Some(0));
        check("Wed, 21 Oct 2026 07:29:30 GMT", "yesterday", None);
        check("soon", date, None);
        check("-1", date, None);
    }
}

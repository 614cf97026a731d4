//! How many of a site's spans have been slow in the last seconds.
//!
//! One slow span among fast ones is an outlier; a slow span among slow ones belongs to an incident.
//! The share is taken over a sliding window of 15 s made of two buckets, the older one weighted by
//! how much of it still lies in the window: no queue, no exponential, no per-span decay.

use spanwise_model::Timestamp;

use crate::bits::log2;

/// Length of the window. Incidents of interest last minutes; a shorter window is noisy at sites
/// with a few spans a second.
const WINDOW_NS: u64 = 15 * 1_000_000_000;
/// What is counted as slow: above the 99th percentile of the trusted reference.
const SHARE_USUAL: f32 = 0.01;
/// Weight of the usual share, in spans, so that two slow spans in a row are no crowd.
const PRIOR: f32 = 50.0;
/// A crowd begins here. What is usual wavers around 1 %; an incident makes most spans slow.
const SHARE_CROWD: f32 = 0.08;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) n_spans: u32,
    pub(crate) n_slow: u32,
}

/// Sliding counts of one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// When the current bucket began, a multiple of the window.
    pub(crate) began_ns: u64,
    pub(crate) current: Bucket,
    pub(crate) previous: Bucket,
    /// What other shards have not been told of.
    news: Bucket,
}

impl Crowd {
    /// The share of slow spans in the last 15 s over 8 %, in bits: 0 (no crowd) to 3.6 (all slow).
    #[inline]
    pub(crate) fn bits(&mut self, now: Timestamp) -> f32 {
        self.advance(now);
        if self.previous.n_slow + self.current.n_slow == 0 {
            return 0.0;
        }
        let passed_ns = now.as_ns().saturating_sub(self.began_ns).min(WINDOW_NS);
        let left = 1.0 - passed_ns as f32 * (1.0 / WINDOW_NS as f32);
        let n_slow = left * self.previous.n_slow as f32 + self.current.n_slow as f32;
        let n_spans = left * self.previous.n_spans as f32 + self.current.n_spans as f32;
        let share = (n_slow + PRIOR * SHARE_USUAL) / (n_spans + PRIOR);
        log2(share / SHARE_CROWD).max(0.0)
    }

    /// Counts a span.
    #[inline]
    pub(crate) fn count(&mut self, is_slow: bool, now: Timestamp) {
        self.advance(now);
        self.current.n_spans = self.current.n_spans.saturating_add(1);
        self.current.n_slow = self.current.n_slow.saturating_add(u32::from(is_slow));
        self.news.n_spans = self.news.n_spans.saturating_add(1);
        self.news.n_slow = self.news.n_slow.saturating_add(u32::from(is_slow));
    }

    /// Takes what was counted since the last call.
    pub(crate) fn news(&mut self) -> Bucket {
        std::mem::take(&mut self.news)
    }

    /// Counts the spans of another shard.
    pub(crate) fn hear(&mut self, news: Bucket, now: Timestamp) {
        self.advance(now);
        self.current.n_spans = self.current.n_spans.saturating_add(news.n_spans);
        self.current.n_slow = self.current.n_slow.saturating_add(news.n_slow);
    }

    #[inline]
    fn advance(&mut self, now: Timestamp) {
        if now.as_ns() >= self.began_ns.saturating_add(WINDOW_NS) {
            self.next_bucket(now);
        }
    }

    #[cold]
    fn next_bucket(&mut self, now: Timestamp) {
        let began_ns = now.as_ns() - now.as_ns() % WINDOW_NS;
        let is_next = began_ns == self.began_ns.saturating_add(WINDOW_NS);
        self.previous = if is_next { self.current } else { Bucket::default() };
        self.current = Bucket::default();
        self.began_ns = began_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(15_000 + secs)
    }

    #[test]
    fn a_crowd_of_slow_spans_is_heard_and_forgotten() {
        let mut crowd = Crowd::default();
        for i in 0..1000 {
            crowd.count(i % 50 == 0, at(0));
        }
        assert!(crowd.bits(at(0)) <= 0.0);
        for _ in 0..1000 {
            crowd.count(true, at(15));
        }
        assert!(crowd.bits(at(16)) > 2.4, "{}", crowd.bits(at(16)));
        assert!(crowd.bits(at(29)) > crowd.bits(at(16)));
        assert!(crowd.bits(at(29)) < 3.65);
        assert!(crowd.bits(at(60)) <= 0.0);
    }

    #[test]
    fn two_slow_spans_are_no_crowd() {
        let mut crowd = Crowd::default();
        crowd.count(true, at(0));
        crowd.count(true, at(1));
        assert!(crowd.bits(at(1)) <= 0.0);
    }
}

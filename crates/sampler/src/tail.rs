//! From a score to a tail probability: which share of recent spans scored at least as high.
//!
//! Scores of all call sites go into one histogram, so that sites compare and a budget is a quantile.
//! The histogram remembers the last half hour to hour (and never fewer than 65,536 spans): with a
//! memory of minutes an incident would raise its own bar. A score costs one increment, a tail one
//! load; the table of tails is rebuilt once in 1,024 spans.

use spanwise_model::Timestamp;

/// Range of scores in bits. Scores outside fall into the outermost buckets.
const BITS_MIN: f32 = -32.0;
const BITS_MAX: f32 = 48.0;
const BUCKETS_PER_BIT: f32 = 16.0;
const N_BUCKETS: usize = ((BITS_MAX - BITS_MIN) * BUCKETS_PER_BIT) as usize;
/// A generation of counts is left behind at this age, if it holds enough spans.
const GENERATION_NS: u64 = 1800 * 1_000_000_000;
const GENERATION_SPANS: u64 = 65_536;
/// Spans between two rebuilds, once there are many.
const REBUILD_SPANS: u64 = 1024;
/// Resolution of the calibration check.
const N_CALIBRATION: usize = 64;

/// One tail in so many is looked at by the calibration check.
const CALIBRATION_EVERY: u64 = 8;

/// A tail probability, to show and to decide by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail {
    /// Share of recent spans that scored at least as high.
    pub(crate) share: f32,
    /// The same with ties settled by lot.
    pub(crate) drawn: f32,
}

/// Recent scores and the tail of every bucket.
#[derive(Clone, Debug)]
pub(crate) struct Tails {
    current: Box<[u64; N_BUCKETS]>,
    previous: Box<[u64; N_BUCKETS]>,
    /// Share of recent spans in or above a bucket; one more element, 0, ends it.
    shares: Box<[f32; N_BUCKETS + 1]>,
    n_current: u64,
    n_previous: u64,
    opened: Timestamp,
    until_rebuild: u64,
    /// Tails handed out in this generation, in equal steps of probability.
    handed_out: [u64; N_CALIBRATION],
    /// What `current` held when others were last told of it, or told us; and what a generation left
    /// behind untold.
    told: Box<[u64; N_BUCKETS]>,
    untold: Box<[u64; N_BUCKETS]>,
}

/// Scores that others have not been told of yet, as (bucket, count).
pub(crate) type TailNews = Vec<(u16, u64)>;

impl Tails {
    pub(crate) fn new() -> Self {
        Self {
            current: Box::new([0; N_BUCKETS]),
            previous: Box::new([0; N_BUCKETS]),
            shares: Box::new([1.0; N_BUCKETS + 1]),
            n_current: 0,
            n_previous: 0,
            opened: Timestamp::default(),
            until_rebuild: 1,
            handed_out: [0; N_CALIBRATION],
            told: Box::new([0; N_BUCKETS]),
            untold: Box::new([0; N_BUCKETS]),
        }
    }

    /// Takes the scores since the last call.
    pub(crate) fn news(&mut self) -> TailNews {
        let mut news = TailNews::new();
        for bucket in 0..N_BUCKETS {
            let count = self.current[bucket] - self.told[bucket] + self.untold[bucket];
            if count > 0 {
                news.push((bucket as u16, count));
            }
        }
        self.told.copy_from_slice(&*self.current);
        self.untold.fill(0);
        news
    }

    /// Adds scores of others to the recent ones: exactly as if they had been judged here.
    pub(crate) fn hear(&mut self, news: &TailNews, now: Timestamp) {
        let mut n_heard = 0;
        for &(bucket, count) in news {
            self.current[usize::from(bucket)] += count;
            self.told[usize::from(bucket)] += count;
            n_heard += count;
        }
        self.n_current += n_heard;
        self.until_rebuild = self.until_rebuild.saturating_sub(n_heard);
        if self.until_rebuild == 0 {
            self.rebuild(now);
        }
    }

    /// Share of recent spans that scored at least as high, in (0, 1]; 1 before there are any.
    /// Before the first 1,024 spans it is coarse: never below 1 / (spans + 1).
    #[cfg(test)]
    pub(crate) fn tail(&self, bits: f32) -> f32 {
        self.shares[bucket(bits)]
    }

    /// The tail of a score, which is not remembered.
    pub(crate) fn peek(&self, bits: f32, lot: f32) -> Tail {
        let bucket = bucket(bits);
        let share = self.shares[bucket];
        let above = self.shares[(bucket + 1).min(N_BUCKETS)];
        Tail { share, drawn: above + lot * (share - above) }
    }

    /// The tail of a score, which is then added to the recent ones: it does not judge itself.
    ///
    /// `lot` in [0, 1) settles ties: it is the score's place within its bucket, so that of spans
    /// that score alike any share can be kept, and drawn tails are uniform.
    #[inline]
    pub(crate) fn judge(&mut self, bits: f32, lot: f32, now: Timestamp) -> Tail {
        let Tail { share, drawn } = self.peek(bits, lot);
        self.current[bucket(bits)] += 1;
        self.n_current += 1;
        self.until_rebuild -= 1;
        if self.until_rebuild.is_multiple_of(CALIBRATION_EVERY) {
            self.check(drawn, now);
        }
        Tail { share, drawn }
    }

    /// The rarer part of the work of [`Tails::judge`].
    fn check(&mut self, drawn: f32, now: Timestamp) {
        let step = (drawn * N_CALIBRATION as f32) as usize;
        self.handed_out[step.min(N_CALIBRATION - 1)] += 1;
        if self.until_rebuild == 0 {
            self.rebuild(now);
        }
    }

    /// Greatest distance between the distribution of tails handed out and the uniform one, over
    /// the grid of 64 steps: 0 = a budget of x keeps x of the spans.
    pub(crate) fn calibration_ks(&self) -> f64 {
        let total: u64 = self.handed_out.iter().sum();
        if total == 0 {
            return 0.0;
        }
        let mut sum = 0;
        let mut ks: f64 = 0.0;
        for (step, count) in (1_u32..).zip(&self.handed_out) {
            sum += count;
            let expected = f64::from(step) / N_CALIBRATION as f64;
            ks = ks.max((sum as f64 / total as f64 - expected).abs());
        }
        ks
    }

    #[cold]
    fn rebuild(&mut self, now: Timestamp) {
        if self.opened.as_ns() == 0 {
            self.opened = now;
        }
        let is_old = now.since(self.opened) >= GENERATION_NS;
        if is_old && self.n_current >= GENERATION_SPANS {
            for (bucket, count) in self.current.iter().enumerate() {
                self.untold[bucket] += count - self.told[bucket];
            }
            self.told.fill(0);
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.fill(0);
            self.n_previous = std::mem::take(&mut self.n_current);
            self.opened = now;
            self.handed_out = [0; N_CALIBRATION];
        }
        let total = (self.n_current + self.n_previous) as f64;
        let mut at_least = 0;
        self.shares[N_BUCKETS] = 0.0;
        for bucket in (0..N_BUCKETS).rev() {
            at_least += self.current[bucket] + self.previous[bucket];
            self.shares[bucket] = ((at_least as f64 + 1.0) / (total + 1.0)) as f32;
        }
        // Few spans: rebuild at every doubling, so that the first keeps need not wait.
        self.until_rebuild = REBUILD_SPANS.min((total as u64).max(1));
    }

    /// Counts, both generations: (bucket, count in the current, count in the previous).
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u16, u64, u64)> {
        let both = self.current.iter().zip(self.previous.iter());
        let numbered = (0_u16..).zip(both).map(|(bucket, (&now, &before))| (bucket, now, before));
        numbered.filter(|&(_, now, before)| now + before > 0)
    }

    /// Clock of the current generation.
    pub(crate) fn opened(&self) -> Timestamp {
        self.opened
    }

    /// The reverse of [`Tails::counts`]; buckets out of range are ignored.
    pub(crate) fn restore(counts: &[(u16, u64, u64)], opened: Timestamp, now: Timestamp) -> Self {
        let mut tails = Self { opened, ..Self::new() };
        for &(bucket, current, previous) in counts {
            let bucket = usize::from(bucket);
            if bucket < N_BUCKETS {
                tails.current[bucket] = current;
                tails.previous[bucket] = previous;
            }
        }
        let sum = |counts: &[u64]| counts.iter().fold(0, |sum: u64, &n| sum.saturating_add(n));
        tails.n_current = sum(&*tails.current);
        tails.n_previous = sum(&*tails.previous);
        if tails.n_current + tails.n_previous > 0 {
            tails.rebuild(now);
        }
        // What is restored is no news.
        tails.told.copy_from_slice(&*tails.current);
        tails.untold.fill(0);
        tails
    }
}

#[inline]
fn bucket(bits: f32) -> usize {
    // The cast saturates: below the range and NaN give 0.
    (((bits - BITS_MIN) * BUCKETS_PER_BIT) as usize).min(N_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: u32) -> Tails {
        let mut tails = Tails::new();
        for i in 0..n {
            // A permutation of 0 .. 10 bits, so that order does not matter.
            let bits = 10.0 * ((i * 7919) % n) as f32 / n as f32;
            tails.judge(bits, (i % 17) as f32 / 17.0, Timestamp::from_secs(1));
        }
        tails
    }

    #[test]
    fn tails_are_shares_of_the_recent_scores() {
        let tails = ramp(100_000);
        for (bits, tail) in [(0.0, 1.0), (5.0, 0.5), (9.0, 0.1), (9.9, 0.0125), (20.0, 0.0)] {
            let found = tails.tail(bits);
            assert!((found - tail).abs() < 0.01, "{bits}: {found}");
        }
        assert!(tails.tail(20.0) > 0.0);
        assert!(tails.tail(f32::NAN) > 0.99);
    }

    #[test]
    fn drawn_tails_are_uniform() {
        let ks = ramp(100_000).calibration_ks();
        assert!(ks < 0.02, "{ks}");
    }

    #[test]
    fn spans_that_score_alike_are_drawn_lots() {
        let now = Timestamp::from_secs(1);
        let mut tails = Tails::new();
        for i in 0..10_000 {
            tails.judge(if i % 10 == 0 { 3.0 } else { -9.0 }, 0.5, now);
        }
        let mut drawn = |bits, lot| tails.judge(bits, lot, now).drawn;
        assert!(drawn(3.0, 0.0) < 0.001);
        assert!((drawn(3.0, 0.5) - 0.05).abs() < 0.005);
        assert!((drawn(3.0, 0.999) - 0.1).abs() < 0.005);
        assert!(drawn(99.0, 0.5) < 0.001);
    }

    #[test]
    fn nothing_is_rare_before_there_is_anything_to_compare_with() {
        let tail = Tails::new().judge(40.0, 0.0, Timestamp::from_secs(1));
        assert_eq!(tail, Tail { share: 1.0, drawn: 1.0 });
    }

    #[test]
    fn an_hour_later_the_old_scores_are_gone() {
        let mut tails = ramp(100_000);
        for minute in 0..180 {
            for _ in 0..2000 {
                tails.judge(20.0, 0.5, Timestamp::from_secs(60 * minute));
            }
        }
        assert!(tails.tail(20.0) > 0.999);
    }

    #[test]
    fn what_others_judged_counts_as_if_it_had_been_judged_here() {
        let now = Timestamp::from_secs(1);
        let (mut whole, mut one, mut other) = (Tails::new(), Tails::new(), Tails::new());
        for i in 0..100_000_u32 {
            let bits = ((i * 7919) % 1000) as f32 / 100.0;
            let at = now.plus_ns(u64::from(i) * 50_000_000);
            whole.judge(bits, 0.5, at);
            if i % 3 == 0 { &mut one } else { &mut other }.judge(bits, 0.5, at);
            if i % 500 == 0 {
                let (news, more) = (one.news(), other.news());
                one.hear(&more, at);
                other.hear(&news, at);
            }
        }
        let (news, more) = (one.news(), other.news());
        one.hear(&more, now);
        other.hear(&news, now);
        assert!(one.news().is_empty() && other.news().is_empty());
        let all = |tails: &Tails| -> u64 { tails.counts().map(|(_, a, b)| a + b).sum() };
        assert_eq!((all(&one), all(&other)), (all(&whole), all(&whole)));
        for bits in [1.0, 5.0, 9.0, 9.9] {
            assert!((one.tail(bits) - whole.tail(bits)).abs() < 0.01);
            assert!((other.tail(bits) - whole.tail(bits)).abs() < 0.01);
        }
    }

    #[test]
    fn counts_bring_back_the_same_tails() {
        let tails = ramp(3000);
        let counts: Vec<_> = tails.counts().collect();
        let now = Timestamp::from_secs(1);
        let back = Tails::restore(&counts, tails.opened(), now);
        assert_eq!(back.counts().collect::<Vec<_>>(), counts);
        assert!((back.tail(9.0) - tails.tail(9.0)).abs() < 0.01);
        Tails::restore(&[(u16::MAX, 1, 1), (3, u64::MAX / 4, u64::MAX / 4)], now, now);
    }
}

//! The budget: how many spans may be kept, and the threshold on the tail that keeps to it.
//!
//! Credit accrues with every span seen (or every second) and each keep costs one. The threshold is
//! proportional to how full the account is, so that what was not spent in quiet times is there when
//! an incident comes, and an incident that lasts is thinned to its rarest spans instead of being cut
//! off. A second, small account does the same over a minute and holds bursts to four times the
//! budget. What the threshold
//! cannot hold an empty account refuses.

use std::str::FromStr;

use spanwise_model::Timestamp;

use crate::error::Error;

const SECOND_NS: u64 = 1_000_000_000;
/// How long unspent budget is good for.
const HORIZON_S: f64 = 3600.0;
/// Over how long a burst is measured, and how many times the budget it may be.
const BURST_S: f64 = 60.0;
const BURST_FACTOR: f64 = 4.0;
/// Accounts are never smaller than what this many spans bring in, so that little traffic is not
/// chopped up.
const SPANS_MIN: f64 = 65_536.0;
/// Nobody has so many spans; a larger rate is a slip.
const PER_SECOND_MAX: f64 = 1e9;
/// Weight of the last second in the estimate of spans per second: a memory of a minute.
const RATE_WEIGHT: f64 = 1.0 / 60.0;

/// How many spans are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// This share of all spans, above 0 and at most 1. At 1 every span is kept, also those that are
    /// not judged.
    Share(f64),
    /// So many spans a second, above 0 and at most a billion.
    PerSecond(f64),
}

impl Default for Budget {
    /// 1 % of all spans.
    fn default() -> Self {
        Self::Share(0.01)
    }
}

impl Budget {
    /// Refuses what is not a number above 0, shares above 1 and rates above a billion.
    pub fn validate(self) -> Result<(), Error> {
        let is_good = match self {
            Self::Share(share) => share > 0.0 && share <= 1.0,
            Self::PerSecond(rate) => rate > 0.0 && rate <= PER_SECOND_MAX,
        };
        if is_good {
            return Ok(());
        }
        Err(Error::Setting { name: "budget", expected: "a share up to 100% or a rate above 0/s" })
    }
}

impl FromStr for Budget {
    type Err = Error;

    /// Reads `1%`, `0.5 %` or `200/s`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let expected = "a share such as 1% or a rate such as 200/s";
        let bad = || Error::Setting { name: "budget", expected };
        let text = text.trim();
        let number = |digits: &str| digits.trim().parse::<f64>().map_err(|_| bad());
        let budget = if let Some(percent) = text.strip_suffix('%') {
            Self::Share(number(percent)? / 100.0)
        } else if let Some(rate) = text.strip_suffix("/s") {
            Self::PerSecond(number(rate)?)
        } else {
            return Err(bad());
        };
        budget.validate()?;
        Ok(budget)
    }
}

/// Credit in spans.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Account {
    credit: f64,
    capacity: f64,
}

impl Account {
    fn fill(self) -> f64 {
        self.credit / self.capacity
    }

    fn add(&mut self, credit: f64) {
        self.credit = (self.credit + credit).min(self.capacity);
    }

    /// Keeps the fill: a busier process neither loses what it saved nor starts out poor.
    fn resize(&mut self, capacity: f64) {
        self.credit *= capacity / self.capacity;
        self.capacity = capacity;
    }
}

/// Spans between two looks at the accounts: a keep in between uses the threshold of before.
const SETTLE_SPANS: u32 = 64;

/// Accounts and the threshold that follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Controller {
    budget: Budget,
    horizon: Account,
    burst: Account,
    threshold: f64,
    /// Spans a second, over about a minute; `None` in the first second.
    rate: Option<f64>,
    /// End of the second being counted; 0 = none yet.
    second_end_ns: u64,
    n_in_second: u64,
    /// Spans seen since the accounts were settled.
    n_unsettled: u32,
}

impl Controller {
    pub(crate) fn new(budget: Budget) -> Self {
        let (horizon, burst) = match budget {
            Budget::Share(share) => (share * SPANS_MIN, BURST_FACTOR * share * SPANS_MIN),
            Budget::PerSecond(rate) => (rate * HORIZON_S, BURST_FACTOR * rate * BURST_S),
        };
        let mut controller = Self {
            budget,
            // Half full: the point at which the threshold equals the budget.
            horizon: Account { credit: horizon / 2.0, capacity: horizon },
            burst: Account { credit: burst, capacity: burst },
            threshold: 0.0,
            rate: None,
            second_end_ns: 0,
            n_in_second: 0,
            n_unsettled: 0,
        };
        controller.settle();
        controller
    }

    /// A span is seen.
    #[inline]
    pub(crate) fn see(&mut self, now: Timestamp) {
        self.n_unsettled += 1;
        if self.n_unsettled == SETTLE_SPANS || now.as_ns() >= self.second_end_ns {
            self.settle();
            self.advance(now);
        }
    }

    /// Lets time pass without a span.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        if self.second_end_ns > 0 {
            self.settle();
            self.advance(now);
        }
    }

    /// Whether the budget is everything: then nothing is counted against it.
    #[inline]
    pub(crate) fn keeps_all(&self) -> bool {
        matches!(self.budget, Budget::Share(share) if share >= 1.0)
    }

    /// The greatest tail probability that is kept; 0 = nothing.
    #[inline]
    pub(crate) fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Pays for a keep; `false` if an account is empty: then it must not be kept.
    pub(crate) fn pay(&mut self) -> bool {
        let is_paid = self.horizon.credit >= 1.0 && self.burst.credit >= 1.0;
        if is_paid {
            self.horizon.credit -= 1.0;
            self.burst.credit -= 1.0;
            self.settle();
        }
        is_paid
    }

    /// Credits the spans seen and follows the accounts with the threshold.
    fn settle(&mut self) {
        let n_spans = std::mem::take(&mut self.n_unsettled);
        self.n_in_second += u64::from(n_spans);
        if let Budget::Share(share) = self.budget {
            self.horizon.add(share * f64::from(n_spans));
            self.burst.add(BURST_FACTOR * share * f64::from(n_spans));
        }
        let brake = (2.0 * self.burst.fill()).min(1.0);
        self.threshold = self.share() * 2.0 * self.horizon.fill() * brake;
    }

    /// The budget as a share of the spans now seen.
    fn share(&self) -> f64 {
        match (self.budget, self.rate) {
            (Budget::Share(share), _) => share,
            (Budget::PerSecond(_), None) => 0.01,
            (Budget::PerSecond(budget), Some(rate)) => (budget / rate.max(1e-9)).min(1.0),
        }
    }

    fn advance(&mut self, now: Timestamp) {
        if now.as_ns() < self.second_end_ns {
            return;
        }
        let n_passed = (now.as_ns() - self.second_end_ns) / SECOND_NS + 1;
        let is_first = self.second_end_ns == 0;
        self.second_end_ns = (now.as_ns() / SECOND_NS).saturating_add(1).saturating_mul(SECOND_NS);
        let n_spans = std::mem::take(&mut self.n_in_second) as f64;
        if !is_first {
            self.pass(n_passed as f64, n_spans);
        }
    }

    /// So many seconds have passed in which so many spans came.
    fn pass(&mut self, passed: f64, n_spans: f64) {
        let rate = n_spans / passed;
        let weight = (passed * RATE_WEIGHT).min(1.0);
        let rate = self.rate.map_or(rate, |before| before + weight * (rate - before));
        self.rate = Some(rate);
        match self.budget {
            Budget::Share(share) => {
                self.horizon.resize(share * (rate * HORIZON_S).max(SPANS_MIN));
                self.burst.resize(BURST_FACTOR * share * (rate * BURST_S).max(SPANS_MIN));
            }
            Budget::PerSecond(budget) => {
                self.horizon.add(budget * passed);
                self.burst.add(BURST_FACTOR * budget * passed);
            }
        }
    }

    /// What a snapshot needs: credit and capacity of both accounts, and spans a second (below 0 =
    /// unknown).
    pub(crate) fn state(&self) -> [f64; 5] {
        let (horizon, burst) = (self.horizon, self.burst);
        let rate = self.rate.unwrap_or(-1.0);
        [horizon.credit, horizon.capacity, burst.credit, burst.capacity, rate]
    }

    /// The reverse of [`Controller::state`]; what cannot be is ignored. Under another budget than
    /// before the accounts keep their fill.
    pub(crate) fn restore(&mut self, [credit, capacity, burst, burst_capacity, rate]: [f64; 5]) {
        self.rate = (rate >= 0.0 && rate.is_finite()).then_some(rate);
        for (account, credit, capacity) in
            [(&mut self.horizon, credit, capacity), (&mut self.burst, burst, burst_capacity)]
        {
            if capacity > 0.0 && capacity.is_finite() && (0.0..=capacity).contains(&credit) {
                *account = match self.budget {
                    Budget::Share(_) => Account { credit, capacity },
                    Budget::PerSecond(_) => Account {
                        credit: credit / capacity * account.capacity,
                        capacity: account.capacity,
                    },
                };
            }
        }
        self.settle();
    }
}

#[cfg(test)]
mod tests;

//! Policies that share a number of spans a second.
//!
//! The first part that votes for a trace decides: it is kept if the part's allotment of this second
//! has room for it, and not kept otherwise; no later part is asked. Seconds are those of the wall
//! clock. As in the Collector, each part is held to its own allotment and to the total, but the parts'
//! sum is not: allotments of more than 100 % together may keep more than the total.

use std::sync::Arc;

use spanwise_model::Timestamp;

use super::Error;
use super::rule::{Case, Odds, Rule, Vote};

/// Parts that share a number of spans a second.
#[derive(Clone, Debug)]
pub struct Composite {
    spans_per_second: u64,
    second: u64,
    parts: Vec<Part>,
}

/// A part of a [`Composite`].
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: Arc<str>,
    /// What it votes for.
    pub rule: Rule,
    percent: Option<u32>,
    allotted: u64,
    taken: u64,
}

impl Part {
    /// A part with `percent` of the spans; `None` or 0 = as much as if all parts had the same.
    pub fn new(name: impl Into<Arc<str>>, rule: Rule, percent: Option<u32>) -> Self {
        Self { name: name.into(), rule, percent, allotted: 0, taken: 0 }
    }
}

impl Composite {
    /// Parts in the order in which they are asked.
    ///
    /// # Errors
    /// No parts, or no spans for them.
    pub fn new(spans_per_second: i64, parts: Vec<Part>) -> Result<Self, Error> {
        if parts.is_empty() {
            return Err(Error::Empty("composite"));
        }
        let Some(spans_per_second) = u64::try_from(spans_per_second).ok().filter(|n| *n > 0) else {
            return Err(Error::Range { name: "max_total_spans_per_second", expected: "1 or more" });
        };
        let mut composite = Self { spans_per_second, second: 0, parts };
        composite.allot();
        Ok(composite)
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.parts.iter().map(|part| &part.rule)
    }

    pub(super) fn share(&mut self, n: u32) {
        self.spans_per_second = (self.spans_per_second / u64::from(n.max(1))).max(1);
        for part in &mut self.parts {
            part.rule.share(n);
        }
        self.allot();
    }

    pub(super) fn vote(&mut self, case: &Case<'_>) -> Vote {
        self.begin_second(case.now);
        for part in &mut self.parts {
            if part.rule.vote(case) == Vote::No {
                continue;
            }
            let taken = part.taken.saturating_add(case.facts.n_spans);
            let fits = taken <= part.allotted && taken <= self.spans_per_second;
            if fits {
                part.taken = taken;
            }
            return Vote::of(fits, Odds::Unknown);
        }
        Vote::No
    }

    fn begin_second(&mut self, now: Timestamp) {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            for part in &mut self.parts {
                part.taken = 0;
            }
        }
    }

    fn allot(&mut self) {
        let total = self.spans_per_second as f64;
        let even = total / self.parts.len() as f64;
        for part in &mut self.parts {
            let percent = part.percent.filter(|percent| *percent > 0);
            part.allotted = percent.map_or(even, |p| f64::from(p) / 100.0 * total) as u64;
        }
    }
}

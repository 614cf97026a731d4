//! A budget that is counted in the same pass and keeps nothing.

use anyhow::Result;
use spanwise_model::{CallSiteId, Timestamp};
use spanwise_sampler::trace::{
    Bound, Budget, Config, Ledger, Lesson, Settled, Subject, TraceSampler, Verdict,
};

/// What another budget would have kept.
#[derive(Debug)]
pub struct Shadow {
    /// The budget.
    pub budget: Budget,
    /// Its name, as it is written.
    pub name: String,
    /// Traces seen.
    pub n_seen: u64,
    /// Traces it would have kept.
    pub n_kept: u64,
    sampler: TraceSampler,
    settled: Vec<Settled>,
}

/// The bound of a shadow: another total, and no tenants.
pub(super) const fn bound(bound: Bound, budget: Budget) -> Bound {
    Bound { total: budget, per_tenant: None, ..bound }
}

impl Shadow {
    pub(super) fn new(config: Config, budget: Budget, ledger: Ledger) -> Result<Self> {
        let sampler = TraceSampler::new(config, ledger)?;
        let name = budget.to_string();
        Ok(Self { budget, name, n_seen: 0, n_kept: 0, sampler, settled: Vec::new() })
    }

    pub(super) fn judge(&mut self, subject: &Subject<'_>, now: Timestamp) {
        self.n_seen += 1;
        let verdict = self.sampler.judge(subject, now, &mut self.settled);
        self.n_kept += u64::from(matches!(verdict, Verdict::Keep(_)));
        self.count_settled();
    }

    pub(super) fn tick(&mut self, now: Timestamp) {
        self.sampler.tick(now, &mut self.settled);
        self.count_settled();
    }

    pub(super) fn lesson(&mut self) -> Lesson {
        self.sampler.lesson()
    }

    pub(super) fn hear(&mut self, lesson: &Lesson, now: Timestamp) {
        self.sampler.hear(lesson, now);
    }

    pub(super) fn forget(&mut self, site: CallSiteId) {
        self.sampler.forget(site);
    }

    fn count_settled(&mut self) {
        let kept = self.settled.drain(..).filter(|settled| settled.keep.is_some());
        self.n_kept += kept.count() as u64;
    }
}

//! The account that every keep is paid from: the bound itself.
//!
//! At every moment of a horizon, kept <= B x seen (or B x elapsed) + what the horizon before left,
//! for the total and for each tenant. Nothing here is a threshold or an estimate: [`Ledger::pay`]
//! says yes or no. All shards of a process hold the same ledger, so that the bound holds for their
//! sum by construction; it is asked once or twice per trace, never per span. What each lane was given
//! and spent is kept here too ([`super::purse`]): an incident is kept from what all shards have saved.
//!
//! Horizons tumble and are aligned to the epoch: over a sliding window a percentage can be broken by
//! old traffic that leaves the window, without any keep.

mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use spanwise_model::Timestamp;

use super::budget::{Budget, Unit};
use super::purse::{Parts, Payer, Purses};
use crate::budget::Budget as Rate;
use crate::error::Error;

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;
const HOUR_NS: u64 = 3600 * SECOND_NS;
/// Over how long a burst is measured.
const BURST_S: usize = 60;
/// Tenants with an account of their own; all others share one.
const N_TENANTS_MAX: usize = 10_000;
/// The account of the tenants beyond.
const OTHERS: u32 = u32::MAX;
/// Tenants whose names begin with the same so many bytes are one.
const NAME_BYTES_MAX: usize = 256;

/// The bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// What may be kept in all.
    pub total: Budget,
    /// What may be kept of each tenant, besides; `None` = tenants are not told apart.
    pub per_tenant: Option<Budget>,
    /// How long an account runs, 1 s or more. Default 24 h; `u64::MAX` = for ever.
    pub horizon_ns: u64,
    /// Unspent budget that the next horizon inherits, in time: what that much of the horizon
    /// brought in. Default 1 h.
    pub carry_ns: u64,
    /// How many times the budget may be kept within any 60 s; above 0, infinite = no such bound.
    /// Default 4.
    pub burst: f64,
}

/// What a trace costs in each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Its spans.
    pub n_spans: u64,
    /// Raw bytes of its spans; 0 where spans come from columns.
    pub n_bytes: u64,
}

/// The accounts, shared by all shards of a process. Clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Accounts>>);

/// What has come and gone since the horizon began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// Units seen in this horizon.
    pub seen: u64,
    /// Units kept in this horizon.
    pub kept: u64,
    /// Units that may be kept up to now, what was inherited included.
    pub allowed: f64,
    /// Keeps refused since the ledger was made.
    pub n_refused: u64,
    /// Tenants that share one account, because there were too many.
    pub n_other_tenants: u64,
}

/// How things stand after a trace was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    /// The budget as a share of what is seen, as far as known.
    pub(super) share: f64,
    /// What lanes and chance have left.
    pub(super) purses: Purses,
}

#[derive(Debug)]
struct Accounts {
    bound: Bound,
    total: Account,
    tenants: FxHashMap<u32, Account>,
    names: BTreeMap<Box<[u8]>, Named>,
    /// The number that was given last.
    last_number: u32,
    n_refused: u64,
    n_other_tenants: u64,
    /// Budget shared out in this horizon.
    accrued: f64,
    purses: Purses,
    /// Units and their costs lately seen, for the share a rate amounts to.
    lately: Lately,
}

/// A tenant that is known by name.
#[derive(Clone, Copy, Debug)]
struct Named {
    number: u32,
    /// The horizon in which it was asked for last.
    horizon: u64,
}

/// One account of a horizon.
#[derive(Clone, Debug)]
struct Account {
    horizon: u64,
    began: Timestamp,
    seen: u64,
    kept: u64,
    carried: f64,
    /// What the horizon before saw and kept: the slowest shard may still be spending from it.
    before: (u64, u64),
    burst: Burst,
}

/// Seen and kept of the last 60 seconds, by second.
#[derive(Clone, Debug)]
struct Burst {
    seconds: Box<[(u64, u64, u64)]>,
}

/// Decayed sums over about a thousand traces.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    accrued: f64,
    cost: f64,
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            total: Budget::default(),
            per_tenant: None,
            horizon_ns: DAY_NS,
            carry_ns: HOUR_NS,
            burst: 4.0,
        }
    }
}

impl Bound {
    /// The same within a minute: for sinks that must be protected.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self { horizon_ns: 60 * SECOND_NS, carry_ns: 0, ..self }
    }

    /// A bound over everything ever seen, bursts allowed: the protocol of the evaluation.
    pub const fn whole(total: Budget) -> Self {
        Self { total, per_tenant: None, horizon_ns: u64::MAX, carry_ns: 0, burst: f64::INFINITY }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<(), Error> {
        self.total.validate()?;
        self.per_tenant.map_or(Ok(()), Budget::validate)?;
        if self.horizon_ns < SECOND_NS {
            return Err(Error::Setting { name: "horizon", expected: "1 s or more" });
        }
        if self.burst.is_nan() || self.burst <= 0.0 {
            return Err(Error::Setting { name: "burst", expected: "above 0" });
        }
        Ok(())
    }

    fn horizon_of(&self, now: Timestamp) -> u64 {
        now.as_ns() / self.horizon_ns
    }
}

impl Cost {
    pub(super) const fn units(self, unit: Unit) -> u64 {
        match unit {
            Unit::Traces => 1,
            Unit::Spans => self.n_spans,
            Unit::Bytes => self.n_bytes,
        }
    }
}

impl Ledger {
    /// An empty ledger.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn new(bound: Bound) -> Result<Self, Error> {
        bound.validate()?;
        Ok(Self(Arc::new(Mutex::new(Accounts {
            bound,
            total: Account::new(Timestamp::default(), 0),
            tenants: FxHashMap::default(),
            names: BTreeMap::new(),
            last_number: 0,
            n_refused: 0,
            n_other_tenants: 0,
            accrued: 0.0,
            purses: Purses::default(),
            lately: Lately::default(),
        }))))
    }

    /// The bound.
    pub fn bound(&self) -> Bound {
        self.lock().bound
    }

    /// Another bound from now on: a reload. What was seen and kept in this horizon counts on.
    ///
    /// # Errors
    /// A setting outside its range; then nothing has changed.
    pub fn rebind(&self, bound: Bound) -> Result<(), Error> {
        bound.validate()?;
        let mut accounts = self.lock();
        if bound.total.unit != accounts.bound.total.unit {
            // Counts of another unit mean nothing.
            accounts.total = Account::new(Timestamp::default(), 0);
            accounts.tenants.clear();
        }
        accounts.bound = bound;
        Ok(())
    }

    /// The number of a tenant by its name: the same name has the same number, another one another,
    /// as long as it is asked for once a horizon. There are 10,000; beyond, all others are one.
    pub fn tenant(&self, name: &[u8], now: Timestamp) -> u32 {
        self.lock().tenant_of(name, now)
    }

    /// Counts a trace of a tenant as seen (0 = no tenant), and shares out what it brings in.
    pub(super) fn see(&self, cost: Cost, tenant: u32, parts: Parts, now: Timestamp) -> Standing {
        self.lock().see(cost, tenant, parts, now)
    }

    /// Pays for a keep; `false` if it would exceed the bound: then it must not be kept now.
    pub fn pay(&self, cost: Cost, tenant: u32, now: Timestamp) -> bool {
        self.lock().pay(cost, tenant, now)
    }

    /// As [`Ledger::pay`], from somebody's purse; how things stand then.
    pub(super) fn pay_from(
        &self,
        payer: Payer,
        cost: Cost,
        tenant: u32,
        now: Timestamp,
    ) -> Option<Purses> {
        let mut accounts = self.lock();
        if !accounts.pay(cost, tenant, now) {
            return None;
        }
        let units = cost.units(accounts.bound.total.unit) as f64;
        accounts.purses.spend(units, payer);
        Some(accounts.purses)
    }

    /// Changes what chance has promised to those who wait.
    pub(super) fn promise(&self, units: f64) {
        self.lock().purses.promised += units;
    }

    /// The account of all traces.
    pub fn balance(&self, now: Timestamp) -> Balance {
        let mut accounts = self.lock();
        accounts.advance(now);
        let (bound, total) = (accounts.bound, &accounts.total);
        Balance {
            seen: total.seen,
            kept: total.kept,
            allowed: total.allowed(bound.total, now),
            n_refused: accounts.n_refused,
            n_other_tenants: accounts.n_other_tenants,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock()
    }
}

impl Accounts {
    fn advance(&mut self, now: Timestamp) {
        let bound = self.bound;
        if self.total.advance(&bound, bound.total, now) {
            self.accrued = 0.0;
            self.purses.restart();
            self.forget_tenants();
        }
    }

    fn tenant_of(&mut self, name: &[u8], now: Timestamp) -> u32 {
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        let horizon = self.bound.horizon_of(now);
        if let Some(named) = self.names.get_mut(name) {
            named.horizon = named.horizon.max(horizon);
            return named.number;
        }
        if self.names.len() >= N_TENANTS_MAX || self.last_number == OTHERS - 1 {
            self.n_other_tenants += 1;
            return OTHERS;
        }
        self.last_number += 1;
        self.names.insert(name.into(), Named { number: self.last_number, horizon });
        self.last_number
    }

    /// Makes room: tenants that sent nothing in the horizon that has ended are forgotten.
    fn forget_tenants(&mut self) {
        let horizon = self.total.horizon;
        self.names.retain(|_, named| named.horizon + 1 >= horizon);
        self.tenants.retain(|_, account| account.horizon + 1 >= horizon);
    }

    fn see(&mut self, cost: Cost, tenant: u32, parts: Parts, now: Timestamp) -> Standing {
        self.advance(now);
        let bound = self.bound;
        let units = cost.units(bound.total.unit);
        self.total.see(units, now, &bound);
        if let Some(budget) = bound.per_tenant {
            let account = self.tenant(tenant, now);
            account.advance(&bound, budget, now);
            account.see(cost.units(budget.unit), now, &bound);
        }
        let allowed = self.total.allowed(bound.total, now);
        let brought = (allowed - self.accrued).max(0.0);
        self.accrued += brought;
        let share = self.lately.share(bound.total.rate, brought, units as f64);
        self.purses.give(brought, parts, now);
        Standing { share, purses: self.purses }
    }

    fn pay(&mut self, cost: Cost, tenant: u32, now: Timestamp) -> bool {
        self.advance(now);
        let bound = self.bound;
        if bound.horizon_of(now) < self.total.horizon {
            return self.pay_late(cost, tenant, now);
        }
        let units = cost.units(bound.total.unit);
        let mut is_allowed = self.total.allows(units, bound.total, &bound, now);
        if let Some(budget) = bound.per_tenant {
            let tenant_units = cost.units(budget.unit);
            let account = self.tenant(tenant, now);
            account.advance(&bound, budget, now);
            is_allowed &= account.allows(tenant_units, budget, &bound, now);
            if is_allowed {
                account.keep(tenant_units, now, &bound);
            }
        }
        if is_allowed {
            self.total.keep(units, now, &bound);
        }
        self.n_refused += u64::from(!is_allowed);
        is_allowed
    }

    /// Pays from the horizon before, for a shard that has not noticed its end. Only where no credit
    /// was carried on from it, and only for shares.
    fn pay_late(&mut self, cost: Cost, tenant: u32, now: Timestamp) -> bool {
        let bound = self.bound;
        let is_before = bound.horizon_of(now) + 1 == self.total.horizon && bound.carry_ns == 0;
        let units = cost.units(bound.total.unit);
        let mut is_allowed = is_before && self.total.allows_late(units, bound.total);
        if let Some(budget) = bound.per_tenant.filter(|_| is_allowed) {
            let account = self.tenant(tenant, now);
            let units = cost.units(budget.unit);
            // An account that nobody touched since is still in that horizon.
            if account.horizon == bound.horizon_of(now) {
                is_allowed = account.allows(units, budget, &bound, now);
                account.kept += if is_allowed { units } else { 0 };
            } else {
                is_allowed = account.allows_late(units, budget);
                account.before.1 += if is_allowed { units } else { 0 };
            }
        }
        self.total.before.1 += if is_allowed { units } else { 0 };
        self.n_refused += u64::from(!is_allowed);
        is_allowed
    }

    fn tenant(&mut self, tenant: u32, now: Timestamp) -> &mut Account {
        let is_known = self.tenants.contains_key(&tenant);
        let has_room = self.tenants.len() < N_TENANTS_MAX;
        self.n_other_tenants += u64::from(!is_known && !has_room);
        let key = if is_known || has_room { tenant } else { OTHERS };
        let horizon = self.bound.horizon_of(now);
        self.tenants.entry(key).or_insert_with(|| Account::new(now, horizon))
    }
}

impl Account {
    fn new(began: Timestamp, horizon: u64) -> Self {
        let burst = Burst { seconds: vec![(0, 0, 0); BURST_S].into() };
        Self { horizon, began, seen: 0, kept: 0, carried: 0.0, before: (0, 0), burst }
    }

    /// Begins a new horizon if it is time. Time never goes back here: a late clock counts in the
    /// horizon that runs.
    fn advance(&mut self, bound: &Bound, budget: Budget, now: Timestamp) -> bool {
        let horizon = bound.horizon_of(now);
        let is_first = self.began == Timestamp::default();
        if !is_first && horizon <= self.horizon {
            return false;
        }
        if !is_first {
            let end = Timestamp((self.horizon + 1).saturating_mul(bound.horizon_ns)).min(now);
            let left = (self.allowed(budget, end) - self.kept as f64).max(0.0);
            // What an hour of this horizon brought in on average.
            let brought = self.allowed(budget, end) - self.carried;
            let ran_ns = end.since(self.began).max(1);
            let cap = brought * (bound.carry_ns as f64 / ran_ns as f64).min(1.0);
            self.carried = if horizon == self.horizon + 1 { left.min(cap) } else { 0.0 };
        }
        let is_next = !is_first && horizon == self.horizon + 1;
        self.before = if is_next { (self.seen, self.kept) } else { (0, 0) };
        (self.horizon, self.seen, self.kept) = (horizon, 0, 0);
        let begin = horizon.saturating_mul(bound.horizon_ns);
        self.began = if is_first { now } else { Timestamp(begin) };
        true
    }

    fn allowed(&self, budget: Budget, now: Timestamp) -> f64 {
        let brought = match budget.rate {
            Rate::Share(share) => share * self.seen as f64,
            Rate::PerSecond(rate) => rate * now.since(self.began) as f64 / SECOND_NS as f64,
        };
        brought + self.carried
    }

    fn allows(&self, units: u64, budget: Budget, bound: &Bound, now: Timestamp) -> bool {
        let kept = (self.kept + units) as f64;
        if kept > self.allowed(budget, now) {
            return false;
        }
        if bound.burst.is_infinite() {
            return true;
        }
        let (seen, recent) = self.burst.sums(now);
        let within = match budget.rate {
            Rate::Share(share) => share * seen as f64,
            Rate::PerSecond(rate) => rate * BURST_S as f64,
        };
        // One keep a minute is no burst, whatever the budget.
        recent == 0 || (recent + units) as f64 <= bound.burst * within
    }

    fn allows_late(&self, units: u64, budget: Budget) -> bool {
        let (seen, kept) = self.before;
        match budget.rate {
            Rate::Share(share) => (kept + units) as f64 <= share * seen as f64,
            Rate::PerSecond(_) => false,
        }
    }

    fn see(&mut self, units: u64, now: Timestamp, bound: &Bound) {
        self.seen += units;
        if bound.burst.is_finite() {
            self.burst.at(now).1 += units;
        }
    }

    fn keep(&mut self, units: u64, now: Timestamp, bound: &Bound) {
        self.kept += units;
        if bound.burst.is_finite() {
            self.burst.at(now).2 += units;
        }
    }
}

impl Burst {
    fn at(&mut self, now: Timestamp) -> &mut (u64, u64, u64) {
        let second = now.as_ns() / SECOND_NS;
        let slot = &mut self.seconds[(second % BURST_S as u64) as usize];
        if slot.0 != second {
            *slot = (second, 0, 0);
        }
        slot
    }

    /// Seen and kept in the last 60 seconds, the current one included.
    fn sums(&self, now: Timestamp) -> (u64, u64) {
        let second = now.as_ns() / SECOND_NS;
        let is_recent = |slot: &&(u64, u64, u64)| slot.0 + BURST_S as u64 > second;
        let recent = self.seconds.iter().filter(is_recent);
        recent.fold((0, 0), |(seen, kept), slot| (seen + slot.1, kept + slot.2))
    }
}

impl Lately {
    /// The budget as a share of what is seen: given, or what a rate amounts to at present.
    fn share(&mut self, rate: Rate, accrued: f64, cost: f64) -> f64 {
        const KEPT: f64 = 0.999;
        self.accrued = KEPT * self.accrued + accrued;
        self.cost = KEPT * self.cost + cost;
        match rate {
            Rate::Share(share) => share,
            Rate::PerSecond(_) => (self.accrued / self.cost.max(1e-9)).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests;

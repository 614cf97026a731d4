//! The accounts of a ledger as bytes and back.

use spanwise_model::Timestamp;

use super::{Account, Accounts, Bound, Lately, Ledger, N_TENANTS_MAX, NAME_BYTES_MAX, Named};
use crate::budget::Budget as Rate;
use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};
use crate::trace::budget::{Budget, Unit};
use crate::trace::purse::Purses;

impl Ledger {
    pub(in crate::trace) fn write(&self, writer: &mut Writer<'_>) {
        let accounts = self.lock();
        let Bound { total, per_tenant, horizon_ns, .. } = accounts.bound;
        writer.u8(unit_code(total));
        writer.u8(per_tenant.map_or(u8::MAX, unit_code));
        writer.u64(horizon_ns);
        accounts.total.write(writer);
        writer.f64(accounts.accrued);
        accounts.purses.write(writer);
        writer.f64(accounts.lately.accrued);
        writer.f64(accounts.lately.cost);
        writer.u32(accounts.last_number);
        writer.u32(accounts.names.len() as u32);
        for (name, named) in &accounts.names {
            writer.u16(name.len() as u16);
            writer.out.extend_from_slice(name);
            writer.u32(named.number);
            writer.u64(named.horizon);
        }
        let mut tenants: Vec<(&u32, &Account)> = accounts.tenants.iter().collect();
        tenants.sort_unstable_by_key(|(number, _)| **number);
        writer.u32(tenants.len() as u32);
        for (number, account) in tenants {
            writer.u32(*number);
            account.write(writer);
        }
    }

    pub(in crate::trace) fn read(
        &self,
        reader: &mut Reader<'_>,
        is_final: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut accounts = self.lock();
        let bound = accounts.bound;
        let per_tenant = bound.per_tenant.map_or(u8::MAX, unit_code);
        let is_same = reader.u8()? == unit_code(bound.total)
            && reader.u8()? == per_tenant
            && reader.u64()? == bound.horizon_ns;
        if !is_same {
            return Err(Error::Mismatch { what: "unit or horizon of the budget" });
        }
        let mut read = accounts.read(reader)?;
        if !reader.is_at_end() {
            return Err(reader.corrupt("something follows the end"));
        }
        if !is_final {
            read.forfeit(now);
        }
        *accounts = read;
        Ok(())
    }
}

impl Accounts {
    /// Accounts under the same bound.
    fn read(&self, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut read = Self {
            bound: self.bound,
            total: Account::read(reader)?,
            tenants: rustc_hash::FxHashMap::default(),
            names: std::collections::BTreeMap::new(),
            last_number: 0,
            n_refused: self.n_refused,
            n_other_tenants: self.n_other_tenants,
            accrued: reader.count()?,
            purses: Purses::read(reader)?,
            lately: Lately { accrued: reader.count()?, cost: reader.count()? },
        };
        read.last_number = reader.u32()?;
        let n_names = reader.u32()?;
        if n_names as usize > N_TENANTS_MAX {
            return Err(reader.corrupt("it holds more tenants than may be held"));
        }
        for _ in 0..n_names {
            let len = reader.u16()?;
            let name = reader.bytes(len.into())?;
            let named = Named { number: reader.u32()?, horizon: reader.u64()? };
            if name.len() > NAME_BYTES_MAX || named.number > read.last_number {
                return Err(reader.corrupt("a tenant has a name or number that none can have"));
            }
            read.names.insert(name.into(), named);
        }
        let n_tenants = reader.u32()?;
        if n_tenants as usize > N_TENANTS_MAX + 1 {
            return Err(reader.corrupt("it holds more accounts than may be held"));
        }
        for _ in 0..n_tenants {
            let number = reader.u32()?;
            read.tenants.insert(number, Account::read(reader)?);
        }
        Ok(read)
    }

    /// Counts as kept all that may have been.
    fn forfeit(&mut self, now: Timestamp) {
        let Bound { total, per_tenant, .. } = self.bound;
        self.total.forfeit(total, now);
        if let Some(budget) = per_tenant {
            self.tenants.values_mut().for_each(|account| account.forfeit(budget, now));
        }
        self.purses.forfeit();
    }
}

impl Account {
    fn write(&self, writer: &mut Writer<'_>) {
        let (before_seen, before_kept) = self.before;
        for number in [self.horizon, self.began.0, self.seen, self.kept, before_seen, before_kept] {
            writer.u64(number);
        }
        writer.f64(self.carried);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let horizon = reader.u64()?;
        let mut account = Self::new(Timestamp(reader.u64()?), horizon);
        (account.seen, account.kept) = (reader.u64()?, reader.u64()?);
        account.before = (reader.u64()?, reader.u64()?);
        account.carried = reader.count()?;
        let numbers = [account.seen, account.kept, account.before.0, account.before.1];
        if numbers.iter().any(|&n| n > 1 << 62) {
            return Err(reader.corrupt("an account holds more than can have come"));
        }
        Ok(account)
    }

    fn forfeit(&mut self, budget: Budget, now: Timestamp) {
        self.kept = self.kept.max(self.allowed(budget, now).ceil() as u64);
        if let Rate::Share(share) = budget.rate {
            self.before.1 = self.before.1.max((share * self.before.0 as f64).ceil() as u64);
        }
    }
}

const fn unit_code(budget: Budget) -> u8 {
    match budget.unit {
        Unit::Traces => 0,
        Unit::Spans => 1,
        Unit::Bytes => 2,
    }
}

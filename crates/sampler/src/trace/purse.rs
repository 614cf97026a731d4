//! What lanes and chance were given of the budget and what they spent: accounts below the ledger's, in
//! the same place, so that what is saved on one shard can be spent on another.
//!
//! They say how much of the budget is whose; what may be kept at all is not their business.

use spanwise_model::Timestamp;

use super::reserve::N_LANES;
use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};

/// Savings at which a lane's threshold is the nominal one: what this much time brings in, or this many
/// traces if that is more. An incident of minutes finds something to be kept from.
const SAVINGS_NS: u64 = 900 * 1_000_000_000;
const SAVINGS_TRACES: f64 = 3500.0;

/// Parts of a whole, by lane and for chance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) lanes: [f64; N_LANES],
    pub(super) chance: f64,
}

/// Who pays for a keep.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payer {
    /// One lane.
    Lane(usize),
    /// Chance.
    Chance,
    /// A keep that is nobody's in particular: all bear it in these parts.
    All(Parts),
}

/// Budget in units that somebody was given and what he spent, in this horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Allotment {
    pub(super) given: f64,
    pub(super) spent: f64,
}

/// All allotments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Purses {
    pub(super) lanes: [Allotment; N_LANES],
    pub(super) chance: Allotment,
    /// What chance will pay for who waits, of all shards: whole for those it has drawn, and for the others
    /// in proportion to their probability. Not part of a snapshot, since who waits is not.
    pub(super) promised: f64,
    pace: Pace,
}

/// How much budget comes in of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pace {
    by_time: f64,
    by_traces: f64,
    last: Timestamp,
}

impl Allotment {
    pub(super) fn credit(self) -> f64 {
        self.given - self.spent
    }
}

impl Purses {
    /// Shares out what a trace brought in.
    pub(super) fn give(&mut self, units: f64, parts: Parts, now: Timestamp) {
        self.pace.count(units, now);
        for (lane, part) in self.lanes.iter_mut().zip(parts.lanes) {
            lane.given += part * units;
        }
        self.chance.given += parts.chance * units;
    }

    /// Notes a keep.
    pub(super) fn spend(&mut self, units: f64, payer: Payer) {
        match payer {
            Payer::Lane(idx) => self.lanes[idx].spent += units,
            Payer::Chance => self.chance.spent += units,
            Payer::All(parts) => {
                for (lane, part) in self.lanes.iter_mut().zip(parts.lanes) {
                    lane.spent += part * units;
                }
                self.chance.spent += parts.chance * units;
            }
        }
    }

    /// Writes what everybody was given and spent.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        for one in self.lanes.iter().chain([&self.chance]) {
            writer.f64(one.given);
            writer.f64(one.spent);
        }
        writer.f64(self.pace.by_time);
        writer.f64(self.pace.by_traces);
        writer.u64(self.pace.last.0);
    }

    /// The reverse of [`Purses::write`].
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut purses = Self::default();
        for one in purses.lanes.iter_mut().chain([&mut purses.chance]) {
            *one = Allotment { given: reader.count()?, spent: reader.count()? };
        }
        purses.pace = Pace {
            by_time: reader.count()?,
            by_traces: reader.count()?,
            last: Timestamp(reader.u64()?),
        };
        Ok(purses)
    }

    /// Nobody has anything left.
    pub(super) fn forfeit(&mut self) {
        for one in self.lanes.iter_mut().chain([&mut self.chance]) {
            one.spent = one.spent.max(one.given);
        }
    }

    /// A new horizon: nothing given, nothing spent.
    pub(super) fn restart(&mut self) {
        *self = Self { pace: self.pace, promised: self.promised, ..Self::default() };
    }

    /// What the usual savings of all together come to.
    pub(super) fn usual(&self) -> f64 {
        self.pace.by_time.max(self.pace.by_traces)
    }

    /// What all together have left.
    pub(super) fn credit(&self) -> f64 {
        self.lanes.iter().map(|lane| lane.credit()).sum::<f64>() + self.chance.credit()
    }
}

impl Pace {
    fn count(&mut self, units: f64, now: Timestamp) {
        let passed = now.since(self.last).min(SAVINGS_NS) as f64 / SAVINGS_NS as f64;
        self.last = self.last.max(now);
        self.by_time = self.by_time * (1.0 - passed) + units;
        self.by_traces = self.by_traces * (1.0 - 1.0 / SAVINGS_TRACES) + units;
    }
}

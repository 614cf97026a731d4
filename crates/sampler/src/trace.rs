//! Whole traces: which to keep within a budget.

mod budget;
mod clusters;
mod config;
mod desk;
mod hybrid;
mod lane;
mod las_casas;
mod ledger;
pub mod policy;
mod purse;
mod quotas;
mod reserve;
mod samplehst;
mod sampler;
mod signals;
mod snapshot;
pub mod threshold;
mod verdict;
mod words;

pub use budget::{Budget, Unit};
pub use config::{Algorithm, Config};
pub use desk::{Counters, Waiting};
pub use ledger::{Balance, Bound, Cost, Ledger};
pub use sampler::{Lesson, Stats, Subject, TraceSampler};
pub use verdict::{Claim, Keep, Reason, Settled, Ticket, Verdict};
pub use words::WordKind;

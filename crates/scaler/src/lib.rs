#![doc = include_str!("../README.md")]

mod config;
mod conflate;
pub mod explain;
mod facts;
mod guards;
mod invariants;
mod judge;
mod limits;
mod machine;
mod memory;
mod record;
mod refusal;
mod text;

pub use config::{COOLDOWN_NS_DEFAULT, Config, DECISION_TTL_NS, Target};
pub use conflate::{Conflated, Part, absolute};
pub use machine::{Scaler, Stats, TargetStatus};
pub use refusal::Refusal;

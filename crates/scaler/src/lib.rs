#![doc = include_str!("../README.md")]

mod config;
mod conflate;
pub mod explain;
mod guards;
mod invariants;
mod judge;
mod limits;
mod machine;
mod memory;
mod record;
mod text;

pub use config::{COOLDOWN_NS_DEFAULT, Config, Target};
pub use conflate::{Conflated, Part, absolute};
pub use machine::{DECISION_TTL_NS, Refusal, Scaler, Stats, TargetStatus};

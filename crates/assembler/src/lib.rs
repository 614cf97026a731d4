#![doc = include_str!("../README.md")]

mod batches;
mod config;
mod cover;
mod entry;
mod error;
mod family;
mod late;
mod pool;
mod slab;
mod stats;
mod window;

pub use config::Config;
pub use error::ConfigError;
pub use late::{Decided, Known, LateConfig, LateStats, Note, Share, Snapshot, SnapshotError};
pub use stats::Stats;
pub use window::Assembler;

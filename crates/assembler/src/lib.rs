#![doc = include_str!("../README.md")]

mod batches;
mod config;
mod cover;
mod entry;
mod error;
mod family;
mod pool;
mod slab;
mod stats;
mod window;

pub use config::Config;
pub use error::ConfigError;
pub use stats::Stats;
pub use window::Assembler;

#![doc = include_str!("../README.md")]

mod config;
mod disk;
mod error;
mod log;
mod record;
mod recovery;
mod scan;
mod segment;

pub use config::Config;
pub use disk::{Disk, DiskFile, StdDisk, StdFile};
pub use error::Error;
pub use log::{Log, Stats};
pub use record::{Codec, Kind, RECORD_BYTES_MAX, Record};
pub use recovery::{Damage, Problem, Records, Recovery};
pub use segment::VERSION;

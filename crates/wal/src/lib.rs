#![doc = include_str!("../README.md")]

mod bookmarks;
mod chunks;
mod config;
mod cursor;
mod disk;
mod error;
mod log;
mod open;
mod reader;
mod record;
mod recovery;
mod retain;
mod scan;
mod segment;
pub mod testing;
mod write;

pub use bookmarks::Bookmarks;
pub use chunks::{Compressor, UnpackError, unpack};
pub use config::{Config, Durability, Retention};
pub use disk::{Disk, DiskFile, Space, StdDisk, StdFile};
pub use error::Error;
pub use log::{Committed, Log, Stats};
pub use reader::{Reader, ReaderStats, Unpacked};
pub use record::{Codec, Kind, Position, RECORD_BYTES_MAX, Record};
pub use recovery::{Damage, Problem, Records, Recovery};
pub use segment::VERSION;

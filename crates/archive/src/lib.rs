#![doc = include_str!("../README.md")]

mod archive;
mod compress;
mod container;
mod entropy;
mod error;
pub mod evaluation;
pub mod fidelity;
mod limits;
mod lossless;
mod modelled;
mod near_lossless;
mod options;
mod structured;
pub mod traces;
mod varint;

pub use archive::{Archive, Info, SectionInfo};
pub use compress::{Compressed, Summary, compress};
pub use container::{Header, Level, Method, Tag, UnknownLevel};
pub use error::{Error, Place};
pub use limits::Limits;
pub use near_lossless::NearLossless;
pub use options::{KeepVerbatim, Options};

#![doc = include_str!("../README.md")]

mod archive;
mod compress;
mod container;
#[cfg(feature = "ctgan")]
mod ctgan;
mod entropy;
mod error;
pub mod evaluation;
pub mod fidelity;
mod gan_options;
mod level;
mod limits;
mod lossless;
mod modelled;
mod near_lossless;
mod options;
mod structured;
mod summary;
mod tag;
pub mod traces;
mod varint;

pub use archive::{Archive, Info, SectionInfo};
pub use compress::{Compressed, Rolling, compress, train};
pub use container::Header;
pub use error::{Error, Place};
pub use gan_options::{GanOptions, HeadMetadata, Support, Times, TopologyCode};
pub use level::{Level, Method, UnknownLevel};
pub use limits::Limits;
pub use options::{KeepVerbatim, Options};
pub use summary::{NearLossless, Summary};
pub use tag::Tag;

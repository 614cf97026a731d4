#![doc = include_str!("../README.md")]

mod attributes;
mod decode;
mod error;
mod limits;
mod report;
mod schema;
mod value;
mod wire;

pub use attributes::WireAttributes;
pub use decode::{Decoded, decode, decode_into};
pub use error::{DecodeError, Fault};
pub use limits::Limits;
pub use report::Report;

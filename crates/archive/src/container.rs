//! The file: header, sections, section table, footer. It knows what is where and that it arrived
//! whole; what a section means is known to the level that wrote it.
//!
//! `docs/formats/archive.md` specifies it in bytes.

mod file;
mod header;
mod reader;
mod writer;

pub(crate) use file::{Container, Section, write_archive};
pub use header::Header;
pub(crate) use writer::SectionWriter;

#[cfg(test)]
mod tests;

//! What can go wrong with an archive, by what the caller can do about it.

use std::io;

use spanwise_otlp::DecodeError;

use crate::level::{Level, Method};
use crate::tag::Tag;

/// Why an archive was not written, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin with the magic of an archive.
    #[error("not a spanwise archive; expected the bytes `SPWA` at the start")]
    NotAnArchive,
    /// The file asks for a newer reader.
    #[error("archive needs a reader of version {minimum}, this one is {own}; use a newer spanwise")]
    TooNew {
        /// The oldest version that reads it.
        minimum: u16,
        /// The version of this reader.
        own: u16,
    },
    /// The file ends early or holds something it cannot. Fetch it again from where it came from.
    #[error("archive is corrupt at byte {offset} of {place}: {problem}")]
    Corrupt {
        /// The section, or the file itself.
        place: Place,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// Reading would take more than the limits allow.
    #[error(
        "archive exceeds the limit of {limit} {what} with {value}; raise the limit if it is yours"
    )]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the file asks for.
        value: u64,
        /// The limit in force.
        limit: u64,
    },
    /// Reading would take more of something than the limits allow; how much more was not counted.
    #[error("archive holds more {what} than may be read here; raise the limit if it is yours")]
    Excess {
        /// What is limited.
        what: &'static str,
    },
    /// A section that the level needs is missing.
    #[error("archive has no section {tag}")]
    Missing {
        /// The section.
        tag: Tag,
    },
    /// A request given to `compress` is not an `ExportTraceServiceRequest`.
    #[error("request {number}: {source}")]
    Request {
        /// Position among the requests, from 0.
        number: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The window does not fit into one archive.
    #[error("window has {value} {what}, more than {limit}; close it earlier")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        value: u64,
        /// How much an archive holds.
        limit: u64,
    },
    /// This build does not write or read what a method makes.
    #[error("method {} is not in this build; build spanwise with the cargo feature `{}`", .method.name(), .method.name())]
    NoFeature {
        /// The method, named as its feature.
        method: Method,
    },
    /// This build does not write or read the level.
    #[error("level {level} is not available in this build")]
    Unavailable {
        /// The level asked for.
        level: Level,
    },
    /// Whoever takes the generated requests refused one.
    #[error("generated request was not taken: {0}")]
    Sink(#[from] io::Error),
}

/// Where in an archive something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file, outside its sections.
    File,
    /// A section, decompressed.
    Section(Tag),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Section(tag) => write!(f, "section {tag}"),
        }
    }
}

impl Error {
    pub(crate) fn corrupt(tag: Tag, offset: usize, problem: &'static str) -> Self {
        Self::Corrupt { place: Place::Section(tag), offset: offset as u64, problem }
    }

    pub(crate) fn corrupt_file(offset: usize, problem: &'static str) -> Self {
        Self::Corrupt { place: Place::File, offset: offset as u64, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_lacks_is_named_as_its_cargo_feature() {
        let error = Error::NoFeature { method: Method::Ctgan }.to_string();
        assert!(error.ends_with("build spanwise with the cargo feature `ctgan`"), "{error}");
    }
}

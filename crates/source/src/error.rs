//! Why a file of spans cannot be read or written. Every error names the file and the place in it.

use std::path::{Path, PathBuf};

use spanwise_otlp::DecodeError;
use thiserror::Error;

/// What went wrong, and where.
#[derive(Debug, Error)]
pub enum Error {
    /// The name does not tell what the file holds.
    #[error(
        "{}: cannot tell the format by the name; use .otlp.pb or .otlp.jsonl, each also with .zst \
         or .gz, or .parquet", path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// Built without the `parquet` feature.
    #[error("{}: built without parquet; build with --features parquet", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// Written files are always zstd-compressed OTLP.
    #[error("{}: spans are written as .otlp.pb.zst; choose such a name", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The file is damaged, or not what its name says.
    #[error("{}: {problem} at byte {offset} of the uncompressed content", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where, after decompression.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A request inside the file is not valid OTLP.
    #[error("{}: request {number}: {source}", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// Number of the request, or of the line, from 1.
        number: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A column of a Parquet file is missing, has another type or cannot be read.
    #[error("{}: column {column}: {problem}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// A value of a Parquet file cannot be used.
    #[error("{}: column {column}, row {row}: {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The row, from 1.
        row: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A Parquet file as a whole cannot be read.
    #[error("{}: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// More spans than are held in memory for evaluation.
    #[error("{}: more than {limit} spans; split the file", path.display())]
    TooManySpans {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, problem: &'static str) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, problem }
    }
}

//! Any file as rows with labels, for evaluation.

use std::fmt;
use std::path::Path;

use crate::error::Error;
use crate::format::Format;
use crate::otlp_rows;
use crate::requests::open_requests;
use crate::row::Row;

/// Iterator over the spans of a file with their labels, see [`open_rows`].
pub struct Rows {
    kind: Kind,
    n_skipped: u64,
}

enum Kind {
    Otlp(std::vec::IntoIter<Row>),
    #[cfg(feature = "parquet")]
    Parquet(Box<crate::parquet::ParquetRows>),
}

/// Opens a file of spans for evaluation: rows in file order.
///
/// Parquet files are read a chunk at a time. OTLP files are read whole, since the number of a span
/// in its trace and whether the trace failed need all of it; at most 20 million spans. Spans with
/// invalid times are left out there and counted in [`Rows::n_skipped`].
///
/// # Errors
/// As [`open_requests`], and for OTLP files anything wrong inside.
pub fn open_rows(path: &Path) -> Result<Rows, Error> {
    match Format::of(path)? {
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let rows = crate::parquet::ParquetRows::open(path)?;
            Ok(Rows { kind: Kind::Parquet(Box::new(rows)), n_skipped: 0 })
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(Error::NoParquet { path: path.to_owned() }),
        Format::Protobuf(_) | Format::JsonLines(_) => {
            let (rows, n_skipped) = otlp_rows::read(path, open_requests(path)?)?;
            Ok(Rows { kind: Kind::Otlp(rows.into_iter()), n_skipped })
        }
    }
}

impl Rows {
    /// Spans left out because their times or ids are invalid.
    pub const fn n_skipped(&self) -> u64 {
        self.n_skipped
    }
}

impl Iterator for Rows {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.kind {
            Kind::Otlp(rows) => rows.next().map(Ok),
            #[cfg(feature = "parquet")]
            Kind::Parquet(rows) => rows.next(),
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("n_skipped", &self.n_skipped).finish_non_exhaustive()
    }
}

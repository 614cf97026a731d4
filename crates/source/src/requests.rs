//! Any file as a stream of OTLP requests, ready to be sent.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use spanwise_otlp::Limits;

use crate::error::Error;
use crate::format::Format;
use crate::frames::Frames;
use crate::input::{self, Progress};
use crate::lines::Lines;
#[cfg(feature = "parquet")]
use crate::replay::RowRequests;

/// Iterator over the requests of a file, see [`open_requests`].
pub struct Requests {
    kind: Kind,
}

enum Kind {
    Protobuf(Frames, Progress),
    JsonLines(Lines, Progress),
    #[cfg(feature = "parquet")]
    Parquet(Box<RowRequests<crate::parquet::ParquetRows>>),
}

/// Opens a file of spans for replay. Each item is one `ExportTraceServiceRequest`.
///
/// OTLP files yield their requests as they are, checked for their frames only: what is inside may
/// be as wrong as it was when it was recorded. Parquet files yield requests made of their rows, in
/// order of end time, without their labels. An error names the place; after one in the frames
/// nothing more comes, a bad line of JSON is skipped. Memory: one request, and for Parquet a chunk
/// of rows and the spans in flight.
///
/// # Errors
/// The name is not known, the file cannot be opened, or it is no Parquet file of spans.
pub fn open_requests(path: &Path) -> Result<Requests, Error> {
    let limits = Limits::default();
    let kind = match Format::of(path)? {
        Format::Protobuf(compression) => {
            let (stream, progress) = input::open(path, compression)?;
            Kind::Protobuf(Frames::new(path, stream, limits.request_bytes), progress)
        }
        Format::JsonLines(compression) => {
            let (stream, progress) = input::open(path, compression)?;
            Kind::JsonLines(Lines::new(path, stream, limits), progress)
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let rows = crate::parquet::ParquetRows::open(path)?;
            Kind::Parquet(Box::new(RowRequests::new(rows)))
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(Error::NoParquet { path: path.to_owned() }),
    };
    Ok(Requests { kind })
}

/// The requests of a recording that is part of the program: length-prefixed protobuf under zstd.
///
/// # Errors
/// It is not zstd.
pub fn requests_of_zstd(bytes: &'static [u8]) -> Result<Requests, Error> {
    let name = Path::new("(built in)");
    let stream = input::of_zstd(bytes).map_err(|error| Error::io(name, error))?;
    let frames = Frames::new(name, stream, Limits::default().request_bytes);
    Ok(Requests { kind: Kind::Protobuf(frames, Progress::default()) })
}

impl Requests {
    /// The share of the file that was read, in [0, 1].
    pub fn progress(&self) -> f64 {
        match &self.kind {
            Kind::Protobuf(_, progress) | Kind::JsonLines(_, progress) => progress.share(),
            #[cfg(feature = "parquet")]
            Kind::Parquet(requests) => requests.rows().progress(),
        }
    }
}

impl Iterator for Requests {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.kind {
            Kind::Protobuf(frames, _) => frames.next(),
            Kind::JsonLines(lines, _) => lines.next(),
            #[cfg(feature = "parquet")]
            Kind::Parquet(requests) => requests.next(),
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

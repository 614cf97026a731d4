//! Rows out of Parquet files, read a chunk at a time through the plain column readers: the Arrow
//! half of the `parquet` crate would be a third of the whole build and is not needed.

mod column;
mod schema;

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use spanwise_model::{SpanId, SpanKind, StatusCode, TraceId};

use crate::error::Error;
use crate::intern::Interner;
use crate::parquet::column::Cells;
use crate::parquet::schema::Columns;
use crate::row::{Labels, Row};

/// Rows decoded at a time.
const N_ROWS_PER_CHUNK: usize = 4096;

/// Iterator over the rows of a Parquet file of spans. Ends after the first error.
pub(crate) struct ParquetRows {
    path: PathBuf,
    file: Box<dyn FileReader>,
    next_group: usize,
    /// Columns of the row group at hand, with the rows it should still have.
    group: Option<(Columns, u64)>,
    chunk: std::vec::IntoIter<Row>,
    /// Rows decoded so far.
    n_read: u64,
    n_total: u64,
    names: Names,
    done: bool,
}

/// What repeats from row to row.
#[derive(Default)]
struct Names {
    services: Interner,
    operations: Interner,
    groups: Interner,
    trace: (Vec<u8>, TraceId),
    kind: (Vec<u8>, SpanKind),
}

/// Rows of a Parquet file that lies in memory; errors name it `path`.
///
/// # Errors
/// It is no Parquet file of spans.
pub fn rows_of_parquet(
    path: &Path,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<Row, Error>>, Error> {
    ParquetRows::new(path, bytes)
}

impl ParquetRows {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Self::new(path, file)
    }

    fn new<R: ChunkReader + 'static>(path: &Path, input: R) -> Result<Self, Error> {
        guarded(path, || Self::start(path, input))
    }

    fn start<R: ChunkReader + 'static>(path: &Path, input: R) -> Result<Self, Error> {
        let whole =
            |problem: String| Error::Parquet { path: path.to_owned(), problem: problem.into() };
        let file = SerializedFileReader::new(input).map_err(|e| whole(e.to_string()))?;
        let n_total = u64::try_from(file.metadata().file_metadata().num_rows())
            .map_err(|_| whole("the number of rows is negative".to_owned()))?;
        let mut rows = Self {
            path: path.to_owned(),
            file: Box::new(file),
            next_group: 0,
            group: None,
            chunk: Vec::new().into_iter(),
            n_read: 0,
            n_total,
            names: Names::default(),
            done: false,
        };
        // A file without the right columns is refused when it is opened, not at its first row.
        rows.open_group()?;
        Ok(rows)
    }

    /// The share of the rows that was read, in [0, 1].
    pub(crate) fn progress(&self) -> f64 {
        if self.n_total == 0 { 1.0 } else { (self.n_read as f64 / self.n_total as f64).min(1.0) }
    }

    /// Goes to the next row group, if there is one.
    fn open_group(&mut self) -> Result<(), Error> {
        if self.next_group >= self.file.num_row_groups() {
            self.group = None;
            return Ok(());
        }
        let (columns, n_rows) = Columns::open(&self.path, self.file.as_ref(), self.next_group)?;
        self.next_group += 1;
        self.group = Some((columns, n_rows));
        Ok(())
    }

    /// Decodes the next rows; none at the end of the file.
    fn read_chunk(&mut self) -> Result<(), Error> {
        while let Some((columns, n_left)) = &mut self.group {
            let n = (*n_left).min(N_ROWS_PER_CHUNK as u64) as usize;
            if n == 0 {
                self.open_group()?;
                continue;
            }
            columns.read(&self.path, self.n_read, n)?;
            let decoder = Decoder { path: &self.path, columns, first_row: self.n_read };
            let mut rows = Vec::with_capacity(n);
            for at in 0..n {
                rows.push(decoder.row(at, &mut self.names)?);
            }
            *n_left -= n as u64;
            self.n_read += n as u64;
            self.chunk = rows.into_iter();
            return Ok(());
        }
        Ok(())
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.chunk.next() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        let path = self.path.clone();
        if let Err(error) = guarded(&path, || self.read_chunk()) {
            self.done = true;
            return Some(Err(error));
        }
        let row = self.chunk.next();
        self.done = row.is_none();
        row.map(Ok)
    }
}

/// Runs `work`, and makes an error of a panic inside it.
///
/// The `parquet` crate checks what it reads with assertions: a flipped byte in a page may panic
/// (`assertion failed: size <= src.len()`). Whatever was half done belongs to `work` and is not used
/// again after an error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let problem = format!("damaged; the reader gave up: {}", message(panic.as_ref()));
        Err(Error::Parquet { path: path.to_owned(), problem: problem.into() })
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

/// Turns the cells of a chunk into rows.
struct Decoder<'a> {
    path: &'a Path,
    columns: &'a Columns,
    /// Rows of the file before this chunk.
    first_row: u64,
}

impl Decoder<'_> {
    fn row(&self, at: usize, names: &mut Names) -> Result<Row, Error> {
        let columns = self.columns;
        let labels = self.labels(at, names)?;
        let status = if labels.error { StatusCode::Error } else { StatusCode::Unset };
        Ok(Row {
            trace_id: self.trace_id(at, names)?,
            idx: self.number(&columns.idx, at, 0)?,
            parent_idx: self.number(&columns.parent_idx, at, -1)?,
            recorded_id: SpanId::default(),
            service: self.text(&columns.service, at, &mut names.services)?,
            operation: self.text(&columns.operation, at, &mut names.operations)?,
            kind: self.kind(at, names)?,
            start_ns: self.time(&columns.start_ns, at)?,
            dur_ns: self.time(&columns.dur_ns, at)?,
            status,
            labels,
        })
    }

    fn labels(&self, at: usize, names: &mut Names) -> Result<Labels, Error> {
        let columns = self.columns;
        let fault = columns.fault.as_ref().and_then(|cells| cells.int(at));
        let flag = |cells: &Option<Cells>| cells.as_ref().is_some_and(|cells| cells.flag(at));
        let group = match columns.group.as_ref().filter(|cells| cells.bytes(at).is_some()) {
            Some(cells) => Some(self.text(cells, at, &mut names.groups)?),
            None => None,
        };
        Ok(Labels {
            fault: fault.and_then(|fault| i32::try_from(fault).ok()).unwrap_or(-1),
            root_cause: flag(&columns.root_cause),
            slow_path: flag(&columns.slow_path),
            trace_struct: flag(&columns.trace_struct),
            error: flag(&columns.error),
            group,
        })
    }

    fn trace_id(&self, at: usize, names: &mut Names) -> Result<TraceId, Error> {
        let bytes = self.bytes(&self.columns.trace_id, at)?;
        if names.trace.0 == bytes && !bytes.is_empty() {
            return Ok(names.trace.1);
        }
        let id = std::str::from_utf8(bytes).ok().and_then(TraceId::from_hex);
        match id.filter(|id| !id.is_zero()) {
            Some(id) => {
                names.trace.0.clear();
                names.trace.0.extend_from_slice(bytes);
                names.trace.1 = id;
                Ok(id)
            }
            None => Err(self.value(&self.columns.trace_id, at, "not 1 to 32 hexadecimal digits")),
        }
    }

    fn kind(&self, at: usize, names: &mut Names) -> Result<SpanKind, Error> {
        let bytes = self.columns.kind.bytes(at).unwrap_or_default();
        if names.kind.0 == bytes {
            return Ok(names.kind.1);
        }
        let kind = match std::str::from_utf8(bytes) {
            Ok("") => Some(SpanKind::Unspecified),
            Ok(name) => SpanKind::from_name(name),
            Err(_) => None,
        };
        let kind = kind.ok_or_else(|| self.value(&self.columns.kind, at, "not a span kind"))?;
        names.kind = (bytes.to_owned(), kind);
        Ok(kind)
    }

    fn number(&self, cells: &Cells, at: usize, least: i32) -> Result<i32, Error> {
        let number = cells.int(at).and_then(|number| i32::try_from(number).ok());
        number
            .filter(|&number| number >= least)
            .ok_or_else(|| self.value(cells, at, "not the number of a span"))
    }

    fn time(&self, cells: &Cells, at: usize) -> Result<u64, Error> {
        let time = cells.int(at).and_then(|time| u64::try_from(time).ok());
        time.ok_or_else(|| self.value(cells, at, "missing or negative"))
    }

    fn text(&self, cells: &Cells, at: usize, names: &mut Interner) -> Result<Arc<str>, Error> {
        match std::str::from_utf8(self.bytes(cells, at)?) {
            Ok(text) => Ok(names.intern(text)),
            Err(_) => Err(self.value(cells, at, "not utf-8")),
        }
    }

    fn bytes<'b>(&self, cells: &'b Cells, at: usize) -> Result<&'b [u8], Error> {
        cells.bytes(at).ok_or_else(|| self.value(cells, at, "missing"))
    }

    fn value(&self, cells: &Cells, at: usize, problem: &'static str) -> Error {
        let row = self.first_row + at as u64 + 1;
        Error::Value { path: self.path.to_owned(), column: cells.name(), row, problem }
    }
}

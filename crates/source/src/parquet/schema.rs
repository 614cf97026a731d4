//! The columns of a file of spans, found by name.

use std::path::Path;

use parquet::file::reader::FileReader;

use crate::error::Error;
use crate::parquet::column::{Cells, Wanted};

/// Every column that is read, open at the same row.
pub(super) struct Columns {
    pub(super) trace_id: Cells,
    pub(super) idx: Cells,
    pub(super) parent_idx: Cells,
    pub(super) service: Cells,
    pub(super) operation: Cells,
    pub(super) kind: Cells,
    pub(super) start_ns: Cells,
    pub(super) dur_ns: Cells,
    pub(super) fault: Option<Cells>,
    pub(super) root_cause: Option<Cells>,
    pub(super) slow_path: Option<Cells>,
    pub(super) trace_struct: Option<Cells>,
    pub(super) error: Option<Cells>,
    pub(super) group: Option<Cells>,
}

/// Finds columns in one row group.
struct Finder<'a> {
    path: &'a Path,
    file: &'a dyn FileReader,
    group_idx: usize,
}

impl Columns {
    /// The columns of a row group and its number of rows.
    pub(super) fn open(
        path: &Path,
        file: &dyn FileReader,
        group_idx: usize,
    ) -> Result<(Self, u64), Error> {
        let finder = Finder { path, file, group_idx };
        let columns = Self {
            trace_id: finder.required("trace_id", Wanted::Text)?,
            idx: finder.required("idx", Wanted::Integer)?,
            parent_idx: finder.required("parent_idx", Wanted::Integer)?,
            service: finder.required("service", Wanted::Text)?,
            operation: finder.required("operation", Wanted::Text)?,
            kind: finder.required("kind", Wanted::Text)?,
            start_ns: finder.required("start_ns", Wanted::Integer)?,
            dur_ns: finder.required("dur_ns", Wanted::Integer)?,
            fault: finder.optional("fault", Wanted::Integer)?,
            root_cause: finder.optional("root_cause", Wanted::Flag)?,
            slow_path: finder.optional("slow_path", Wanted::Flag)?,
            trace_struct: finder.optional("trace_struct", Wanted::Flag)?,
            error: finder.optional("error", Wanted::FlagOrText)?,
            group: finder.optional("group", Wanted::Text)?,
        };
        let n_rows = file.metadata().row_group(group_idx).num_rows();
        let n_rows = u64::try_from(n_rows).map_err(|_| Error::Parquet {
            path: path.to_owned(),
            problem: "a row group has a negative number of rows".into(),
        })?;
        Ok((columns, n_rows))
    }

    /// Reads the next `n` rows of every column. `n_before` rows of the file were read before.
    pub(super) fn read(&mut self, path: &Path, n_before: u64, n: usize) -> Result<(), Error> {
        for cells in self.all() {
            cells.read(path, n_before, n)?;
        }
        Ok(())
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Cells> {
        let required = [
            &mut self.trace_id,
            &mut self.idx,
            &mut self.parent_idx,
            &mut self.service,
            &mut self.operation,
            &mut self.kind,
            &mut self.start_ns,
            &mut self.dur_ns,
        ];
        let optional = [
            &mut self.fault,
            &mut self.root_cause,
            &mut self.slow_path,
            &mut self.trace_struct,
            &mut self.error,
            &mut self.group,
        ];
        required.into_iter().chain(optional.into_iter().flatten())
    }
}

impl Finder<'_> {
    fn required(&self, name: &'static str, wanted: Wanted) -> Result<Cells, Error> {
        match self.optional(name, wanted)? {
            Some(cells) => Ok(cells),
            None => Err(Error::Column {
                path: self.path.to_owned(),
                column: name,
                problem: "missing; a file of spans needs trace_id, idx, parent_idx, service, \
                          operation, kind, start_ns and dur_ns"
                    .into(),
            }),
        }
    }

    fn optional(&self, name: &'static str, wanted: Wanted) -> Result<Option<Cells>, Error> {
        let schema = self.file.metadata().file_metadata().schema_descr_ptr();
        let found = schema.columns().iter().position(|column| column.path().string() == name);
        let Some(column_idx) = found else { return Ok(None) };
        let failed = |problem: String| Error::Column {
            path: self.path.to_owned(),
            column: name,
            problem: problem.into(),
        };
        let group = self.file.get_row_group(self.group_idx).map_err(|e| failed(e.to_string()))?;
        if column_idx >= group.num_columns() {
            return Err(failed("not in every row group".to_owned()));
        }
        let reader = group.get_column_reader(column_idx).map_err(|e| failed(e.to_string()))?;
        let column = schema.column(column_idx);
        let cells = Cells::new(name, wanted, &column, reader);
        cells.map(Some).map_err(|problem| failed(problem.to_owned()))
    }
}

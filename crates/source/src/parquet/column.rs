//! One column: the reader of its physical type, and the cells of the chunk that was read last.

use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::schema::types::ColumnDescriptor;

use crate::error::Error;

/// What a column must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// INT32 or INT64.
    Integer,
    /// BOOLEAN.
    Flag,
    /// `BYTE_ARRAY`.
    Text,
    /// BOOLEAN, or `BYTE_ARRAY` that says `true`, `false` or nothing.
    FlagOrText,
}

/// A column and its cells.
pub(super) struct Cells {
    name: &'static str,
    typed: Typed,
}

enum Typed {
    Int32(Column<Int32Type>),
    Int64(Column<Int64Type>),
    Flag(Column<BoolType>),
    Text(Column<ByteArrayType>),
}

/// Cells are dense if none is missing; else `levels` tells which are there.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    max_level: i16,
    levels: Vec<i16>,
    values: Vec<T::T>,
    /// Position in `values` of each cell, [`MISSING`] if it has none. Empty if no cell is missing.
    places: Vec<u32>,
}

const MISSING: u32 = u32::MAX;

impl Cells {
    pub(super) fn new(
        name: &'static str,
        wanted: Wanted,
        column: &ColumnDescriptor,
        reader: ColumnReader,
    ) -> Result<Self, &'static str> {
        if column.max_rep_level() > 0 {
            return Err("a list, but one value for each span is needed");
        }
        let max_level = column.max_def_level();
        let typed = match (wanted, reader) {
            (Wanted::Integer, ColumnReader::Int32ColumnReader(reader)) => {
                Typed::Int32(Column::new(reader, max_level))
            }
            (Wanted::Integer, ColumnReader::Int64ColumnReader(reader)) => {
                Typed::Int64(Column::new(reader, max_level))
            }
            (Wanted::Flag | Wanted::FlagOrText, ColumnReader::BoolColumnReader(reader)) => {
                Typed::Flag(Column::new(reader, max_level))
            }
            (Wanted::Text | Wanted::FlagOrText, ColumnReader::ByteArrayColumnReader(reader)) => {
                Typed::Text(Column::new(reader, max_level))
            }
            (Wanted::Integer, _) => return Err("not INT32 or INT64"),
            (Wanted::Flag, _) => return Err("not BOOLEAN"),
            (Wanted::Text, _) => return Err("not BYTE_ARRAY"),
            (Wanted::FlagOrText, _) => return Err("not BOOLEAN or BYTE_ARRAY"),
        };
        Ok(Self { name, typed })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Reads the next `n` cells. `n_before` rows of the file were read before.
    pub(super) fn read(&mut self, path: &Path, n_before: u64, n: usize) -> Result<(), Error> {
        let read = match &mut self.typed {
            Typed::Int32(column) => column.read(n),
            Typed::Int64(column) => column.read(n),
            Typed::Flag(column) => column.read(n),
            Typed::Text(column) => column.read(n),
        };
        read.map_err(|problem| Error::Column {
            path: path.to_owned(),
            column: self.name,
            problem: format!("{problem} (in the {n} rows after row {n_before})").into(),
        })
    }

    pub(super) fn int(&self, at: usize) -> Option<i64> {
        match &self.typed {
            Typed::Int32(column) => column.cell(at).map(|&value| i64::from(value)),
            Typed::Int64(column) => column.cell(at).copied(),
            Typed::Flag(_) | Typed::Text(_) => None,
        }
    }

    pub(super) fn bytes(&self, at: usize) -> Option<&[u8]> {
        match &self.typed {
            Typed::Text(column) => column.cell(at).map(parquet::data_type::ByteArray::data),
            _ => None,
        }
    }

    /// A missing cell is false; a text is true unless it is empty or says `none` or `false`.
    pub(super) fn flag(&self, at: usize) -> bool {
        match &self.typed {
            Typed::Flag(column) => column.cell(at).copied().unwrap_or(false),
            Typed::Text(column) => column.cell(at).is_some_and(|text| {
                let no = [&b""[..], b"none", b"false"];
                !no.iter().any(|no| text.data().eq_ignore_ascii_case(no))
            }),
            Typed::Int32(_) | Typed::Int64(_) => false,
        }
    }
}

impl<T: DataType> Column<T> {
    const fn new(reader: ColumnReaderImpl<T>, max_level: i16) -> Self {
        Self { reader, max_level, levels: Vec::new(), values: Vec::new(), places: Vec::new() }
    }

    fn read(&mut self, n: usize) -> Result<(), String> {
        self.levels.clear();
        self.values.clear();
        self.places.clear();
        let mut n_read = 0;
        while n_read < n {
            let levels = Some(&mut self.levels).filter(|_| self.max_level > 0);
            let (n_records, ..) = self
                .reader
                .read_records(n - n_read, levels, None, &mut self.values)
                .map_err(|e| e.to_string())?;
            if n_records == 0 {
                return Err("ends before the row group does".to_owned());
            }
            n_read += n_records;
        }
        if self.values.len() < n {
            self.place(n)?;
        }
        Ok(())
    }

    /// Finds the value of each cell where some are missing.
    fn place(&mut self, n: usize) -> Result<(), String> {
        let mut next = 0;
        for &level in &self.levels {
            let there = level == self.max_level;
            self.places.push(if there { next } else { MISSING });
            next += u32::from(there);
        }
        if self.places.len() != n || next as usize != self.values.len() {
            return Err("its levels do not fit its values".to_owned());
        }
        Ok(())
    }

    fn cell(&self, at: usize) -> Option<&T::T> {
        match self.places.get(at) {
            Some(&place) => self.values.get(place as usize),
            None => self.values.get(at),
        }
    }
}

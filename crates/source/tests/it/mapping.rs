//! Arbitrary columns against a slow reading of the same values: which rows a Parquet file has, or
//! that it is refused. The same check for the corpus and for the fuzz target (which includes this
//! file).
//!
//! The files are valid, their contents are anything: so whatever goes wrong is our mapping's fault
//! and not the file's, and a panic of the reader, which a damaged page may cause, must not happen.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use spanwise_model::{SpanKind, TraceId};
use spanwise_source::{Row, rows_of_parquet};

/// Names of the columns, with the physical type each has in an ordinary file.
const COLUMNS: [(&str, Physical); 14] = [
    ("trace_id", Physical::BYTE_ARRAY),
    ("idx", Physical::INT32),
    ("parent_idx", Physical::INT32),
    ("service", Physical::BYTE_ARRAY),
    ("operation", Physical::BYTE_ARRAY),
    ("kind", Physical::BYTE_ARRAY),
    ("start_ns", Physical::INT64),
    ("dur_ns", Physical::INT64),
    ("fault", Physical::INT32),
    ("root_cause", Physical::BOOLEAN),
    ("slow_path", Physical::BOOLEAN),
    ("trace_struct", Physical::BOOLEAN),
    ("error", Physical::BOOLEAN),
    ("group", Physical::BYTE_ARRAY),
];
/// The first so many must be there.
const N_REQUIRED: usize = 8;
const KINDS: [&str; 6] = ["", "SERVER", "client", "SPAN_KIND_INTERNAL", "producer", "gateway"];

/// One cell; `None` is missing.
#[derive(Clone, Debug)]
enum Cell {
    Int(i64),
    Flag(bool),
    Text(Vec<u8>),
}

/// A column with its cells, group after group.
#[derive(Debug)]
struct Column {
    name: &'static str,
    physical: Physical,
    is_optional: bool,
    groups: Vec<Vec<Option<Cell>>>,
}

/// Makes choices out of bytes; zeros when they have run out.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn int(&mut self, physical: Physical) -> i64 {
        let value = match self.byte() {
            small @ 0..=199 => i64::from(small),
            200..=209 => -1,
            210..=219 => i64::MAX,
            220..=229 => i64::MIN,
            230..=239 => i64::from(i32::MAX) + 1,
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        };
        if physical == Physical::INT32 { i64::from(value as i32) } else { value }
    }

    fn text(&mut self, name: &str) -> Vec<u8> {
        let choice = self.byte();
        match (name, choice) {
            (_, 200..) => {
                let len = self.byte() % 40;
                (0..len).map(|_| self.byte()).collect()
            }
            ("trace_id", _) => format!("{choice:x}").into_bytes(),
            ("kind", _) => KINDS[usize::from(choice) % KINDS.len()].as_bytes().to_vec(),
            ("error", _) => {
                [&b"true"[..], b"None", b"FALSE", b"", b"no"][usize::from(choice) % 5].to_vec()
            }
            _ => format!("{name}-{}", choice % 8).into_bytes(),
        }
    }

    /// A column, or `None` for one that is left out.
    fn column(
        &mut self,
        (name, usual): (&'static str, Physical),
        lens: &[usize],
    ) -> Option<Column> {
        let choice = self.byte();
        let physical = match choice % 32 {
            0 => return None,
            1 => Physical::INT32,
            2 => Physical::INT64,
            3 => Physical::BOOLEAN,
            4 => Physical::BYTE_ARRAY,
            _ => usual,
        };
        let is_optional = choice >= 128;
        let mut cell = || {
            if is_optional && self.byte() % 16 == 15 {
                return None;
            }
            Some(match physical {
                Physical::BOOLEAN => Cell::Flag(self.byte() % 2 == 1),
                Physical::BYTE_ARRAY => Cell::Text(self.text(name)),
                _ => Cell::Int(self.int(physical)),
            })
        };
        let groups = lens.iter().map(|&len| (0..len).map(|_| cell()).collect()).collect();
        Some(Column { name, physical, is_optional, groups })
    }
}

/// Reads the file that `bytes` describe, and any file that they are. Whether rows came out.
pub(crate) fn check_rows(bytes: &[u8]) -> bool {
    let (&mode, rest) = bytes.split_first().unwrap_or((&0, &[]));
    if mode == b'P' {
        // Perhaps a file itself: it may be refused, and that is all that may happen.
        return read(Bytes::copy_from_slice(bytes)).0.is_empty();
    }
    let mut choices = Choices(rest);
    let lens: Vec<usize> = (0..=mode % 3).map(|_| usize::from(choices.byte() % 24)).collect();
    let columns: Vec<Column> =
        COLUMNS.into_iter().filter_map(|column| choices.column(column, &lens)).collect();
    let file = write(&columns, &lens);
    let (rows, error) = read(file);
    if let Some(error) = &error {
        assert!(!error.contains("the reader gave up"), "{error} for {columns:?}");
    }
    let (expected, is_refused) = expected(&columns, &lens);
    assert_eq!(error.is_some(), is_refused, "{error:?} for {columns:?}");
    assert_eq!(rows.len(), expected.len(), "{error:?} for {columns:?}");
    for (row, expected) in rows.iter().zip(&expected) {
        expected.check(row);
    }
    !rows.is_empty()
}

/// The rows up to the first error, and the error.
fn read(file: Bytes) -> (Vec<Row>, Option<String>) {
    let mut rows = Vec::new();
    let iterator = match rows_of_parquet(Path::new("file"), file) {
        Ok(iterator) => iterator,
        Err(error) => return (rows, Some(error.to_string())),
    };
    for row in iterator.take(100_000) {
        match row {
            Ok(row) => rows.push(row),
            Err(error) => return (rows, Some(error.to_string())),
        }
    }
    (rows, None)
}

fn write(columns: &[Column], lens: &[usize]) -> Bytes {
    let fields = columns.iter().map(|column| {
        let repetition =
            if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let field = Type::primitive_type_builder(column.name, column.physical)
            .with_repetition(repetition)
            .with_converted_type(ConvertedType::NONE);
        Arc::new(field.build().unwrap())
    });
    let schema = Type::group_type_builder("spans").with_fields(fields.collect()).build().unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties).unwrap();
    for group_idx in 0..lens.len() {
        let mut group = file.next_row_group().unwrap();
        let mut of = columns.iter();
        while let Some(mut writer) = group.next_column().unwrap() {
            let column = of.next().unwrap();
            write_cells(column, group_idx, writer.untyped());
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    file.into_inner().unwrap().into()
}

fn write_cells(column: &Column, group_idx: usize, writer: &mut ColumnWriter<'_>) {
    let cells = &column.groups[group_idx];
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let levels = column.is_optional.then_some(&levels[..]);
    let there = || cells.iter().flatten();
    let ints =
        || there().filter_map(|cell| if let Cell::Int(int) = cell { Some(*int) } else { None });
    let written = match writer {
        ColumnWriter::Int32ColumnWriter(writer) => {
            let values: Vec<i32> = ints().map(|int| int as i32).collect();
            writer.write_batch(&values, levels, None)
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            writer.write_batch(&ints().collect::<Vec<i64>>(), levels, None)
        }
        ColumnWriter::BoolColumnWriter(writer) => {
            let flag = |cell: &Cell| matches!(cell, Cell::Flag(true));
            writer.write_batch(&there().map(flag).collect::<Vec<bool>>(), levels, None)
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let text = |cell: &Cell| match cell {
                Cell::Text(text) => ByteArray::from(text.clone()),
                _ => ByteArray::new(),
            };
            writer.write_batch(&there().map(text).collect::<Vec<_>>(), levels, None)
        }
        _ => return,
    };
    written.unwrap();
}

/// What a row must say.
#[derive(Debug)]
struct Expected {
    trace_id: TraceId,
    idx: i32,
    parent_idx: i32,
    service: String,
    operation: String,
    kind: SpanKind,
    start_ns: u64,
    dur_ns: u64,
    fault: i32,
    flags: [bool; 4],
    group: Option<String>,
}

impl Expected {
    fn check(&self, row: &Row) {
        let labels = &row.labels;
        assert_eq!(row.trace_id, self.trace_id);
        assert_eq!((row.idx, row.parent_idx), (self.idx, self.parent_idx));
        assert_eq!((&*row.service, &*row.operation), (&*self.service, &*self.operation));
        assert_eq!(row.kind, self.kind);
        assert_eq!((row.start_ns, row.dur_ns), (self.start_ns, self.dur_ns));
        assert_eq!(labels.fault, self.fault);
        let flags = [labels.root_cause, labels.slow_path, labels.trace_struct, labels.error];
        assert_eq!(flags, self.flags);
        assert_eq!(labels.group.as_deref(), self.group.as_deref());
    }
}

/// The rows that must come, and whether an error must follow them: the row groups before the first
/// with anything wrong in it, for a row group is read as a whole.
fn expected(columns: &[Column], lens: &[usize]) -> (Vec<Expected>, bool) {
    let mut rows = Vec::new();
    if !columns_fit(columns) {
        return (rows, true);
    }
    for (group_idx, &len) in lens.iter().enumerate() {
        let group: Option<Vec<Expected>> =
            (0..len).map(|at| expected_row(columns, group_idx, at)).collect();
        match group {
            Some(group) => rows.extend(group),
            None => return (rows, true),
        }
    }
    (rows, false)
}

fn columns_fit(columns: &[Column]) -> bool {
    let has = |name: &str| columns.iter().any(|column| column.name == name);
    let fits = |column: &Column| {
        let usual = COLUMNS.iter().find(|(name, _)| *name == column.name).unwrap().1;
        let is_int = |physical| matches!(physical, Physical::INT32 | Physical::INT64);
        column.physical == usual
            || (is_int(usual) && is_int(column.physical))
            || (column.name == "error" && column.physical == Physical::BYTE_ARRAY)
    };
    COLUMNS[..N_REQUIRED].iter().all(|(name, _)| has(name)) && columns.iter().all(fits)
}

fn expected_row(columns: &[Column], group_idx: usize, at: usize) -> Option<Expected> {
    let cell = |name: &str| {
        let column = columns.iter().find(|column| column.name == name)?;
        column.groups[group_idx][at].clone()
    };
    let int = |name: &str| match cell(name)? {
        Cell::Int(int) => Some(int),
        _ => None,
    };
    let text = |name: &str| match cell(name)? {
        Cell::Text(text) => Some(text),
        _ => None,
    };
    let utf8 = |name: &str| text(name).and_then(|text| String::from_utf8(text).ok());
    let flag = |name: &str| match cell(name) {
        Some(Cell::Flag(flag)) => flag,
        Some(Cell::Text(text)) => {
            let lower = text.to_ascii_lowercase();
            ![&b""[..], b"none", b"false"].contains(&&lower[..])
        }
        _ => false,
    };
    let group = match cell("group") {
        None => None,
        Some(_) => Some(utf8("group")?),
    };
    let kind = text("kind").unwrap_or_default();
    let kind = String::from_utf8(kind).ok()?;
    Some(Expected {
        trace_id: TraceId::from_hex(&utf8("trace_id")?).filter(|id| !id.is_zero())?,
        idx: i32::try_from(int("idx")?).ok().filter(|&idx| idx >= 0)?,
        parent_idx: i32::try_from(int("parent_idx")?).ok().filter(|&idx| idx >= -1)?,
        service: utf8("service")?,
        operation: utf8("operation")?,
        kind: if kind.is_empty() { SpanKind::Unspecified } else { SpanKind::from_name(&kind)? },
        start_ns: u64::try_from(int("start_ns")?).ok()?,
        dur_ns: u64::try_from(int("dur_ns")?).ok()?,
        fault: int("fault").and_then(|fault| i32::try_from(fault).ok()).unwrap_or(-1),
        flags: ["root_cause", "slow_path", "trace_struct", "error"].map(flag),
        group,
    })
}

//! OTLP files: framing, compression, lines, rows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId};
use spanwise_otlp::RequestBuilder;
use spanwise_source::{Error, open_requests, open_rows, write_requests};
use tempfile::TempDir;

fn record(trace: u8, id: u8, parent: u8, start: u64, status: StatusCode) -> SpanRecord {
    SpanRecord {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_id: SpanId([parent; 8]),
        service: Arc::from(if id.is_multiple_of(2) { "even" } else { "odd" }),
        instance: Arc::default(),
        operation: format!("GET /{id}").into(),
        kind: SpanKind::Server,
        start: Timestamp(start),
        end: Timestamp(start + 10),
        status,
        trace_state: Arc::default(),
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

fn request(records: &[SpanRecord]) -> Bytes {
    let mut builder = RequestBuilder::new();
    for record in records {
        builder.push(record);
    }
    builder.finish()
}

fn requests() -> Vec<Bytes> {
    let ok = StatusCode::Unset;
    vec![
        request(&[record(1, 1, 0, 1_000, ok), record(1, 2, 1, 1_002, ok)]),
        request(&[record(2, 3, 0, 2_000, StatusCode::Error), record(1, 4, 9, 900, ok)]),
        request(&[record(2, 5, 3, 2_001, ok)]),
    ]
}

fn framed(requests: &[Bytes], prefix: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        bytes.extend_from_slice(&prefix(request.len() as u32));
        bytes.extend_from_slice(request);
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn put(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path) -> Vec<Bytes> {
    open_requests(path).unwrap().collect::<Result<_, _>>().unwrap()
}

/// All that can be read, then the error.
fn read_until_error(path: &Path) -> (Vec<Bytes>, String) {
    let mut good = Vec::new();
    for item in open_requests(path).unwrap() {
        match item {
            Ok(request) => good.push(request),
            Err(error) => {
                let text = error.to_string();
                return (good, text.replace(&path.display().to_string(), "FILE"));
            }
        }
    }
    (good, String::new())
}

#[test]
fn requests_come_back_whatever_the_compression_and_byte_order() {
    let dir = TempDir::new().unwrap();
    let little = framed(&requests(), u32::to_le_bytes);
    let big = framed(&requests(), u32::to_be_bytes);
    let check = |name: &str, bytes: &[u8]| {
        assert_eq!(read(&put(&dir, name, bytes)), requests(), "{name}");
    };
    check("a.otlp.pb", &little);
    check("b.otlp.pb", &big);
    check("a.otlp.pb.gz", &gzip(&little));
    check("b.otlp.pb.gz", &gzip(&big));
    check("a.otlp.pb.zst", &zstd(&little));
    check("b.otlp.pb.zst", &zstd(&big));
    // Cut at a place that has nothing to do with the frames inside.
    let (first, second) = little.split_at(37);
    check("c.otlp.pb.zst", &[zstd(first), zstd(second)].concat());
    check("c.otlp.pb.gz", &[gzip(first), gzip(second)].concat());
}

#[test]
fn empty_files_and_empty_requests_are_legal() {
    let dir = TempDir::new().unwrap();
    assert_eq!(read(&put(&dir, "a.otlp.pb", &[])).len(), 0);
    let with_empty = [vec![Bytes::new(); 2], requests()].concat();
    let big = framed(&with_empty, u32::to_be_bytes);
    assert_eq!(read(&put(&dir, "b.otlp.pb", &big)), with_empty);
    assert_eq!(
        open_requests(&put(&dir, "c.otlp.pb", &[])).unwrap().progress().to_bits(),
        1_f64.to_bits()
    );
}

#[test]
fn damaged_frames_are_errors_that_name_the_byte() {
    let dir = TempDir::new().unwrap();
    let bytes = framed(&requests(), u32::to_le_bytes);
    let second = 4 + requests()[0].len();
    let check = |bytes: &[u8], n_good: usize, expected: &str| {
        let (good, error) = read_until_error(&put(&dir, "a.otlp.pb", bytes));
        assert_eq!((good.len(), error.as_str()), (n_good, expected));
    };
    let place = "of the uncompressed content";
    let text =
        format!("FILE: the file ends inside the length that begins at byte {second} {place}");
    check(&bytes[..second + 3], 1, &text);
    let text =
        format!("FILE: the file ends inside the request that begins at byte {second} {place}");
    check(&bytes[..second + 9], 1, &text);
    let text = format!(
        "FILE: neither a little- nor a big-endian length leads to an otlp request at byte 0 {place}"
    );
    check(b"{\"resourceSpans\":[]}", 0, &text);
    check(&[0xff; 64], 0, &text);
    let huge = [&bytes[..second], &[0xff; 4]].concat();
    let text = format!("FILE: a request longer than 64 MiB at byte {second} {place}");
    check(&huge, 1, &text);
}

#[test]
fn a_file_whose_compression_lies_is_an_error() {
    let dir = TempDir::new().unwrap();
    let plain = framed(&requests(), u32::to_le_bytes);
    for name in ["a.otlp.pb.zst", "a.otlp.pb.gz", "a.otlp.jsonl.zst"] {
        let (good, error) = read_until_error(&put(&dir, name, &plain));
        assert!(good.is_empty() && error.starts_with("FILE: "), "{name}: {error}");
    }
    let (_, error) = read_until_error(&put(&dir, "b.otlp.pb.zst", &zstd(&plain)[..60]));
    assert!(error.starts_with("FILE: "), "{error}");
}

#[test]
fn names_that_tell_nothing_are_refused() {
    let error = open_requests(Path::new("spans.bin")).unwrap_err().to_string();
    assert_eq!(
        error,
        "spans.bin: cannot tell the format by the name; use .otlp.pb or .otlp.jsonl, each also \
         with .zst or .gz, or .parquet"
    );
    let missing = open_rows(Path::new("/nowhere/a.otlp.pb")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
}

#[test]
fn lines_are_requests_and_a_bad_one_is_skipped() {
    let good = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"x","startTimeUnixNano":"5","endTimeUnixNano":"9"}]}]}]}"#;
    let text = format!("{good}\n\n  \nnonsense\n{good}");
    let dir = TempDir::new().unwrap();
    for (name, bytes) in [
        ("a.otlp.jsonl", text.clone().into_bytes()),
        ("a.otlp.jsonl.gz", gzip(text.as_bytes())),
        ("a.otlp.jsonl.zst", zstd(text.as_bytes())),
    ] {
        let path = put(&dir, name, &bytes);
        let items: Vec<_> = open_requests(&path).unwrap().collect();
        assert_eq!(items.len(), 3);
        assert!(items[0].is_ok() && items[2].is_ok());
        let error = items[1].as_ref().unwrap_err().to_string();
        assert!(error.contains(": request 4: malformed otlp/json at line 1 column"), "{error}");
    }
}

#[test]
fn what_is_written_is_read_back_and_only_complete_files_have_a_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.otlp.pb.zst");
    let mut writer = write_requests(&path).unwrap();
    for request in requests() {
        writer.push(&request).unwrap();
    }
    assert!(!path.exists());
    writer.finish().unwrap();
    assert_eq!(read(&path), requests());
    let other = dir.path().join("other.otlp.pb.zst");
    drop(write_requests(&other).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = write_requests(&dir.path().join("out.otlp.pb")).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }));
}

#[test]
fn rows_of_an_otlp_file_are_numbered_by_start_and_failed_by_trace() {
    let dir = TempDir::new().unwrap();
    let path = put(&dir, "a.otlp.pb", &framed(&requests(), u32::to_le_bytes));
    let rows: Vec<_> = open_rows(&path).unwrap().map(Result::unwrap).collect();
    let got: Vec<_> = rows
        .iter()
        .map(|row| (row.trace_id.0[0], &*row.operation, row.idx, row.parent_idx, row.labels.error))
        .collect();
    // Inside a request spans stand by service.
    let expected = [
        (1, "GET /1", 1, -1, false),
        (1, "GET /2", 2, 1, false),
        (2, "GET /3", 0, -1, true),
        (1, "GET /4", 0, -1, false),
        (2, "GET /5", 1, 0, true),
    ];
    assert_eq!(got, expected);
    assert_eq!((rows[0].start_ns, rows[0].dur_ns, &*rows[0].service), (1_000, 10, "odd"));
    assert_eq!(rows[0].span_id(), SpanId([1; 8]));
}

proptest! {
    #[test]
    fn the_byte_order_is_found_for_any_first_request(n in 1..700_usize, name in "[a-z]{1,300}") {
        let records: Vec<SpanRecord> = (0..n)
            .map(|i| SpanRecord {
                operation: name.as_str().into(),
                ..record(1, i as u8 | 1, 0, 1_000, StatusCode::Unset)
            })
            .collect();
        let all = [request(&records), request(&records[..1])];
        let dir = TempDir::new().unwrap();
        for prefix in [u32::to_le_bytes, u32::to_be_bytes] {
            let path = put(&dir, "a.otlp.pb", &framed(&all, prefix));
            prop_assert_eq!(read(&path), &all);
        }
    }
}

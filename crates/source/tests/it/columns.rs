//! Parquet files: columns, labels, errors, and the requests made of them.

use std::collections::BTreeSet;

use spanwise_model::{SpanId, SpanKind, StatusCode, TraceId};
use spanwise_otlp::{Limits, decode};
use spanwise_source::{Labels, Row, open_requests, open_rows};

use crate::data;

fn rows(name: &str) -> Vec<Row> {
    open_rows(&data(name)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn rows_come_with_their_labels_apart() {
    let rows = rows("tt_0129_sample.parquet");
    let first = Row {
        trace_id: TraceId::from_hex("dad811a6f14846847bf2f220daa5e573").unwrap(),
        idx: 0,
        parent_idx: -1,
        recorded_id: SpanId::default(),
        service: "ts-gateway-service".into(),
        operation: "/*".into(),
        kind: SpanKind::Server,
        start_ns: 1_674_981_730_928_000_000,
        dur_ns: 176_214_505,
        status: StatusCode::Unset,
        labels: Labels::default(),
    };
    assert_eq!((rows.len(), &rows[0]), (200, &first));
    let last = &rows[199];
    assert_eq!(&*last.operation, "/api/v1/contactservice/contacts/{id}");
    assert_eq!((last.idx, last.parent_idx, last.labels.fault), (27, 26, 27));
    // Sums over both row groups, by another reader of Parquet.
    assert_eq!(rows.iter().map(|row| row.dur_ns).sum::<u64>(), 16_842_458_132);
    assert_eq!(rows.iter().map(|row| row.idx).sum::<i32>(), 2_460);
    assert_eq!(rows.iter().map(|row| row.parent_idx).sum::<i32>(), 1_984);
    assert_eq!(rows.iter().filter(|row| row.labels.root_cause).count(), 15);
    assert_eq!(rows.iter().filter(|row| row.labels.slow_path).count(), 43);
    let operations: BTreeSet<_> = rows.iter().map(|row| &row.operation).collect();
    assert_eq!(operations.len(), 56);
}

#[test]
fn missing_values_other_widths_and_extra_columns_are_fine() {
    let got: Vec<_> = rows("odd.parquet")
        .iter()
        .map(|row| {
            let group = row.labels.group.as_deref().unwrap_or("-").to_owned();
            (row.trace_id.low64(), row.idx, row.kind, row.labels.error, row.labels.fault, group)
        })
        .collect();
    let expected = [
        (1, 0, SpanKind::Unspecified, false, -1, "a".to_owned()),
        (1, 1, SpanKind::Client, true, -1, "-".to_owned()),
        (2, 0, SpanKind::Server, false, -1, "b".to_owned()),
    ];
    assert_eq!(got, expected);
}

#[test]
fn what_cannot_be_used_is_named_by_file_column_and_row() {
    let check = |name: &str, expected: &str| {
        let path = data(name);
        let result = open_rows(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let text = result.unwrap_err().to_string();
        assert_eq!(text.replace(&path.display().to_string(), "FILE"), expected);
    };
    check(
        "no_service.parquet",
        "FILE: column service: missing; a file of spans needs trace_id, idx, parent_idx, service, \
         operation, kind, start_ns and dur_ns",
    );
    check("text_start.parquet", "FILE: column start_ns: not INT32 or INT64");
    check("negative_duration.parquet", "FILE: column dur_ns, row 2: missing or negative");
    check("bad_trace_id.parquet", "FILE: column trace_id, row 3: not 1 to 32 hexadecimal digits");
    check("null_operation.parquet", "FILE: column operation, row 2: missing");
    check(
        "list_start.parquet",
        "FILE: column start_ns: missing; a file of spans needs trace_id, idx, parent_idx, \
         service, operation, kind, start_ns and dur_ns",
    );
}

#[test]
fn requests_hold_every_row_once_in_order_of_end_without_labels() {
    let rows = rows("tt_0129_sample.parquet");
    let mut expected: Vec<(u64, [u8; 8], String)> =
        rows.iter().map(|row| (row.end_ns(), row.span_id().0, row.operation.to_string())).collect();
    expected.sort();
    let mut got = Vec::new();
    let mut last_second = 0;
    for request in open_requests(&data("tt_0129_sample.parquet")).unwrap() {
        let batch = decode(request.unwrap(), &Limits::default()).unwrap().batch;
        let seconds: BTreeSet<u64> = batch.spans.iter().map(|head| head.end.as_secs()).collect();
        assert_eq!(seconds.len(), 1);
        assert!(seconds.first().unwrap() >= &last_second);
        last_second = *seconds.first().unwrap();
        for head in &batch.spans {
            got.push((head.end.0, head.span_id.0, batch.name(head).to_owned()));
        }
    }
    got.sort();
    assert_eq!(got, expected);
}

#[test]
fn parents_are_found_by_the_ids_that_are_derived() {
    let rows = rows("tt_0129_sample.parquet");
    for row in rows.iter().filter(|row| row.parent_idx >= 0) {
        let of_parent =
            |other: &&Row| other.trace_id == row.trace_id && other.idx == row.parent_idx;
        let Some(parent) = rows.iter().find(of_parent) else { continue };
        assert_eq!(row.to_record().parent_id, parent.to_record().span_id);
        assert_eq!(row.to_head().parent_id, parent.to_head().span_id);
    }
    assert!(rows[0].to_record().parent_id.is_zero());
}

//! The development data, where it is at hand: `SPANWISE_DATA` names its folder.

use std::collections::BTreeSet;
use std::path::PathBuf;

use spanwise_otlp::{Limits, decode};
use spanwise_source::{open_requests, open_rows};

fn file(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("SPANWISE_DATA").filter(|dir| !dir.is_empty());
    let Some(dir) = dir else {
        println!("skipped: SPANWISE_DATA is not set, so {name} is not at hand");
        return None;
    };
    Some(PathBuf::from(dir).join(name))
}

#[test]
fn the_two_forms_of_the_same_minutes_agree() {
    let (Some(otlp), Some(columns)) = (file("ob_0822_sample.otlp.jsonl"), file("ob_0822.parquet"))
    else {
        return;
    };
    let from_otlp: BTreeSet<_> = open_rows(&otlp)
        .unwrap()
        .map(Result::unwrap)
        .map(|row| (row.trace_id, row.span_id(), row.start_ns, row.dur_ns))
        .collect();
    let traces: BTreeSet<_> = from_otlp.iter().map(|span| span.0).collect();
    // Traces stand in order of start.
    let last_start = from_otlp.iter().map(|span| span.2).max().unwrap();
    let from_columns: BTreeSet<_> = open_rows(&columns)
        .unwrap()
        .map(Result::unwrap)
        .take_while(|row| row.idx > 0 || row.start_ns <= last_start)
        .filter(|row| traces.contains(&row.trace_id))
        .map(|row| (row.trace_id, row.span_id(), row.start_ns, row.dur_ns))
        .collect();
    assert_eq!((from_otlp.len(), traces.len()), (9_398, 220));
    assert!(from_otlp.is_subset(&from_columns));
}

#[test]
fn counts_are_those_of_the_data_description() {
    for (name, n_spans, n_traces) in [
        ("tt_0129.parquet", 325_859, 4_551),
        ("traceweaver_dev.parquet", 145_500, 9_500),
        ("deeptralog_dev.parquet", 30_358, 3_665),
        ("syn_shop_small.otlp.pb.zst", 8_045, 500),
    ] {
        let Some(path) = file(name) else { return };
        let mut traces = BTreeSet::new();
        let mut n = 0;
        for row in open_rows(&path).unwrap() {
            traces.insert(row.unwrap().trace_id);
            n += 1;
        }
        assert_eq!((n, traces.len()), (n_spans, n_traces), "{name}");
    }
}

#[test]
fn requests_of_a_column_file_are_in_order_of_end() {
    let Some(path) = file("traceweaver_dev.parquet") else { return };
    let (mut n_spans, mut last_second) = (0, 0);
    for request in open_requests(&path).unwrap() {
        let batch = decode(request.unwrap(), &Limits::default()).unwrap().batch;
        let second = batch.spans.iter().map(|head| head.end.as_secs()).max().unwrap();
        assert!(second >= last_second, "{second} after {last_second}");
        last_second = second;
        n_spans += batch.spans.len();
    }
    assert_eq!(n_spans, 145_500);
}

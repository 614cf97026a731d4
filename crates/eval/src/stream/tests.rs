use super::*;

/// Adds a span of trace `trace` with a number and a parent.
fn push(builder: &mut StreamBuilder, trace: u8, idx: i32, parent_idx: i32, labels: Labels) {
    let (service, operation) = (Arc::from("cart"), Arc::from("GetCart"));
    let span = Recorded {
        trace_id: TraceId([trace; 16]),
        idx,
        parent_idx,
        service: &service,
        operation: &operation,
        kind: SpanKind::Server,
        start: Timestamp::from_secs(u64::from(trace)),
        dur_ns: 100 - u64::from(idx.unsigned_abs().min(50)),
        status: if labels.error { StatusCode::Error } else { StatusCode::Unset },
        labels,
    };
    builder.push(&span).unwrap();
}

fn build(spans: &[(u8, i32, i32)]) -> Stream {
    let mut builder = StreamBuilder::new();
    for &(trace, idx, parent_idx) in spans {
        push(&mut builder, trace, idx, parent_idx, Labels::default());
    }
    builder.finish()
}

fn check(spans: &[(u8, i32, i32)], parents: &[Option<u32>]) {
    let stream = build(spans);
    let found: Vec<_> = (0..stream.len() as u32).map(|row| stream.parent(row)).collect();
    assert_eq!(found, parents, "{spans:?}");
}

#[test]
fn parents_are_found_within_their_trace() {
    check(&[(1, 0, -1), (1, 1, 0), (2, 0, -1), (2, 1, 0)], &[None, Some(0), None, Some(2)]);
    // The parent may start later, and traces may come in pieces.
    check(&[(1, 0, 1), (2, 0, -1), (1, 1, -1), (2, 5, 0)], &[Some(2), None, None, Some(1)]);
}

#[test]
fn parents_that_cannot_be_are_none() {
    check(&[(1, 0, 0), (1, 1, 7), (1, 2, -5)], &[None, None, None]);
    check(&[], &[]);
}

#[test]
fn a_failed_span_marks_its_whole_trace() {
    let mut builder = StreamBuilder::new();
    let failed = Labels { error: true, ..Labels::default() };
    push(&mut builder, 1, 0, -1, Labels::default());
    push(&mut builder, 2, 0, -1, Labels::default());
    push(&mut builder, 1, 1, 0, failed);
    let stream = builder.finish();
    let errors: Vec<bool> = (0..3).map(|row| stream.labels(row).error).collect();
    assert_eq!(errors, [true, false, true]);
}

#[test]
fn labels_come_back_as_they_were() {
    let mut builder = StreamBuilder::new();
    let labels = [
        Labels { root_cause: true, fault: Some(3), ..Labels::default() },
        Labels { slow_path: true, judged: false, ..Labels::default() },
        Labels { error: true, fault: Some(0), ..Labels::default() },
    ];
    for (trace, labels) in (1..).zip(labels) {
        push(&mut builder, trace, 0, -1, labels);
    }
    let stream = builder.finish();
    for (row, labels) in (0..).zip(labels) {
        assert_eq!(stream.labels(row), labels);
    }
}

#[test]
fn equal_ends_keep_the_order_of_the_file() {
    let stream = build(&[(2, 0, -1), (1, 0, -1), (2, 0, -1), (1, 1, 0)]);
    assert_eq!(stream.by_end(0..4), [3, 1, 0, 2]);
    assert_eq!(stream.by_end(0..1), [0]);
}

#[test]
fn above_a_slow_span_of_a_synthetic_trace_everything_is_on_the_slow_path() {
    let stream = Stream::synthetic(Scenario::Traces, 1).unwrap();
    let mut n_causes = 0;
    for row in 0..stream.len() as u32 {
        let labels = stream.labels(row);
        assert!(labels.slow_path || !labels.root_cause);
        n_causes += u32::from(labels.root_cause);
        if let Some(parent) = stream.parent(row).filter(|_| labels.slow_path) {
            assert!(stream.labels(parent).slow_path);
            assert!(stream.start(parent) <= stream.start(row));
        }
    }
    assert!((150..250).contains(&n_causes), "{n_causes}");
}

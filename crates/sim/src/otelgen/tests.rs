use std::collections::BTreeSet;

use super::*;

fn spans(scenario: Scenario, n_traces: usize) -> Vec<SpanRecord> {
    scenario.traces(7).take(n_traces * scenario.n_spans_per_trace()).collect()
}

#[test]
fn every_trace_has_its_number_of_spans_and_ends_with_its_root() {
    for (scenario, n_spans) in [(Scenario::MobileWeb, 4), (Scenario::Microservices, 101)] {
        assert_eq!(scenario.n_spans_per_trace(), n_spans);
        assert_eq!(Scenario::from_name(scenario.as_str()), Some(scenario));
        let spans = spans(scenario, 50);
        let ids: BTreeSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
        assert_eq!(ids.len(), spans.len());
        let mut last_end = BEGIN;
        for trace in spans.chunks(n_spans) {
            let (root, others) = trace.split_last().unwrap();
            assert!(root.parent_id.is_zero() && root.status == StatusCode::Ok);
            assert!(trace.iter().all(|span| span.trace_id == root.trace_id));
            assert!(others.iter().all(|span| ids.contains(&span.parent_id)));
            // One after the other, inside the root, and after the trace before.
            assert!(root.start >= last_end);
            for span in others {
                assert!(span.start >= last_end && span.end >= span.start);
                last_end = span.end;
            }
            assert_eq!(root.end, last_end);
        }
    }
}

#[test]
fn microservices_have_the_published_shape() {
    let spans: Vec<SpanRecord> = spans(Scenario::Microservices, 300);
    let operations: Vec<&SpanRecord> =
        spans.iter().filter(|span| !span.parent_id.is_zero()).collect();
    let n = operations.len() as f64;
    let services: BTreeSet<&Arc<str>> = operations.iter().map(|span| &span.service).collect();
    assert_eq!(services.len(), 16);
    let n_errors = operations.iter().filter(|span| span.status == StatusCode::Error).count();
    assert!((n_errors as f64 / n - 0.1).abs() < 0.01, "{n_errors} errors");
    let ms: Vec<u64> =
        operations.iter().map(|span| span.end.since(span.start) / 1_000_000).collect();
    assert_eq!((ms.iter().min(), ms.iter().max()), (Some(&0), Some(&99)));
    let mean = ms.iter().sum::<u64>() as f64 / n;
    assert!((mean - 49.5).abs() < 1.0, "mean {mean} ms");
    for span in operations {
        let n_events = if span.status == StatusCode::Error { 3 } else { 2 };
        assert_eq!(span.events.len(), n_events);
        assert!((5..=8).contains(&span.attributes.len()), "{}", span.attributes.len());
        assert_eq!(span.attributes[0].1, Value::Str(Arc::clone(&span.service)));
    }
}

#[test]
fn mobile_web_goes_down_to_the_database() {
    let spans = spans(Scenario::MobileWeb, 1);
    let names: Vec<&str> = spans.iter().map(|span| &*span.operation).collect();
    assert_eq!(names, ["web_server", "app_endpoint", "database_query", "client_request"]);
    assert_eq!(spans[0].parent_id, spans[3].span_id);
    assert_eq!(spans[1].parent_id, spans[0].span_id);
    assert_eq!(spans[2].parent_id, spans[1].span_id);
    assert_eq!(spans[3].attributes.len(), 15);
}

#[test]
fn the_seed_decides_everything() {
    for scenario in Scenario::ALL {
        let of = |seed| scenario.traces(seed).take(500).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let mut whole = Vec::new();
        let mut traces = scenario.traces(1);
        while whole.len() < 500 {
            traces.next_trace(&mut whole);
        }
        assert_eq!(whole[..500], of(1));
    }
}

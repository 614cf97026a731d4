use super::*;
use crate::traces::Node;
use spanwise_model::{SpanKind, StatusCode, TraceId};

/// A window of spans (service, parent, start) in preorder; a span without parent begins a trace.
fn window(services: &[&str], spans: &[(usize, u32, u64)]) -> Traces {
    let mut traces = Traces::default();
    traces.pods.push(Pod { service: 0, attributes: Vec::new() });
    for service in services {
        let service = traces.names.intern(service.as_bytes());
        traces.nodes.push(Node { service, name: service, kind: SpanKind::Server });
    }
    for (node, parent, start) in spans {
        if *parent == NO_PARENT {
            traces.offsets.push(traces.node.len() as u32);
            traces.trace_ids.push(TraceId([1; 16]));
        }
        traces.node.push(*node as u32);
        traces.parent.push(*parent);
        traces.depth.push(0);
        traces.pod.push(0);
        traces.start.push(*start * 1_000);
        traces.end.push((*start + 5) * 1_000);
        traces.status.push(StatusCode::Unset);
    }
    traces.offsets.push(traces.node.len() as u32);
    traces
}

#[test]
fn children_that_start_together_stand_in_an_order_both_windows_share() {
    let mut words = Vocabulary::default();
    let one = window(&["a", "b", "c"], &[(0, NO_PARENT, 0), (1, 0, 1), (2, 0, 1), (1, 2, 2)]);
    let two = window(&["c", "a", "b"], &[(1, NO_PARENT, 0), (0, 0, 1), (2, 1, 2), (2, 0, 1)]);
    let one = View::of(&one, &mut words);
    let two = View::of(&two, &mut words);
    assert_eq!((&one.node, &one.parent), (&two.node, &two.parent));
    assert_eq!(two.start_us, [0, 1, 1, 2]);
}

#[test]
fn a_proxy_and_what_stands_behind_it_are_both_entries() {
    let mut words = Vocabulary::default();
    let none = NO_PARENT;
    let spans = [
        (0, none, 0),
        (1, 0, 1),
        (2, 1, 2),
        (1, none, 0),
        (2, 3, 1),
        (2, 3, 2),
        (1, none, 0),
        (1, 6, 1),
    ];
    let view = View::of(&window(&["proxy", "shop", "cart"], &spans), &mut words);
    let entries: Vec<_> = view.traces().map(|trace| view.entries(&trace, &words)).collect();
    assert_eq!(entries, [0..2, 3..4, 6..7]);
}

#[test]
fn an_empty_window_has_no_traces() {
    let view = View::of(&Traces::default(), &mut Vocabulary::default());
    assert_eq!((view.n_traces(), view.n_spans(), view.traces().count()), (0, 0, 0));
}

//! Parents, self time, own time and gaps against an obvious, slow reference.

use proptest::prelude::*;
use spanwise_assembler::Assembler;
use spanwise_model::{ServiceId, SpanHead, SpanId, SpanKind, Timestamp};

use crate::span::{assemble, batch, push_all, roomy, span};

/// (parent, self, own, gap) of a span.
type Figures = (i32, u64, u64, Option<u64>);

fn figures(spans: Vec<SpanHead>) -> Vec<Figures> {
    let traces = assemble(spans);
    assert_eq!(traces.len(), 1);
    traces[0].spans.iter().map(|s| (s.parent, s.self_ns, s.own_ns, s.gap_ns)).collect()
}

fn in_service(n: u32, head: SpanHead) -> SpanHead {
    SpanHead { service: ServiceId(n), ..head }
}

#[test]
fn internal_work_is_own_work_and_calls_are_not() {
    use SpanKind::{Client, Internal, Server};
    let got = figures(vec![
        in_service(1, span(4, 3, Server, 35, 55)),
        span(3, 2, Client, 30, 60),
        span(2, 1, Internal, 20, 80),
        span(1, 0, Server, 0, 100),
    ]);
    let server_b = (1, 20, 20, Some(10));
    let client = (2, 10, 10, None);
    let internal = (3, 30, 30, None);
    let server_a = (-1, 40, 70, None);
    assert_eq!(got, [server_b, client, internal, server_a]);
}

#[test]
fn a_callee_without_a_client_span_is_the_call_itself() {
    use SpanKind::{Internal, Server};
    let got = figures(vec![
        span(1, 0, Server, 0, 100),
        span(2, 1, Internal, 10, 90),
        in_service(1, span(3, 2, Server, 30, 60)),
    ]);
    assert_eq!(got, [(-1, 20, 70, None), (0, 50, 50, None), (1, 30, 30, None)]);
}

#[test]
fn messages_do_not_block() {
    use SpanKind::{Consumer, Producer, Server};
    let got = figures(vec![
        span(1, 0, Server, 0, 100),
        span(2, 1, Producer, 10, 20),
        in_service(1, span(3, 2, Consumer, 15, 95)),
        in_service(2, span(4, 1, Consumer, 50, 60)),
    ]);
    let own: Vec<u64> = got.iter().map(|f| f.2).collect();
    assert_eq!(own, [100, 5, 80, 10]);
    assert_eq!(got[0].1, 80);
}

#[test]
fn a_server_slower_than_its_client_has_no_negative_gap() {
    use SpanKind::{Client, Server};
    let got = figures(vec![span(1, 0, Client, 0, 10), in_service(1, span(2, 1, Server, 0, 30))]);
    assert_eq!(got[1].3, Some(0));
    assert_eq!(got[0].1, 0);
}

#[test]
fn invalid_times_cover_nothing_and_have_no_figures() {
    use SpanKind::{Client, Server};
    let got = figures(vec![
        span(1, 0, Client, 0, 100),
        in_service(1, span(2, 1, Server, 60, 50)),
        span(3, 1, SpanKind::Internal, 10, 30),
        span(4, 2, SpanKind::Internal, 10, 30),
    ]);
    assert_eq!(got[0], (-1, 80, 100, None));
    assert_eq!(got[1], (0, 0, 0, None));
    assert_eq!(got[3].0, 1);
}

#[test]
fn the_first_of_equal_ids_stays_and_remembers_that_one_was_kept() {
    let spans = batch(vec![
        span(2, 1, SpanKind::Internal, 10, 20),
        span(2, 1, SpanKind::Internal, 10, 90),
        span(1, 0, SpanKind::Server, 0, 100),
        span(1, 0, SpanKind::Server, 0, 100),
    ]);
    let mut assembler = Assembler::new(roomy()).unwrap();
    let mut out = Vec::new();
    for (span_idx, kept) in [(0, false), (1, true), (2, false), (3, false)] {
        assembler.push(&spans, span_idx, kept, Timestamp(1), &mut out);
    }
    assembler.drain(Timestamp(1), &mut out);
    let got: Vec<(u32, i32, u64, bool)> =
        out[0].spans.iter().map(|s| (s.span_idx, s.parent, s.self_ns, s.kept_early)).collect();
    assert_eq!(got, [(0, 1, 10, true), (2, -1, 90, false)]);
    assert_eq!(assembler.stats().n_duplicates, 2);
}

#[test]
fn cycles_are_cut_at_the_member_that_arrived_first() {
    let spans = batch(vec![
        span(7, 7, SpanKind::Internal, 0, 10),
        span(1, 2, SpanKind::Internal, 0, 10),
        span(3, 1, SpanKind::Internal, 0, 10),
        span(2, 3, SpanKind::Internal, 0, 10),
        span(4, 2, SpanKind::Internal, 0, 10),
        span(5, 99, SpanKind::Internal, 0, 10),
    ]);
    let mut assembler = Assembler::new(roomy()).unwrap();
    let mut out = Vec::new();
    push_all(&mut assembler, &spans, Timestamp(1), &mut out);
    assembler.drain(Timestamp(1), &mut out);
    let parents: Vec<i32> = out[0].spans.iter().map(|s| s.parent).collect();
    assert_eq!(parents, [-1, -1, 1, 2, 3, -1]);
    assert_eq!((assembler.stats().n_cycles, assembler.stats().n_orphans), (2, 1));
    assert!(!out[0].has_root);
}

/// Scenario: a chain of a million spans, resolved on a stack of 128 KiB.
/// Guarantees: no recursion anywhere.
#[test]
fn a_million_deep_chain_needs_no_stack() {
    on_a_small_stack(|| {
        let spans = (1..=1_000_000).map(|i| span(i, i - 1, SpanKind::Internal, i, 2_000_000 - i));
        let traces = assemble(spans.rev().collect());
        let last = traces[0].spans.last().unwrap();
        assert_eq!((traces.len(), last.parent, last.self_ns), (1, -1, 2));
    });
}

#[test]
fn a_million_wide_trace_and_a_million_long_cycle_are_linear() {
    on_a_small_stack(|| {
        let wide = (0..999_999).map(|i| span(i + 2, 1, SpanKind::Internal, i, i + 1));
        let root = span(1, 0, SpanKind::Server, 0, 1_000_000);
        let traces = assemble(wide.rev().chain([root]).collect());
        let root = traces[0].spans.last().unwrap();
        assert_eq!((traces[0].spans.len(), root.self_ns), (1_000_000, 1));
        let cycle = (1..=1_000_000).map(|i| span(i, i % 1_000_000 + 1, SpanKind::Internal, 0, 9));
        let traces = assemble(cycle.collect());
        assert_eq!(traces[0].spans.iter().filter(|s| s.parent == -1).count(), 1);
    });
}

fn on_a_small_stack(work: fn()) {
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(work);
    thread.unwrap().join().unwrap();
}

// ---- the reference: follow every definition literally, slot by slot ----

struct Reference {
    spans: Vec<SpanHead>,
    parents: Vec<Option<usize>>,
}

impl Reference {
    fn new(all: &[SpanHead]) -> Self {
        let mut spans: Vec<SpanHead> = Vec::new();
        for head in all {
            if spans.iter().all(|other| other.span_id != head.span_id) {
                spans.push(*head);
            }
        }
        let find = |id: SpanId| spans.iter().position(|s| s.span_id == id);
        let named: Vec<Option<usize>> =
            spans.iter().map(|s| if s.is_root() { None } else { find(s.parent_id) }).collect();
        let parents = (0..spans.len())
            .map(|i| if cycle_of(&named, i).first() == Some(&i) { None } else { named[i] })
            .collect();
        Self { spans, parents }
    }

    fn figures(&self, i: usize) -> Figures {
        let parent = self.parents[i].map_or(-1, |p| i32::try_from(p).unwrap());
        let children = self.children(i);
        let self_ns = self.uncovered(i, &children);
        let mut own_ns = self_ns;
        if self.is_entry(i) {
            let mut calls = Vec::new();
            self.collect_calls(i, &mut calls);
            own_ns = self.uncovered(i, &calls);
        }
        (parent, self_ns, own_ns, self.gap(i))
    }

    fn children(&self, i: usize) -> Vec<usize> {
        (0..self.spans.len()).filter(|&c| self.parents[c] == Some(i)).collect()
    }

    fn is_entry(&self, i: usize) -> bool {
        let head = &self.spans[i];
        matches!(head.kind, SpanKind::Server | SpanKind::Consumer)
            || self.parents[i].is_none_or(|p| self.spans[p].service != head.service)
    }

    fn collect_calls(&self, below: usize, calls: &mut Vec<usize>) {
        for child in self.children(below) {
            let kind = self.spans[child].kind;
            let from_producer = self.spans[below].kind == SpanKind::Producer;
            if self.is_entry(child) {
                if kind != SpanKind::Consumer && !from_producer {
                    calls.push(child);
                }
            } else if kind == SpanKind::Client {
                calls.push(child);
            } else if kind != SpanKind::Producer {
                self.collect_calls(child, calls);
            }
        }
    }

    fn uncovered(&self, i: usize, others: &[usize]) -> u64 {
        if self.spans[i].duration_ns().is_none() {
            return 0;
        }
        let covers = |other: usize, t: u64| {
            let head = &self.spans[other];
            head.duration_ns().is_some() && (head.start.0..head.end.0).contains(&t)
        };
        (self.spans[i].start.0..self.spans[i].end.0)
            .filter(|&t| !others.iter().any(|&other| covers(other, t)))
            .count() as u64
    }

    fn gap(&self, i: usize) -> Option<u64> {
        let (caller, callee) = (&self.spans[self.parents[i]?], &self.spans[i]);
        if caller.kind != SpanKind::Client || caller.service == callee.service {
            return None;
        }
        let (caller, callee) = (caller.duration_ns()?, callee.duration_ns()?);
        Some(caller.max(callee) - callee)
    }
}

/// The members of the cycle that `i` stands on, lowest first; empty if it stands on none.
fn cycle_of(parents: &[Option<usize>], i: usize) -> Vec<usize> {
    let mut members = vec![i];
    let mut at = i;
    for _ in 0..parents.len() {
        match parents[at] {
            None => return Vec::new(),
            Some(next) if next == i => {
                members.sort_unstable();
                return members;
            }
            Some(next) => {
                members.push(next);
                at = next;
            }
        }
    }
    Vec::new()
}

fn any_span() -> impl Strategy<Value = SpanHead> {
    let kind = (0..6).prop_map(SpanKind::from_otlp);
    let ids = (1..25_u64, 0..25_u64);
    (ids, kind, 0..3_u32, 0..60_u64, 0..40_u64, 0..20_u8).prop_map(
        |((id, parent), kind, service, start, duration, bad)| {
            let end = if bad == 0 { start.saturating_sub(duration) } else { start + duration };
            in_service(service, span(id, parent, kind, start, end))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn figures_equal_the_literal_definitions(spans in prop::collection::vec(any_span(), 1..40)) {
        let reference = Reference::new(&spans);
        let expected: Vec<Figures> =
            (0..reference.spans.len()).map(|i| reference.figures(i)).collect();
        prop_assert_eq!(figures(spans), expected);
    }
}

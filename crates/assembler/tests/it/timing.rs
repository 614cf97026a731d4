//! When traces close, for what reason and in which order.

use proptest::prelude::*;
use spanwise_assembler::{Assembler, Config};
use spanwise_model::{CloseReason, ClosedTrace, SpanHead, SpanKind, Timestamp};

use crate::span::{batch, span, trace_id};

const S: u64 = 1_000_000_000;

/// (trace number, reason, closed at in ns, spans, overflowed)
type Closed = (u64, CloseReason, u64, usize, bool);

fn seen(out: &[ClosedTrace]) -> Vec<Closed> {
    out.iter()
        .map(|t| (t.trace_id.low64() - 1, t.reason, t.closed_at.0, t.spans.len(), t.overflowed))
        .collect()
}

/// Pushes (time, trace, is root) in turn, then ticks at `until`.
fn run(config: Config, arrivals: &[(u64, u64, bool)], until: u64) -> Vec<Closed> {
    let mut assembler = Assembler::new(config).unwrap();
    let mut out = Vec::new();
    for (i, &(at, trace, root)) in arrivals.iter().enumerate() {
        let parent = if root { 0 } else { u64::MAX };
        let head = SpanHead {
            trace_id: trace_id(trace),
            ..span(i as u64 + 1, parent, SpanKind::Server, 0, 1)
        };
        assembler.push(&batch(vec![head]), 0, false, Timestamp(at), &mut out);
    }
    assembler.tick(Timestamp(until), &mut out);
    seen(&out)
}

#[test]
fn a_trace_closes_a_grace_period_after_its_root_came() {
    let got = run(
        Config::default(),
        &[(0, 0, false), (5 * S, 0, true), (5 * S + S / 2, 0, false), (6 * S, 0, false)],
        6 * S,
    );
    assert_eq!(got, [(0, CloseReason::RootEnded, 6 * S, 3, false)]);
}

#[test]
fn a_trace_without_root_closes_when_nothing_comes() {
    let arrivals = [(0, 0, false), (0, 1, false), (9 * S, 0, false)];
    let got = run(Config::default(), &arrivals, 10 * S);
    assert_eq!(got, [(1, CloseReason::Idle, 10 * S, 1, false)]);
    let got = run(Config::default(), &arrivals, 19 * S);
    assert_eq!(got[1], (0, CloseReason::Idle, 19 * S, 2, false));
}

#[test]
fn a_trace_that_never_rests_closes_at_its_greatest_age() {
    let arrivals: Vec<(u64, u64, bool)> = (0..20).map(|i| (i * 5 * S, 0, false)).collect();
    let got = run(Config::default(), &arrivals, 95 * S);
    assert_eq!(got, [(0, CloseReason::Age, 60 * S, 12, false)]);
}

#[test]
fn traces_due_together_close_by_deadline_then_by_id() {
    let arrivals = [
        (0, 3, false),
        (0, 2, false),
        (1, 1, false),
        (2 * S, 9, true),
        (2 * S, 8, true),
        (2 * S, 2, false),
        (2 * S, 3, false),
    ];
    let got: Vec<u64> = run(Config::default(), &arrivals, 100 * S).iter().map(|t| t.0).collect();
    assert_eq!(got, [8, 9, 1, 2, 3]);
}

#[test]
fn the_next_deadline_is_exact() {
    let mut assembler = Assembler::new(Config::default()).unwrap();
    let mut out = Vec::new();
    assert_eq!(assembler.next_deadline(), None);
    let spans = batch(vec![span(1, 9, SpanKind::Server, 0, 1), span(2, 0, SpanKind::Server, 0, 1)]);
    assembler.push(&spans, 0, false, Timestamp(S), &mut out);
    assert_eq!(assembler.next_deadline(), Some(Timestamp(11 * S)));
    assembler.push(&spans, 1, false, Timestamp(2 * S), &mut out);
    assert_eq!(assembler.next_deadline(), Some(Timestamp(3 * S)));
    assembler.tick(Timestamp(3 * S), &mut out);
    assert_eq!((out.len(), assembler.next_deadline()), (1, None));
}

#[test]
fn a_late_span_opens_a_fragment_of_its_own() {
    let got = run(Config::default(), &[(0, 0, true), (2 * S, 0, false)], 12 * S);
    let expected =
        [(0, CloseReason::RootEnded, 2 * S, 1, false), (0, CloseReason::Idle, 12 * S, 1, false)];
    assert_eq!(got, expected);
}

#[test]
fn a_full_trace_leaves_in_flagged_parts() {
    let config = Config { n_spans_per_trace: 3, ..Config::default() };
    let arrivals: Vec<(u64, u64, bool)> = (0..8).map(|i| (i, 0, i == 7)).collect();
    let got = run(config, &arrivals, 7 + S);
    let expected = [
        (0, CloseReason::Full, 2, 3, true),
        (0, CloseReason::Full, 5, 3, true),
        (0, CloseReason::RootEnded, 7 + S, 2, true),
    ];
    assert_eq!(got, expected);
}

// ---- the reference: a list of open traces, scanned each time ----

#[derive(Clone, Debug)]
struct Open {
    trace: u64,
    first: u64,
    last: u64,
    root: Option<u64>,
    n_spans: usize,
    overflowed: bool,
}

#[derive(Debug)]
struct Reference {
    config: Config,
    open: Vec<Open>,
    closed: Vec<Closed>,
}

impl Reference {
    fn deadline(&self, open: &Open) -> (u64, CloseReason) {
        let age = (open.first + self.config.age_ns, CloseReason::Age);
        let quiet = match open.root {
            Some(at) => (at + self.config.grace_ns, CloseReason::RootEnded),
            None => (open.last + self.config.idle_ns, CloseReason::Idle),
        };
        if age.0 <= quiet.0 { age } else { quiet }
    }

    fn tick(&mut self, now: u64) {
        let mut due: Vec<Open> = Vec::new();
        for open in std::mem::take(&mut self.open) {
            let list = if self.deadline(&open).0 <= now { &mut due } else { &mut self.open };
            list.push(open);
        }
        due.sort_by_key(|open| (self.deadline(open).0, open.trace));
        for open in due {
            if open.n_spans > 0 {
                let reason = self.deadline(&open).1;
                self.closed.push((open.trace, reason, now, open.n_spans, open.overflowed));
            }
        }
    }

    fn push(&mut self, now: u64, trace: u64, root: bool) {
        self.tick(now);
        if self.open.iter().all(|open| open.trace != trace) {
            let (first, last) = (now, now);
            self.open.push(Open { trace, first, last, root: None, n_spans: 0, overflowed: false });
        }
        let open = self.open.iter_mut().find(|open| open.trace == trace).unwrap();
        open.last = now;
        open.n_spans += 1;
        if root && open.root.is_none() {
            open.root = Some(now);
        }
        if open.n_spans == self.config.n_spans_per_trace as usize {
            open.overflowed = true;
            self.closed.push((trace, CloseReason::Full, now, open.n_spans, true));
            open.n_spans = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn closing_equals_a_scan_of_all_open_traces(
        steps in prop::collection::vec((0..9_u64, 0..12_u64, 0..6_u8), 1..300),
        (grace_ns, idle_ns, age_ns) in (0..12_u64, 1..15_u64, 1..40_u64),
        n_spans_per_trace in 1..9_u32,
    ) {
        let config = Config {
            grace_ns, idle_ns, age_ns, n_spans_per_trace, ..Config::default()
        };
        let mut reference = Reference { config, open: Vec::new(), closed: Vec::new() };
        let mut arrivals = Vec::new();
        let mut now = 0;
        for (wait, trace, root) in steps {
            now += wait.saturating_sub(4);
            arrivals.push((now, trace, root == 0));
            reference.push(now, trace, root == 0);
        }
        reference.tick(now + 100);
        prop_assert_eq!(run(config, &arrivals, now + 100), reference.closed);
    }
}

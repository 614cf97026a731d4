//! Any text as a list of policies, or as a Collector's file: read or refused without a panic, with
//! places and remedies; what is accepted rules on traces, the same each time.

use std::sync::Arc;

use serde::Deserialize;
use spanwise_model::{
    Batch, CloseReason, ClosedSpan, ClosedTrace, ResourceHead, SpanFields, SpanHead, StatusCode,
    Timestamp, TraceId, ValueRef,
};
use spanwise_sampler::trace::policy::{Policy, Rest, Ruling};

use crate::config::tail_sampling::{Policies, RawPolicy, build, find};
use crate::config::yaml;

#[derive(Deserialize)]
struct File {
    policies: Vec<RawPolicy>,
}

/// Every key has some value, which hangs on the key alone.
struct Fields;

impl Fields {
    fn value(key: &str) -> ValueRef<'static> {
        match key.len() % 4 {
            0 => ValueRef::Int(i64::try_from(key.len()).unwrap() * 25),
            1 => ValueRef::Str("value1"),
            2 => ValueRef::Bool(true),
            _ => ValueRef::Str(""),
        }
    }
}

impl SpanFields for Fields {
    fn span_attribute<'b>(&self, _: &'b Batch, idx: u32, key: &str) -> Option<ValueRef<'b>> {
        idx.is_multiple_of(2).then(|| Self::value(key))
    }

    fn resource_attribute<'b>(&self, _: &'b Batch, idx: u32, key: &str) -> Option<ValueRef<'b>> {
        (!idx.is_multiple_of(3)).then(|| Self::value(key))
    }

    fn trace_state<'b>(&self, _: &'b Batch, idx: u32) -> &'b str {
        if idx == 0 { "key3=value1,ot=th:8" } else { "key3=,=" }
    }

    fn flags(&self, _: &Batch, idx: u32) -> u32 {
        idx
    }
}

/// Reads a text both ways and rules by what it says; whether there were policies that could be used.
pub(crate) fn check_policies(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut is_used = false;
    match yaml::parse::<File>(text, "fuzz.yaml") {
        Ok(file) => is_used |= check_list("policies", &file.policies),
        Err(error) => assert!(error.contains("fuzz.yaml"), "{error}"),
    }
    match find(text, "fuzz.yaml") {
        Ok(found) => {
            for processor in found {
                drop(processor.problems());
                is_used |= check_list(&processor.path, &processor.raw.policies);
            }
        }
        Err(error) => assert!(error.contains("fuzz.yaml"), "{error}"),
    }
    is_used
}

fn check_list(path: &str, raw: &[RawPolicy]) -> bool {
    let (policies, problems) = build(path, raw);
    for problem in &problems {
        assert!(problem.path.starts_with(path), "{problem}");
        assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{problem}");
    }
    let Some(policies) = policies else {
        assert!(!problems.is_empty(), "refused without a word");
        return false;
    };
    let n_shards = raw.len() as u32;
    let rulings = rulings(&policies, n_shards);
    assert_eq!(rulings, self::rulings(&policies, n_shards));
    !policies.is_empty()
}

fn rulings(policies: &[Policy], n_shards: u32) -> Vec<Ruling> {
    let policies =
        Policies { policies: policies.to_vec(), rest: Rest::Sample, is_first_match: false };
    let mut set = policies.set(n_shards).expect("what was built can be used");
    let traces = (0..12_u32).map(|n_spans| (n_spans, trace(n_spans)));
    let rulings = traces.map(|(n, trace)| {
        let now = Timestamp::from_millis(1_000 + 400 * u64::from(n));
        set.judge(&trace, &Fields, u64::from(n) << 52, now)
    });
    rulings.collect()
}

fn trace(n_spans: u32) -> ClosedTrace {
    let head = |idx: u32| SpanHead {
        start: Timestamp::from_millis(1_000 + u64::from(idx)),
        end: Timestamp::from_millis(1_000 + u64::from(idx * idx) * 40),
        resource_idx: idx,
        status: StatusCode::from_otlp(idx.cast_signed() % 4),
        ..SpanHead::default()
    };
    let batch = Arc::new(Batch {
        spans: (0..n_spans).map(head).collect(),
        resources: vec![ResourceHead::default(); n_spans as usize],
        ..Batch::default()
    });
    let span = |span_idx| ClosedSpan {
        batch: Arc::clone(&batch),
        span_idx,
        parent: -1,
        self_ns: 0,
        own_ns: 0,
        gap_ns: None,
        kept_early: false,
    };
    ClosedTrace {
        trace_id: TraceId([n_spans as u8; 16]),
        reason: CloseReason::RootEnded,
        closed_at: Timestamp::from_secs(2),
        overflowed: false,
        has_root: true,
        spans: (0..n_spans).map(span).collect(),
    }
}

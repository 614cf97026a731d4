//! Policies as a Collector's `tail_sampling` has them, on traces as they come over the wire: what the
//! processor of contrib 0.159.0 documents, and what its tests show it to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use serde::Deserialize;
use spanwise_model::{CloseReason, ClosedSpan, ClosedTrace, Problem, Severity, Timestamp};
use spanwise_otlp::{Limits, WireAttributes, decode};
use spanwise_sampler::trace::policy::{PolicySet, Rest, Ruling};

use crate::config::tail_sampling::{Policies, RawPolicy, build, find};
use crate::config::yaml::{self, Positions};
use crate::policy_oracle::check_policies;

/// A span of a case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SpanCase {
    /// Start and end in milliseconds.
    ms: Option<(u64, u64)>,
    status: Option<String>,
    attributes: BTreeMap<String, Value>,
    resource: BTreeMap<String, Value>,
    state: String,
    flags: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(String),
}

#[derive(Debug, Deserialize)]
struct File {
    policies: Vec<RawPolicy>,
}

fn key_values(values: &BTreeMap<String, Value>) -> Vec<KeyValue> {
    let value = |value: &Value| match value {
        Value::Bool(value) => any_value::Value::BoolValue(*value),
        Value::Int(value) => any_value::Value::IntValue(*value),
        Value::Double(value) => any_value::Value::DoubleValue(*value),
        Value::Str(value) => any_value::Value::StringValue(value.clone()),
    };
    let pair = |(key, v): (&String, &Value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: Some(value(v)) }),
        ..KeyValue::default()
    };
    values.iter().map(pair).collect()
}

/// A trace whose spans each come with a resource of their own, as the window closes it.
fn trace(id: u8, spans: &str) -> ClosedTrace {
    let cases: Vec<SpanCase> = yaml::parse(spans, "spans").unwrap();
    let resource_spans = (1..).zip(&cases).map(|(idx, case): (u64, &SpanCase)| {
        let (start, end) = case.ms.unwrap_or((0, 1));
        let code = match case.status.as_deref() {
            Some("ERROR") => 2,
            Some("OK") => 1,
            _ => 0,
        };
        let span = Span {
            trace_id: vec![id; 16],
            span_id: idx.to_be_bytes().to_vec(),
            start_time_unix_nano: 1_000_000_000_000 + start * 1_000_000,
            end_time_unix_nano: 1_000_000_000_000 + end * 1_000_000,
            status: Some(Status { code, ..Status::default() }),
            attributes: key_values(&case.attributes),
            trace_state: case.state.clone(),
            flags: case.flags,
            ..Span::default()
        };
        ResourceSpans {
            resource: Some(Resource {
                attributes: key_values(&case.resource),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    });
    let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
    let batch = Arc::new(decode(request.encode_to_vec().into(), &Limits::default()).unwrap().batch);
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
        trace_id: batch.spans.first().map(|head| head.trace_id).unwrap_or_default(),
        reason: CloseReason::RootEnded,
        closed_at: Timestamp::from_secs(2_000),
        overflowed: false,
        has_root: true,
        spans: (0..batch.spans.len() as u32).map(span).collect(),
    }
}

fn set_of(policies: &str) -> PolicySet {
    let file: File = yaml::parse(policies, "policies").unwrap();
    let (policies, problems) = build("policies", &file.policies);
    let policies = policies.unwrap_or_else(|| panic!("{problems:?}"));
    Policies { policies, rest: Rest::Drop, is_first_match: false }.set(1).unwrap()
}

fn rule(set: &mut PolicySet, trace: &ClosedTrace, now: Timestamp) -> String {
    match set.judge(trace, &WireAttributes, trace.trace_id.low56(), now) {
        Ruling::Keep(keep) => format!("keep {}", set.name(keep.policy)),
        Ruling::Drop { policy: Some(policy) } => format!("drop {}", set.name(policy)),
        Ruling::Drop { policy: None } => "none".to_owned(),
        Ruling::Pass { .. } => "pass".to_owned(),
    }
}

/// Judges traces one after the other, all at the same time.
#[track_caller]
fn check(policies: &str, traces: &[(&str, &str)]) {
    let mut set = set_of(&format!("policies:\n{policies}"));
    for (id, (spans, expected)) in (1..).zip(traces) {
        let found = rule(&mut set, &trace(id, spans), Timestamp::from_secs(2_000));
        assert_eq!(found, *expected, "{spans}\n{policies}");
    }
}

#[test]
fn simple_policies_vote_by_what_the_trace_holds() {
    check("- {name: p, type: always_sample}", &[("[{}]", "keep p")]);
    check(
        "- {name: p, type: latency, latency: {threshold_ms: 5000}}",
        &[
            ("[{ms: [0, 4500]}]", "none"),
            ("[{ms: [0, 5000]}]", "none"),
            ("[{ms: [0, 5001]}]", "keep p"),
            ("[{ms: [0, 3000]}, {ms: [2500, 5500]}]", "keep p"),
        ],
    );
    check(
        "- {name: p, type: latency, latency: {threshold_ms: 5000, upper_threshold_ms: 10000}}",
        &[
            ("[{ms: [0, 5000]}]", "none"),
            ("[{ms: [0, 5001]}]", "keep p"),
            ("[{ms: [0, 10000]}]", "keep p"),
            ("[{ms: [0, 10001]}]", "none"),
            ("[{ms: [0, 4000]}, {ms: [5000, 9000]}]", "keep p"),
            ("[{ms: [0, 1]}, {ms: [11000, 12000]}]", "none"),
        ],
    );
    check(
        "- {name: p, type: status_code, status_code: {status_codes: [ERROR, UNSET]}}",
        &[
            ("[{status: OK}]", "none"),
            ("[{status: OK}, {status: ERROR}]", "keep p"),
            ("[{}]", "keep p"),
        ],
    );
    check(
        "- {name: p, type: span_count, span_count: {min_spans: 2, max_spans: 3}}",
        &[
            ("[{}]", "none"),
            ("[{}, {}]", "keep p"),
            ("[{}, {}, {}]", "keep p"),
            ("[{}, {}, {}, {}]", "none"),
        ],
    );
    check(
        "- {name: p, type: trace_state, trace_state: {key: example, values: [value1, value2]}}",
        &[
            ("[{state: example=value1}]", "keep p"),
            ("[{}, {state: 'other=x,example=value2'}]", "keep p"),
            ("[{state: example=value3}]", "none"),
            ("[{state: 'example=value1,EXAMPLE=bad'}]", "none"),
            ("[{state: non_matching=value}]", "none"),
        ],
    );
    check(
        "- {name: p, type: trace_flags}",
        &[("[{flags: 1}]", "keep p"), ("[{}, {flags: 257}]", "keep p"), ("[{flags: 2}]", "none")],
    );
    check(
        "- {name: p, type: probabilistic, probabilistic: {sampling_percentage: 100}}",
        &[("[{}]", "keep p")],
    );
    check(
        "- {name: p, type: probabilistic, probabilistic: {sampling_percentage: 0}}",
        &[("[{}]", "none")],
    );
}

#[test]
fn attributes_are_sought_on_spans_and_on_resources() {
    let by = |matching: &str| {
        format!("- {{name: p, type: string_attribute, string_attribute: {matching}}}")
    };
    check(
        &by("{key: example, values: [value]}"),
        &[
            ("[{attributes: {other: value}}]", "none"),
            ("[{resource: {example: value}}]", "keep p"),
            ("[{resource: {example: no}}]", "none"),
            ("[{}, {attributes: {example: value}}]", "keep p"),
            ("[{attributes: {example: no}, resource: {example: value}}]", "keep p"),
            ("[{attributes: {example: 1}}]", "none"),
        ],
    );
    check(
        &by(
            "{key: example, values: ['v[0-9]+.HealthCheck$', '^value'], enabled_regex_matching: true}",
        ),
        &[
            ("[{resource: {example: v1.HealthCheck}}]", "keep p"),
            ("[{attributes: {example: values}}]", "keep p"),
            ("[{attributes: {example: a value}}]", "none"),
            ("[{attributes: {example: v.HealthCheck}}]", "none"),
        ],
    );
    check(&by("{key: example, values: []}"), &[("[{attributes: {example: a}}]", "none")]);
    check(
        "- {name: p, type: numeric_attribute, numeric_attribute: {key: n, min_value: 50, max_value: 100}}",
        &[
            ("[{attributes: {n: 50}}]", "keep p"),
            ("[{attributes: {n: 100}}]", "keep p"),
            ("[{attributes: {n: 49}}]", "none"),
            ("[{attributes: {n: 101}}]", "none"),
            ("[{resource: {n: 60}}]", "keep p"),
            ("[{attributes: {n: 60.0}}]", "none"),
        ],
    );
    check(
        "- {name: p, type: numeric_attribute, numeric_attribute: {key: n, min_value: 400}}",
        &[("[{attributes: {n: 399}}]", "none"), ("[{attributes: {n: 9000000000}}]", "keep p")],
    );
    check(
        "- {name: p, type: boolean_attribute, boolean_attribute: {key: b, value: true}}",
        &[
            ("[{attributes: {b: true}}]", "keep p"),
            ("[{resource: {b: true}}]", "keep p"),
            ("[{attributes: {b: false}}]", "none"),
            ("[{}]", "none"),
        ],
    );
}

#[test]
fn an_inverted_match_turns_its_own_vote_around_and_no_other() {
    check(
        "- name: p
  type: string_attribute
  string_attribute: {key: example, values: [value], invert_match: true}",
        &[
            ("[{attributes: {other: value}}]", "keep p"),
            ("[{attributes: {example: no}}]", "keep p"),
            ("[{attributes: {example: value}}]", "none"),
            ("[{resource: {example: value}}]", "none"),
            ("[{}, {attributes: {example: value}}]", "none"),
        ],
    );
    check(
        "- name: p
  type: string_attribute
  string_attribute: {key: k, values: ['v[0-9]'], enabled_regex_matching: true, invert_match: true}",
        &[("[{attributes: {k: v1}}]", "none"), ("[{attributes: {k: w}}]", "keep p")],
    );
    check(
        "- name: p
  type: numeric_attribute
  numeric_attribute: {key: n, min_value: 5, max_value: 7, invert_match: true}",
        &[
            ("[{attributes: {n: 6}}]", "none"),
            ("[{attributes: {n: 8}}]", "keep p"),
            ("[{}]", "keep p"),
            ("[{attributes: {n: 8}}, {attributes: {n: 6}}]", "none"),
        ],
    );
    check(
        "- {name: p, type: boolean_attribute, boolean_attribute: {key: b, value: true, invert_match: true}}",
        &[
            ("[{attributes: {b: true}}]", "none"),
            ("[{attributes: {b: false}}]", "keep p"),
            ("[{}]", "keep p"),
        ],
    );
    // Until 0.125 the inverted policy would have vetoed the other one's vote.
    check(
        "- {name: not-a, type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}
- {name: slow, type: latency, latency: {threshold_ms: 10}}",
        &[
            ("[{attributes: {k: a}, ms: [0, 20]}]", "keep slow"),
            ("[{attributes: {k: b}, ms: [0, 20]}]", "keep not-a"),
            ("[{attributes: {k: a}, ms: [0, 5]}]", "none"),
        ],
    );
}

#[test]
fn and_not_and_drop_combine_votes() {
    check(
        "- name: both
  type: and
  and:
    and_sub_policy:
      - {name: n, type: numeric_attribute, numeric_attribute: {key: n, min_value: 1, max_value: 9}}
      - name: not-a
        type: string_attribute
        string_attribute: {key: k, values: [a], invert_match: true}
      - {name: quick, type: not, not: {not_sub_policy: {type: latency, latency: {threshold_ms: 10}}}}",
        &[
            ("[{attributes: {n: 5}}]", "keep both"),
            ("[{attributes: {n: 5, k: a}}]", "none"),
            ("[{attributes: {n: 5}, ms: [0, 20]}]", "none"),
            ("[{attributes: {n: 0}}]", "none"),
        ],
    );
    check(
        "- {name: quick, type: not, not: {not_sub_policy: {name: s, type: latency, latency: {threshold_ms: 10}}}}",
        &[("[{ms: [0, 5]}]", "keep quick"), ("[{ms: [0, 20]}]", "none")],
    );
    // A drop is asked first wherever it stands, and wins.
    check(
        "- {name: all, type: always_sample}
- name: health
  type: drop
  drop:
    drop_sub_policy:
      - {name: path, type: string_attribute, string_attribute: {key: url.path, values: [/health, /metrics], enabled_regex_matching: true}}
      - {name: quick, type: not, not: {not_sub_policy: {name: s, type: latency, latency: {threshold_ms: 10}}}}",
        &[
            ("[{attributes: {url.path: /health/live}}]", "drop health"),
            ("[{attributes: {url.path: /health}, ms: [0, 99]}]", "keep all"),
            ("[{attributes: {url.path: /cart}}]", "keep all"),
        ],
    );
}

#[test]
fn the_first_policy_of_the_list_that_votes_gives_its_name() {
    check(
        "- {name: slow, type: latency, latency: {threshold_ms: 10}}
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}",
        &[
            ("[{ms: [0, 20], status: ERROR}]", "keep slow"),
            ("[{ms: [0, 2], status: ERROR}]", "keep errors"),
            ("[{ms: [0, 2]}]", "none"),
        ],
    );
}

const COMPOSITE: &str = "- name: c
  type: composite
  composite:
    max_total_spans_per_second: 8
    policy_order: [numbers, all]
    composite_sub_policy:
      - {name: numbers, type: numeric_attribute, numeric_attribute: {key: n, min_value: 1}}
      - {name: all, type: always_sample}
    rate_allocation: [{policy: numbers, percent: 25}]";

#[test]
fn a_composite_shares_spans_a_second_among_its_parts() {
    // A quarter for `numbers`; `all`, not listed, has half as one of two.
    check(
        COMPOSITE,
        &[
            ("[{attributes: {n: 1}}]", "keep c"),
            ("[{attributes: {n: 1}}, {}]", "none"),
            ("[{attributes: {n: 1}}]", "keep c"),
            ("[{attributes: {n: 1}}]", "none"),
            ("[{}, {}, {}]", "keep c"),
            ("[{}, {}]", "none"),
            ("[{}]", "keep c"),
            ("[{}]", "none"),
        ],
    );
    let mut set = set_of(&format!("policies:\n{COMPOSITE}"));
    let four = trace(1, "[{}, {}, {}, {}]");
    let mut at = |secs| rule(&mut set, &four, Timestamp::from_secs(secs));
    assert_eq!([at(1), at(1), at(2)], ["keep c", "none", "keep c"]);
}

#[test]
fn limits_are_buckets_that_are_spent_whether_or_not_another_policy_keeps() {
    let rate = "- {name: p, type: rate_limiting, rate_limiting: {spans_per_second: 3}}";
    check(
        rate,
        &[
            ("[{}, {}, {}, {}]", "keep p"),
            ("[{}, {}, {}]", "none"),
            ("[{}, {}]", "keep p"),
            ("[{}]", "none"),
            ("[{}, {}, {}, {}, {}, {}, {}]", "none"),
        ],
    );
    let mut set = set_of(&format!("policies:\n- {{name: all, type: always_sample}}\n{rate}"));
    let six = trace(1, "[{}, {}, {}, {}, {}, {}]");
    assert_eq!(rule(&mut set, &six, Timestamp::from_secs(5)), "keep all");
    let mut alone = set_of(&format!("policies:\n{rate}"));
    let mut at = |ms| rule(&mut alone, &trace(2, "[{}, {}, {}]"), Timestamp::from_millis(ms));
    assert_eq!(
        [at(5_000), at(5_000), at(5_999), at(6_000)],
        ["keep p", "keep p", "none", "keep p"]
    );
}

#[test]
fn bytes_are_those_of_the_request_the_trace_alone_would_be() {
    let closed = trace(1, "[{attributes: {a: bcd}, resource: {e: f}}, {resource: {g: h}}]");
    let n_bytes = closed.spans[0].batch.bytes.len();
    let limit = |burst: usize| {
        let limits = format!("{{bytes_per_second: 1, burst_capacity: {burst}}}");
        set_of(&format!("policies:\n- {{name: p, type: bytes_limiting, bytes_limiting: {limits}}}"))
    };
    assert_eq!(rule(&mut limit(n_bytes), &closed, Timestamp::from_secs(1)), "keep p");
    assert_eq!(rule(&mut limit(n_bytes - 1), &closed, Timestamp::from_secs(1)), "none");
}

#[test]
fn a_salted_share_is_that_of_the_collector() {
    let mut kept = Vec::new();
    let salted = "{hash_salt: test-salt, sampling_percentage: 30}";
    let mut set =
        set_of(&format!("policies:\n- {{name: p, type: probabilistic, probabilistic: {salted}}}"));
    for id in 1..=40 {
        if rule(&mut set, &trace(id, "[{}]"), Timestamp::from_secs(1)) == "keep p" {
            kept.push(id);
        }
    }
    assert_eq!(kept, SALTED_KEPT);
}

/// Of the traces whose ids are sixteen equal bytes, 1 to 40: those whose FNV-1a with the salt before it
/// is at most 30 % of 2^64 - 1, computed with hash/fnv of Go.
const SALTED_KEPT: [u8; 14] = [1, 3, 4, 9, 10, 12, 14, 16, 18, 19, 20, 25, 31, 37];

/// Checks that a list is refused with such a code, at such a place, with such words.
#[track_caller]
fn refused(policies: &str, code: &str, place: (u64, u64), words: &[&str]) {
    let text = format!("policies:\n{policies}");
    let file: File = yaml::parse(&text, "file").unwrap();
    let (built, problems) = build("policies", &file.policies);
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let found = problems.iter().find(is_error).unwrap_or_else(|| panic!("accepted: {policies}"));
    assert!(built.is_none());
    assert_eq!(found.code, code, "{found}");
    for word in words {
        assert!(found.to_string().contains(word), "no `{word}` in: {found}");
    }
    assert_eq!(Positions::of(&text).find(&found.path), Some(place), "{found}");
}

#[test]
fn what_cannot_be_mapped_is_named_with_its_place_and_a_remedy() {
    refused(
        "- name: o\n  type: ottl_condition\n  ottl_condition: {span: ['true']}",
        "P003",
        (3, 9),
        &["OTTL", "string_attribute"],
    );
    refused("- {name: o, type: latencies}", "P002", (2, 19), &["did you mean `latency`?"]);
    refused("- {name: o}", "P002", (2, 3), &["add `type:`"]);
    refused("- {name: o, type: latency}", "P004", (2, 3), &["add `latency:`"]);
    refused("- {type: always_sample}", "P001", (2, 3), &["add `name:`"]);
    refused(
        "- {name: o, type: always_sample}\n- {name: o, type: trace_flags}",
        "P001",
        (3, 10),
        &["twice"],
    );
    let latency = "- {name: o, type: latency, latency: {threshold_ms: -1}}";
    refused(latency, "P004", (2, 52), &["-1"]);
    let numeric = "- {name: o, type: numeric_attribute, numeric_attribute: {key: k, min_value: 0}}";
    refused(numeric, "P004", (2, 57), &["min_value"]);
    let string = "- {name: o, type: string_attribute, string_attribute: {key: k, enabled_regex_matching: true, values: [a, '(']}}";
    refused(string, "P005", (2, 106), &["`(`"]);
    let rate = "- {name: o, type: rate_limiting, rate_limiting: {spans_per_second: 0}}";
    refused(rate, "P004", (2, 49), &["1 or more"]);
    let and = "- {name: o, type: and, and: {and_sub_policy: [{name: d, type: drop, drop: {}}]}}";
    refused(and, "P003", (2, 63), &["move it"]);
    refused(
        "- {name: o, type: and, and: {and_sub_policy: []}}",
        "P004",
        (2, 46),
        &["at least one"],
    );
    let budget = "- {name: o, type: always_sample, budget: free}";
    refused(budget, "P004", (2, 42), &["counted or exempt"]);
    let status = "- {name: o, type: status_code, status_code: {status_codes: [OK, error]}}";
    refused(status, "P004", (2, 65), &["ERROR"]);
    let nested = (0..8).fold("type: trace_flags".to_owned(), |inner, _| {
        format!("type: not, not: {{not_sub_policy: {{name: n, {inner}}}}}")
    });
    refused(&format!("- {{name: o, {nested}}}"), "P006", (2, 3), &["deep"]);
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let text = format!("policies:\n{}", COMPOSITE.replace("[numbers, all]", "[all, numbers]"));
    let file: File = yaml::parse(&text, "file").unwrap();
    let (built, problems) = build("policies", &file.policies);
    assert!(built.is_some());
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((problem.code, problem.severity), ("P007", Severity::Warning));
    assert!(problem.message.contains("order"), "{problem}");
}

#[test]
fn the_processors_of_a_collector_are_found_among_the_rest() {
    let text = "receivers: {otlp: {protocols: {grpc: {endpoint: '0.0.0.0:4317'}}}}
processors:
  batch:
  memory_limiter: {check_interval: 1s, limit_mib: 100}
  tail_sampling/errors:
    decision_wait: 10s
    num_traces: 100
    decision_cache: {sampled_cache_size: 1000}
    maximum_trace_size_bytes: 5
    policies:
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
service: {pipelines: {traces: {receivers: [otlp], processors: [tail_sampling/errors]}}}
";
    let found = find(text, "collector.yaml").unwrap();
    let [processor] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&*processor.name, processor.raw.policies.len()), ("tail_sampling/errors", 1));
    let problems = processor.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(Positions::of(text).find(&problems[0].path), Some((9, 31)));
    let misspelt = text.replace("num_traces", "num_trace");
    let error = find(&misspelt, "collector.yaml").unwrap_err();
    assert!(error.contains("collector.yaml:7:5") && error.contains("`num_traces`"), "{error}");
}

#[test]
fn the_corpus_of_the_fuzz_target_passes() {
    let folder = format!("{}/../../fuzz/corpus/policy_yaml", env!("CARGO_MANIFEST_DIR"));
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path());
    let inputs: Vec<Vec<u8>> =
        std::fs::read_dir(folder).unwrap().map(|entry| read(entry).unwrap()).collect();
    let n_used = inputs.iter().filter(|input| check_policies(input)).count();
    assert!(inputs.len() >= 20 && n_used >= 10, "{n_used} of {}", inputs.len());
}

//! Policies over whole traces, written as in the `tail_sampling` processor of the OpenTelemetry
//! Collector (contrib 0.159.0): the same words, read as they are. What has no counterpart here is an
//! error that names it, never silently something else.

use serde::{Deserialize, Serialize};

mod build;
mod collector;

pub use build::{Policies, build};
pub use collector::{Processor, RawTailSampling, find};

/// One policy. `type` says which of the blocks counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPolicy {
    /// Its name, unique; a keep is explained by it.
    pub name: String,
    /// `always_sample`, `latency`, `numeric_attribute`, `probabilistic`, `status_code`,
    /// `string_attribute`, `rate_limiting`, `bytes_limiting`, `span_count`, `trace_state`,
    /// `trace_flags`, `boolean_attribute`, `and`, `not`, `drop` or `composite`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `counted` (the default): the budget pays for what the policy keeps, before the sampler.
    /// `exempt`: nobody does. Not known to the Collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// Of `type: latency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<RawLatency>,
    /// Of `type: numeric_attribute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numeric_attribute: Option<RawNumeric>,
    /// Of `type: probabilistic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilistic: Option<RawProbabilistic>,
    /// Of `type: status_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<RawStatus>,
    /// Of `type: string_attribute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_attribute: Option<RawString>,
    /// Of `type: rate_limiting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiting: Option<RawSpansPerSecond>,
    /// Of `type: bytes_limiting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_limiting: Option<RawBytesPerSecond>,
    /// Of `type: span_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_count: Option<RawSpanCount>,
    /// Of `type: trace_state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<RawTraceState>,
    /// Of `type: boolean_attribute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boolean_attribute: Option<RawBoolean>,
    /// Of `type: ottl_condition`, which is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ottl_condition: Option<RawOttl>,
    /// Of `type: and`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub and: Option<RawAnd>,
    /// Of `type: not`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<RawNot>,
    /// Of `type: drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<RawDrop>,
    /// Of `type: composite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite: Option<RawComposite>,
}

/// Bounds of the time from the first start to the last end.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLatency {
    /// The trace takes longer, in milliseconds. Default 0.
    pub threshold_ms: i64,
    /// And at most this long; 0 (the default) = no such bound.
    pub upper_threshold_ms: i64,
}

/// An integer attribute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNumeric {
    /// Its key.
    pub key: String,
    /// Least value; 0 (the default) = no such bound.
    pub min_value: i64,
    /// Greatest value; 0 (the default) = no such bound.
    pub max_value: i64,
    /// Turns the vote around.
    pub invert_match: bool,
}

/// A share of the traces.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProbabilistic {
    /// Chooses by a hash of salt and trace id, as the Collector does, instead of the trace's own
    /// randomness. Default none.
    pub hash_salt: String,
    /// Percent of the traces.
    pub sampling_percentage: f64,
}

/// Status codes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStatus {
    /// `OK`, `ERROR`, `UNSET`.
    pub status_codes: Vec<String>,
}

/// A string attribute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawString {
    /// Its key.
    pub key: String,
    /// Values, or regular expressions.
    pub values: Vec<String>,
    /// Whether `values` are regular expressions.
    pub enabled_regex_matching: bool,
    /// Read and without effect: answers are remembered anyway.
    pub cache_max_size: i64,
    /// Turns the vote around.
    pub invert_match: bool,
}

/// So many spans a second.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSpansPerSecond {
    /// Spans a second.
    pub spans_per_second: i64,
    /// Spans at once; 0 (the default) = twice the rate.
    pub burst_capacity: i64,
}

/// So many bytes a second.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBytesPerSecond {
    /// Bytes a second.
    pub bytes_per_second: i64,
    /// Bytes at once; 0 (the default) = twice the rate.
    pub burst_capacity: i64,
}

/// How many spans a trace has.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSpanCount {
    /// Fewest.
    pub min_spans: i32,
    /// Most; 0 (the default) = no such bound.
    pub max_spans: i32,
}

/// A member of the tracestate.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraceState {
    /// Its key.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

/// A boolean attribute.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBoolean {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: bool,
    /// Turns the vote around.
    pub invert_match: bool,
}

/// Conditions in OTTL, which is not spoken here.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOttl {
    /// What happens on errors.
    pub error_mode: Option<String>,
    /// Conditions on spans.
    pub span: Vec<String>,
    /// Conditions on events.
    pub spanevent: Vec<String>,
}

/// Policies that must all vote for the trace.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAnd {
    /// The policies.
    pub and_sub_policy: Vec<RawPolicy>,
}

/// A policy whose vote is turned around.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNot {
    /// The policy.
    pub not_sub_policy: Box<RawPolicy>,
}

/// Policies that drop what all of them vote for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDrop {
    /// The policies.
    pub drop_sub_policy: Vec<RawPolicy>,
}

/// Policies that share a number of spans a second.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawComposite {
    /// Spans a second.
    pub max_total_spans_per_second: i64,
    /// Read and compared with the list below, in whose order the policies are asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_order: Vec<String>,
    /// The policies.
    pub composite_sub_policy: Vec<RawPolicy>,
    /// Their shares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_allocation: Vec<RawAllocation>,
}

/// The share of a policy in a composite one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAllocation {
    /// The policy's name.
    pub policy: String,
    /// Percent of the spans; 0 = as much as if all had the same.
    pub percent: i64,
}

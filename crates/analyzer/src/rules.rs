//! Latency rules: "scale service A if operation B reaches a latency of X, N times within a given
//! window" (SCALE III-F, eq. 4).
//!
//! In the order of the flow: [`RuleConfig`] as written, [`RuleSet`] as compiled, [`Predicates`]
//! count breaches on all spans, [`RuleWindows`] decide when a rule fires. Counting and deciding are
//! two types because in split mode they live in two processes; what crosses between them is
//! [`RuleCount`](spanwise_model::RuleCount) and nothing else.

mod action;
mod compile;
mod config;
mod floor;
mod hash;
mod pattern;
mod predicates;
mod quorum;
mod smallest;
mod tally;
pub mod testing;
mod windows;

pub use compile::{BUCKETS_MAX, KnownTarget, RULES_MAX, Rule, RuleSet, WINDOW_S_MAX};
pub use config::{
    ActionConfig, AttributeValue, CountOn, CpuChange, MemoryChange, Metric, RuleConfig, Status,
    When,
};
pub use predicates::{
    Context, EVENT_AGE_NS_MAX, EVENT_AHEAD_NS_MAX, Matched, PredicateStats, Predicates,
};
pub use quorum::{INSTANCES_MIN, QUARTERS_MIN, SPANS_MIN};
pub use windows::{LATE_S, RuleState, RuleWindows, WindowStats};

#![doc = include_str!("../README.md")]

mod attribute;
mod decision;
mod ids;
mod kind;
mod lighten;
mod message;
mod name;
mod orchestration;
mod problem;
mod record;
mod span;
mod time;
mod trace;

pub use attribute::{AttributeSource, SpanFields, ValueRef};
pub use decision::{Bound, Condition, Decision, Direction, Mode, Outcome, Reason, RuleRef};
pub use ids::{SpanId, TraceId};
pub use kind::{SpanKind, StatusCode};
pub use lighten::Contexts;
pub use message::{
    Finding, KeepReason, QuorumShortfall, RuleCount, SampledSpan, ScalingPlan, ScoreKind,
    SiteStats, WantedAction,
};
pub use name::{CallSite, CallSiteId, CallSites, Reserved, ServiceId, fold_operation};
pub use orchestration::{Axis, Observed, Owner, Resources, ScaleAction, TargetRef};
pub use problem::{Problem, Severity};
pub use record::{EventRecord, SpanRecord, Value};
pub use span::{
    Batch, ByteRange, MAX_DURATION_NS, ResourceHead, ScopeHead, SpanFlags, SpanHead, SpanRef,
};
pub use time::Timestamp;
pub use trace::{CloseReason, ClosedSpan, ClosedTrace};

//! What the API says, as serde types: the only ones that leave the process as JSON. The command line
//! reads them back.
//!
//! Nanoseconds are strings, because JavaScript loses 64-bit integers; times are RFC 3339; what does
//! not apply is `null`.

mod anomaly;
mod archive;
mod decision;
mod ns;
mod rule;
mod service;
mod status;
mod target;
mod trace;

pub use anomaly::{AnomalyList, AnomalyView, BaselineView, ScoreView};
pub use archive::{ArchiveView, ArchivedWindowView, EmittedArchiveView, StepView};
pub(crate) use decision::decision_id;
pub use decision::{
    BoundView, CallSiteView, ConditionView, DECISION_SCHEMA, DecisionList, DecisionView, Malformed,
    RuleView,
};
pub use ns::Ns;
pub use rule::{RuleList, RuleStateView};
pub use service::{ModelView, OperationView, ServiceList, ServiceView};
pub use status::{
    CallSitesView, CheckView, MemoryView, OverflowView, SamplingView, ShadowView, SpansView,
    StatusView, TargetStateView, TracesView,
};
pub use target::TargetView;
pub use trace::{TraceList, TraceView};

#![doc = include_str!("../README.md")]

mod assets;
mod feed;
mod guard;
mod health;
mod kept;
mod lists;
mod page;
mod problem;
mod router;
mod snapshot;
mod state;
mod stream;
mod time;
mod view;

pub use feed::{Event, Feed};
pub use guard::Hosts;
pub use router::router;
pub use snapshot::{
    Anomaly, ArchiveStatus, ArchivedWindow, Check, EmittedArchive, KeptTrace, ModelState,
    RuleStatus, Site, Snapshot, SpanCounts, Status, TargetStatus, TraceCounts, TraceSampling,
};
pub use state::{ApiState, Render};
pub use time::{format_time, parse_time};
pub use view::{
    AnomalyList, AnomalyView, ArchiveView, ArchivedWindowView, BaselineView, BoundView,
    CallSiteView, CallSitesView, CheckView, ConditionView, DECISION_SCHEMA, DecisionList,
    DecisionView, EmittedArchiveView, Malformed, MemoryView, ModelView, Ns, OperationView,
    OverflowView, RuleList, RuleStateView, RuleView, SamplingView, ScoreView, ServiceList,
    ServiceView, ShadowView, SpansView, StatusView, StepView, TargetStateView, TargetView,
    TraceList, TraceView, TracesView,
};

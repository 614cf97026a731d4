//! Services and their operations, with statistics and the state of their models.

use serde::{Deserialize, Serialize};

use super::ns::Ns;
use crate::snapshot::{ModelState, Site};

/// Operations shown of one service: those with the highest rates.
const N_OPERATIONS_MAX: usize = 100;

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Name.
    pub service: String,
    /// Spans per second over all its operations.
    pub rate: f64,
    /// Share of spans with status ERROR over all its operations.
    pub error_rate: f64,
    /// Its operations, busiest first, at most 100.
    pub operations: Vec<OperationView>,
    /// Operations that are not shown.
    pub operations_left_out: u64,
}

/// An operation of a service: a call site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationView {
    /// Operation, ids in it folded to `{}`.
    pub operation: String,
    /// `server`, `client`, ...
    pub kind: String,
    /// Whether names that did not fit fall in here.
    pub overflow: bool,
    /// Spans in the window of the statistics, weighted.
    pub count: f64,
    /// Spans per second.
    pub rate: f64,
    /// Share of spans with status ERROR.
    pub error_rate: f64,
    /// Median duration in nanoseconds; `null` if it sent nothing within the window.
    pub p50_ns: Option<Ns>,
    /// 95th percentile in nanoseconds.
    pub p95_ns: Option<Ns>,
    /// 99th percentile in nanoseconds.
    pub p99_ns: Option<Ns>,
    /// Change of p95 against the window before, as a ratio; 1 = no change.
    pub trend: f64,
    /// State of its model; `null` if there is none yet.
    pub model: Option<ModelView>,
}

/// State of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelView {
    /// Whether it has a reference of its own.
    pub ready: bool,
    /// Spans learnt.
    pub spans: u64,
    /// Median of the reference in nanoseconds, 0 while there is none.
    pub median_ns: Ns,
    /// 99th percentile of the reference in nanoseconds, 0 while there is none.
    pub p99_ns: Ns,
    /// Age of the reference window in nanoseconds.
    pub window_age_ns: Ns,
}

/// A page of services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceList {
    /// In order of their names.
    pub items: Vec<ServiceView>,
    /// `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
}

impl ServiceView {
    /// The service of `sites`, which are all of it.
    pub(crate) fn of(service: &str, sites: &[&Site]) -> Self {
        let mut operations: Vec<OperationView> =
            sites.iter().map(|site| OperationView::from(*site)).collect();
        let rate: f64 = operations.iter().map(|o| o.rate).sum();
        let errors: f64 = operations.iter().map(|o| o.rate * o.error_rate).sum();
        operations
            .sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.operation.cmp(&b.operation)));
        let n_left_out = operations.len().saturating_sub(N_OPERATIONS_MAX);
        operations.truncate(N_OPERATIONS_MAX);
        Self {
            service: service.to_owned(),
            rate,
            error_rate: if rate > 0.0 { errors / rate } else { 0.0 },
            operations,
            operations_left_out: n_left_out as u64,
        }
    }
}

impl From<&Site> for OperationView {
    fn from(site: &Site) -> Self {
        let stats = site.stats.as_ref();
        Self {
            operation: site.site.operation.to_string(),
            kind: site.site.kind.as_str().to_owned(),
            overflow: site.site.overflow,
            count: stats.map_or(0.0, |s| s.count),
            rate: stats.map_or(0.0, |s| s.rate),
            error_rate: stats.map_or(0.0, |s| s.error_rate),
            p50_ns: stats.map(|s| Ns(s.p50_ns)),
            p95_ns: stats.map(|s| Ns(s.p95_ns)),
            p99_ns: stats.map(|s| Ns(s.p99_ns)),
            trend: stats.map_or(1.0, |s| s.trend),
            model: site.model.as_ref().map(ModelView::from),
        }
    }
}

impl From<&ModelState> for ModelView {
    fn from(model: &ModelState) -> Self {
        Self {
            ready: model.ready,
            spans: model.n_spans,
            median_ns: Ns(model.median_ns),
            p99_ns: Ns(model.p99_ns),
            window_age_ns: Ns(model.window_age_ns),
        }
    }
}

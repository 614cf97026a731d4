//! Kept traces: the recent ones, and one of them whole.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;

use crate::page::{Params, take};
use crate::problem::Problem;
use crate::snapshot::KeptTrace;
use crate::state::ApiState;
use crate::view::{TraceList, TraceView};

/// Traces of a page when the client names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Most traces of a page.
const LIMIT_MAX: usize = 1_000;

/// Why traces are kept.
const REASONS: [&str; 8] =
    ["latency", "structure", "error", "cluster", "probability", "policy", "late", "tag"];
const REASONS_HINT: &str =
    "write latency, structure, error, cluster, probability, policy, late or tag";

/// What is searched for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraceParams {
    /// Traces wanted.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only with a span of this service.
    service: Option<String>,
    /// Only with this root operation.
    operation: Option<String>,
    /// Only kept for this reason.
    reason: Option<String>,
    /// Only this long or longer, in nanoseconds.
    min_duration_ns: Option<u64>,
    /// Only with a failed span, or only without.
    error: Option<bool>,
}

/// The latest kept traces, newest first.
pub(crate) async fn traces(
    State(state): State<ApiState>,
    Params(params): Params<TraceParams>,
) -> Result<Json<TraceList>, Problem> {
    let limit = match params.limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => limit,
        limit => {
            let detail = format!("limit is {limit}, it must be 1 to {LIMIT_MAX}");
            return Err(Problem::invalid(
                detail,
                "write 1 to 1000; `next` of a page leads to more",
            ));
        }
    };
    if let Some(reason) = params.reason.as_deref().filter(|name| !REASONS.contains(name)) {
        let shown: String = reason.chars().take(40).collect();
        return Err(Problem::invalid(format!("no trace is kept for {shown:?}"), REASONS_HINT));
    }
    let before = match &params.cursor {
        None => u64::MAX,
        Some(cursor) => {
            let number = cursor.strip_prefix("t-").and_then(|number| number.parse().ok());
            number.ok_or_else(|| {
                let detail = format!("cursor {cursor:?} is none of this list");
                Problem::invalid(detail, "take it from `next` of the page before")
            })?
        }
    };
    let snapshot = state.snapshot.borrow().clone();
    let wanted = snapshot.traces.iter().rev();
    let wanted = wanted.filter(|trace| trace.seq < before && params.fits(trace));
    let (items, more) = take(wanted.map(|trace| TraceView::from(&**trace)), limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(TraceList { items, next }))
}

/// One kept trace: what is known of it, and its spans as OTLP/JSON.
pub(crate) async fn trace(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.to_ascii_lowercase();
    let snapshot = state.snapshot.borrow().clone();
    let is_it = |trace: &&std::sync::Arc<KeptTrace>| {
        trace.trace_id.to_string() == id || format!("t-{}", trace.seq) == id
    };
    let Some(first) = snapshot.traces.iter().rev().find(is_it) else {
        let shown: String = id.chars().take(40).collect();
        let hint = "only the latest kept traces are in memory; older ones are where they were sent";
        return Err(Problem::not_found(format!("there is no kept trace {shown} in memory"), hint));
    };
    let parts: Vec<&KeptTrace> = snapshot
        .traces
        .iter()
        .filter(|trace| trace.trace_id == first.trace_id)
        .map(|trace| &**trace)
        .collect();
    // Requests behind one another are one request.
    let request = parts.iter().map(|part| &part.request[..]).collect::<Vec<_>>().concat();
    let Some(otlp) = (state.render)(&request) else {
        return Err(Problem::internal("the trace cannot be written as json".to_owned()));
    };
    let views: Vec<TraceView> = parts.into_iter().map(TraceView::from).collect();
    let views = serde_json::to_string(&views)
        .map_err(|error| Problem::internal(format!("views cannot be written: {error}")))?;
    let body = format!("{{\"kept\":{views},\"otlp\":{otlp}}}");
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

impl TraceParams {
    fn fits(&self, trace: &KeptTrace) -> bool {
        let has_service = |wanted: &String| trace.services.iter().any(|name| **name == **wanted);
        self.service.as_ref().is_none_or(has_service)
            && self.operation.as_deref().is_none_or(|wanted| *trace.operation == *wanted)
            && self.reason.as_deref().is_none_or(|wanted| trace.reason == wanted)
            && self.min_duration_ns.is_none_or(|min| trace.duration_ns >= Some(min))
            && self.error.is_none_or(|wanted| wanted == (trace.n_errors > 0))
    }
}

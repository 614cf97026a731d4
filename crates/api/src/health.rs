//! Alive, ready, metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::problem::Problem;
use crate::state::ApiState;
use crate::view::CheckView;

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<CheckView>,
}

/// Whether the pipeline still runs: it owns the sending half of the snapshots.
pub(crate) async fn livez(State(state): State<ApiState>) -> Response {
    match state.snapshot.has_changed() {
        Ok(_) => (StatusCode::OK, "ok\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the pipeline has ended\n").into_response(),
    }
}

/// Whether traffic may come: every check that is required holds. Models that still learn do not
/// matter.
pub(crate) async fn readyz(State(state): State<ApiState>) -> Response {
    let snapshot = Arc::clone(&state.snapshot.borrow());
    let ready = snapshot.status.is_ready();
    let checks = snapshot.status.checks.iter().map(CheckView::from).collect();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Readiness { ready, checks })).into_response()
}

/// The registry as `OpenMetrics` text.
pub(crate) async fn metrics(State(state): State<ApiState>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &state.registry) {
        Ok(()) => {
            let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, media)], text).into_response()
        }
        Err(error) => {
            Problem::internal(format!("metrics cannot be written: {error}")).into_response()
        }
    }
}

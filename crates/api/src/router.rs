//! Which path is answered by whom.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::guard::{Hosts, guard};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::{assets, health, kept, lists, stream};

/// The whole API, to be served by the application. `hosts` says under which names.
pub fn router(state: ApiState, hosts: Hosts) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/index.js", get(assets::script))
        .route("/index.css", get(assets::style))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(lists::status))
        .route("/api/v1/services", get(lists::services))
        .route("/api/v1/rules", get(lists::rules))
        .route("/api/v1/anomalies", get(lists::anomalies))
        .route("/api/v1/decisions", get(lists::decisions))
        .route("/api/v1/decisions/{id}", get(lists::decision))
        .route("/api/v1/traces", get(kept::traces))
        .route("/api/v1/traces/{id}", get(kept::trace))
        .route("/api/v1/stream", get(stream::stream))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(not_found)
        .with_state(state)
        .layer(from_fn_with_state(hosts, guard))
}

async fn not_found(uri: http::Uri) -> Response {
    let shown: String = uri.path().chars().take(80).collect();
    Problem::not_found(format!("there is no {shown}"), "GET / lists the endpoints").into_response()
}

//! The page at `/`: plain HTML with one small script that shows the status and lists the endpoints.
//! Everything is in the binary; nothing is fetched from elsewhere.

use axum::response::{IntoResponse, Response};
use http::header;

/// The page.
pub(crate) async fn index() -> Response {
    asset("text/html; charset=utf-8", include_str!("../assets/index.html"))
}

/// Its script.
pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../assets/index.js"))
}

/// Its style.
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../assets/index.css"))
}

fn asset(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

//! What browsers and strangers get.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::fixture::api;

const PATHS: [&str; 8] = [
    "/",
    "/index.js",
    "/index.css",
    "/livez",
    "/metrics",
    "/api/v1/status",
    "/api/v1/decisions?limit=0",
    "/nowhere",
];

#[tokio::test]
async fn every_reply_tells_the_browser_what_it_may_do() {
    let api = api();
    for path in PATHS {
        let (_, headers, _) = api.get(path).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
    }
}

#[tokio::test]
async fn a_foreign_host_reads_nothing() {
    let api = api();
    for path in PATHS {
        let (code, headers, body) = api.send(Method::GET, path, "rebound.example.com:7300").await;
        assert_eq!(code, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert_eq!(headers["content-type"], "application/problem+json", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], "foreign_host", "{path}");
    }
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let api = api();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let (code, headers, _) = api.send(method.clone(), "/api/v1/status", "localhost").await;
        assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_that_says_where_to_look() {
    let (code, _, body) = api().get("/api/v2/status").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["detail"], "there is no /api/v2/status");
    assert_eq!(problem["hint"], "GET / lists the endpoints");
}

#[tokio::test]
async fn the_page_runs_under_its_own_policy() {
    let (code, headers, page) = api().get("/").await;
    assert_eq!(
        (code, &headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    for forbidden in ["style=", "onclick", "onload", "http://", "https://", "<style"] {
        assert!(!page.contains(forbidden), "the page holds {forbidden}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    let (_, _, script) = api().get("/index.js").await;
    assert!(!script.contains("innerHTML") && !script.contains("eval("));
}

#[tokio::test]
async fn every_endpoint_that_the_page_lists_answers() {
    let api = api();
    let (_, _, page) = api.get("/").await;
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() >= 8, "{links:?}");
    for link in links.into_iter().filter(|link| *link != "/api/v1/stream") {
        assert_eq!(api.get(link).await.0, StatusCode::OK, "{link}");
    }
}

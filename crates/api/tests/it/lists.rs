//! Status, services, anomalies, decisions.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use spanwise_api::{AnomalyList, DecisionList, ServiceList, Snapshot, StatusView, TraceList};

use crate::fixture::{anomaly, api, api_with, snapshot};

#[tokio::test]
async fn each_view_has_its_documented_shape() {
    let api = api();
    insta::assert_json_snapshot!("status", api.json("/api/v1/status").await);
    insta::assert_json_snapshot!("services", api.json("/api/v1/services").await);
    insta::assert_json_snapshot!("anomaly", api.json("/api/v1/anomalies?limit=1").await);
    insta::assert_json_snapshot!("decision", api.json("/api/v1/decisions/d-2").await);
}

#[tokio::test]
async fn what_the_api_says_is_read_back_by_the_same_types() {
    let api = api();
    let check = |text: Value, reread: Value| assert_eq!(reread, text);
    let text = api.json("/api/v1/status").await;
    let view: StatusView = serde_json::from_value(text.clone()).unwrap();
    check(text, serde_json::to_value(view).unwrap());
    let text = api.json("/api/v1/services").await;
    let view: ServiceList = serde_json::from_value(text.clone()).unwrap();
    check(text, serde_json::to_value(view).unwrap());
    let text = api.json("/api/v1/anomalies").await;
    let view: AnomalyList = serde_json::from_value(text.clone()).unwrap();
    check(text, serde_json::to_value(view).unwrap());
    let text = api.json("/api/v1/traces").await;
    let view: TraceList = serde_json::from_value(text.clone()).unwrap();
    check(text, serde_json::to_value(view).unwrap());
    let text = api.json("/api/v1/decisions").await;
    let view: DecisionList = serde_json::from_value(text.clone()).unwrap();
    check(text, serde_json::to_value(view).unwrap());
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let api = api();
    let check = async |path: &str, key: &str, pages: &[&[&str]]| {
        let mut cursor = String::new();
        for (idx, expected) in pages.iter().enumerate() {
            let list = api.json(&format!("{path}?limit=2{cursor}")).await;
            let items = list["items"].as_array().unwrap();
            let found: Vec<&str> = items.iter().map(|item| item[key].as_str().unwrap()).collect();
            assert_eq!(found, *expected, "{path} page {idx}");
            let last = idx + 1 == pages.len();
            assert_eq!(list["next"].is_null(), last, "{path} page {idx}");
            cursor = format!("&cursor={}", list["next"].as_str().unwrap_or_default());
        }
    };
    check("/api/v1/decisions", "id", &[&["d-3", "d-2"], &["d-1"]]).await;
    check("/api/v1/anomalies", "id", &[&["a-3", "a-2"], &["a-1"]]).await;
    check("/api/v1/services", "service", &[&["adservice", "cartservice"]]).await;
    check("/api/v1/traces", "id", &[&["t-3", "t-2"], &["t-1"]]).await;
}

#[tokio::test]
async fn lists_are_filtered_by_exact_names() {
    let api = api();
    let check = async |path: &str, expected: usize| {
        let list = api.json(path).await;
        assert_eq!(list["items"].as_array().unwrap().len(), expected, "{path}");
    };
    check("/api/v1/decisions?target=cartservice", 3).await;
    check("/api/v1/decisions?target=cart", 0).await;
    check("/api/v1/anomalies?service=cartservice&operation=GetCart", 3).await;
    check("/api/v1/anomalies?operation=getcart", 0).await;
    check("/api/v1/services?service=cartservice", 1).await;
    check("/api/v1/traces?service=cartservice&operation=GET%20/cart", 3).await;
    check("/api/v1/traces?operation=GetCart", 0).await;
    check("/api/v1/traces?reason=latency", 2).await;
    check("/api/v1/traces?min_duration_ns=2000000", 2).await;
    check("/api/v1/traces?error=true", 1).await;
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_with_a_hint() {
    let api = api();
    let check = async |path: &str| {
        let (code, headers, body) = api.get(path).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert_eq!(headers["content-type"], "application/problem+json", "{path}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], "invalid_parameter", "{path}");
        assert!(!problem["hint"].as_str().unwrap().is_empty(), "{path}");
    };
    check("/api/v1/decisions?limit=0").await;
    check("/api/v1/decisions?limit=1001").await;
    check("/api/v1/decisions?limit=-1").await;
    check("/api/v1/decisions?limti=5").await;
    check("/api/v1/decisions?cursor=a-1").await;
    check("/api/v1/anomalies?cursor=d-1").await;
    check("/api/v1/decisions/x").await;
    check("/api/v1/decisions/+1").await;
}

#[tokio::test]
async fn a_decision_is_found_by_either_form_of_its_id() {
    let api = api();
    assert_eq!(api.json("/api/v1/decisions/2").await["id"], "d-2");
    let (code, _, body) = api.get("/api/v1/decisions/d-99").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["detail"], "there is no decision d-99 in memory");
}

#[tokio::test]
async fn a_span_with_invalid_times_has_no_duration() {
    let mut invalid = anomaly(1);
    invalid.head.end = invalid.head.start.minus_ns(5);
    let api = api_with(Snapshot { anomalies: vec![Arc::new(invalid)], ..snapshot() });
    let list = api.json("/api/v1/anomalies").await;
    assert_eq!(list["items"][0]["duration_ns"], Value::Null);
}

#[tokio::test]
async fn an_empty_picture_has_empty_lists() {
    let api = api_with(Snapshot::default());
    for path in ["/api/v1/services", "/api/v1/anomalies", "/api/v1/decisions"] {
        assert_eq!(api.json(path).await, json!({"items": [], "next": null}), "{path}");
    }
    assert_eq!(api.json("/api/v1/status").await["spans"]["kept_share"], 0.0);
}

#[tokio::test]
async fn a_service_shows_its_busiest_operations_and_counts_the_rest() {
    let picture = snapshot();
    let template = picture.sites[0].clone();
    let sites = (0..130)
        .map(|idx| {
            let mut site = template.clone();
            let operation = format!("op-{}", char::from(b'a' + idx % 26));
            site.site = crate::fixture::call_site(
                "cartservice",
                &operation,
                spanwise_model::SpanKind::Server,
            );
            site.stats.as_mut().unwrap().rate = f64::from(idx);
            site
        })
        .collect();
    let api = api_with(Snapshot { sites, ..picture });
    let list = api.json("/api/v1/services").await;
    let service = &list["items"][0];
    assert_eq!(service["operations"].as_array().unwrap().len(), 100);
    assert_eq!(service["operations_left_out"], 30);
    assert_eq!(service["operations"][0]["rate"], 129.0);
}

#[tokio::test]
async fn a_kept_trace_is_found_by_its_id_with_its_spans() {
    let api = api();
    let by_number = api.json("/api/v1/traces/t-2").await;
    let by_id = api.json(&format!("/api/v1/traces/{}", "02".repeat(16))).await;
    assert_eq!(by_number, by_id);
    assert_eq!((&by_id["kept"][0]["id"], &by_id["otlp"]), (&json!("t-2"), &json!("request 2")));
    let (code, _, body) = api.get("/api/v1/traces/t-9").await;
    assert_eq!(code, StatusCode::NOT_FOUND, "{body}");
}

//! Alive, ready, metrics.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use spanwise_api::{Check, Snapshot, Status};
use tokio::sync::watch;

use crate::fixture::{api, api_with, snapshot};

#[tokio::test]
async fn alive_as_long_as_the_pipeline_makes_pictures() {
    let mut api = api();
    assert_eq!(api.get("/livez").await.0, StatusCode::OK);
    // Puts a sending half that leads nowhere in the place of the pipeline's.
    api.snapshot = watch::channel(Arc::new(Snapshot::default())).0;
    assert_eq!(api.get("/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn ready_when_every_required_check_holds() {
    let check = async |oks: &[(bool, bool)], expected: StatusCode| {
        let checks = oks.iter().map(|&(ok, required)| Check {
            name: "receiver grpc".to_owned(),
            ok,
            detail: "127.0.0.1:4317".to_owned(),
            required,
        });
        let status = Status { checks: checks.collect(), ..snapshot().status };
        let api = api_with(Snapshot { status, ..snapshot() });
        let (code, _, body) = api.get("/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, &body["ready"]), (expected, &json!(expected == StatusCode::OK)));
        assert_eq!(body["checks"].as_array().unwrap().len(), oks.len());
        assert_eq!(api.json("/api/v1/status").await["ready"], body["ready"]);
    };
    check(&[(true, true), (true, true)], StatusCode::OK).await;
    check(&[(true, true), (false, true)], StatusCode::SERVICE_UNAVAILABLE).await;
    // A destination that is down is shown, and keeps nobody from sending.
    check(&[(true, true), (false, false)], StatusCode::OK).await;
    check(&[], StatusCode::SERVICE_UNAVAILABLE).await;
}

#[tokio::test]
async fn metrics_are_what_the_registry_holds() {
    let (code, headers, body) = api().get("/metrics").await;
    assert_eq!(code, StatusCode::OK);
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(headers["content-type"], media);
    assert!(body.contains("spanwise_receiver_spans_total 3\n"), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

//! Server-sent events, read as a browser would.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use spanwise_api::{Event, Snapshot};
use tower::ServiceExt;

use crate::fixture::{Api, anomaly, api, decision, snapshot};

/// An open stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

/// One event.
#[derive(Debug, PartialEq)]
struct Received {
    name: String,
    id: Option<String>,
    data: Value,
}

impl Client {
    async fn open(api: &Api, last_id: Option<&str>) -> Self {
        let mut request = Request::builder().uri("/api/v1/stream").header("host", "localhost");
        if let Some(last_id) = last_id {
            request = request.header("last-event-id", last_id);
        }
        let response =
            api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; comments are skipped. `None` when the stream has ended.
    async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                return Some(Received::parse(&event));
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The names and ids of the next `n` events.
    async fn names(&mut self, n: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..n {
            let event = self.next().await.unwrap();
            names.push(match (event.id, &event.data["missed"]) {
                (Some(id), _) => format!("{} {id}", event.name),
                (None, Value::Null) => event.name,
                (None, missed) => format!("{} {missed}", event.name),
            });
        }
        names
    }
}

impl Received {
    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
        };
        Self {
            name: field("event").unwrap(),
            id: field("id"),
            data: serde_json::from_str(&field("data").unwrap()).unwrap(),
        }
    }
}

fn publish(api: &Api, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        api.feed.publish(Event::Decision(Arc::new(decision(id))));
    }
}

#[tokio::test]
async fn a_new_client_gets_the_status_and_then_what_happens() {
    let api = api();
    publish(&api, 1..=1);
    let mut client = Client::open(&api, None).await;
    let first = client.next().await.unwrap();
    assert_eq!((&*first.name, first.id), ("status", None));
    assert_eq!(first.data, api.json("/api/v1/status").await);
    api.feed.publish(Event::Anomaly(Arc::new(anomaly(3))));
    api.feed.publish(Event::Decision(Arc::new(decision(2))));
    let second = client.next().await.unwrap();
    assert_eq!((&*second.name, second.id.as_deref()), ("anomaly", Some("abc-2")));
    assert_eq!(second.data, api.json("/api/v1/anomalies").await["items"][0]);
    let third = client.next().await.unwrap();
    assert_eq!((&*third.name, third.id.as_deref()), ("decision", Some("abc-3")));
    assert_eq!(third.data, api.json("/api/v1/decisions/d-2").await);
}

#[tokio::test]
async fn every_new_picture_brings_a_status() {
    let api = api();
    let mut client = Client::open(&api, None).await;
    client.next().await.unwrap();
    let mut picture = snapshot();
    picture.status.spans.accepted = 2000;
    api.snapshot.send(Arc::new(picture)).unwrap();
    let event = client.next().await.unwrap();
    assert_eq!((&*event.name, &event.data["spans"]["accepted"]), ("status", &json!(2000)));
}

/// The feed of the fixture keeps four events and its epoch is abc.
#[tokio::test]
async fn a_client_that_was_cut_off_resumes_or_learns_what_is_gone() {
    let check = async |last_id: &str, expected: &[&str]| {
        let api = api();
        publish(&api, 1..=6);
        let mut client = Client::open(&api, Some(last_id)).await;
        assert_eq!(client.names(expected.len()).await, expected, "{last_id}");
        publish(&api, 7..=7);
        assert_eq!(client.names(1).await, ["decision abc-7"], "{last_id}");
    };
    check("abc-6", &["status"]).await;
    check("abc-4", &["status", "decision abc-5", "decision abc-6"]).await;
    let kept = ["decision abc-3", "decision abc-4", "decision abc-5", "decision abc-6"];
    check("abc-2", &[&["status"], &kept[..]].concat()).await;
    check("abc-1", &[&["gap 1", "status"], &kept[..]].concat()).await;
    check("abc-0", &[&["gap 2", "status"], &kept[..]].concat()).await;
    for foreign in ["fff-5", "abc-99", "nonsense", "-", ""] {
        check(foreign, &[&["gap", "status"], &kept[..]].concat()).await;
    }
}

#[tokio::test]
async fn a_slow_client_is_told_how_many_it_missed() {
    let api = api();
    let mut client = Client::open(&api, None).await;
    client.next().await.unwrap();
    publish(&api, 1..=10);
    let expected =
        ["gap 6", "decision abc-7", "decision abc-8", "decision abc-9", "decision abc-10"];
    assert_eq!(client.names(5).await, expected);
}

#[tokio::test]
async fn streams_end_with_the_pipeline() {
    let api = api();
    let mut client = Client::open(&api, None).await;
    client.next().await.unwrap();
    drop(api.snapshot);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn streams_are_bounded_and_a_closed_one_makes_room() {
    let api = api();
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(Client::open(&api, None).await);
    }
    let (code, _, body) = api.get("/api/v1/stream").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["code"], "too_many_streams");
    clients.pop();
    Client::open(&api, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_open_by_comments() {
    let api = api();
    let mut client = Client::open(&api, None).await;
    client.next().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(20), client.body.next()).await;
    let chunk = quiet.expect("something within 20 s").unwrap().unwrap();
    assert!(chunk.starts_with(b":"), "{chunk:?}");
}

#[tokio::test]
async fn a_name_with_line_breaks_stays_one_event() {
    let api = api();
    let mut client = Client::open(&api, None).await;
    client.next().await.unwrap();
    let mut odd = anomaly(1);
    odd.instance = "a\n\nevent: decision\ndata: {}".to_owned();
    api.feed.publish(Event::Anomaly(Arc::new(odd)));
    let event = client.next().await.unwrap();
    assert_eq!(event.name, "anomaly");
    assert_eq!(event.data["instance"], "a\n\nevent: decision\ndata: {}");
}

#[tokio::test]
async fn a_picture_without_anything_is_a_status_too() {
    let api = crate::fixture::api_with(Snapshot::default());
    assert_eq!(Client::open(&api, None).await.next().await.unwrap().name, "status");
}

//! OTLP/HTTP against a raw client: the contract C-01 to C-11.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use serde_json::Value;
use spanwise_otlp::Limits;
use spanwise_otlp::receiver::{Config, ConnectionEnd, Outcome, ReceiverEvent, RequestOutcome};

use crate::requests::{of, rich, span};
use crate::shell::{Mood, RawReply, Receivers, Setup, gzip, post, start, zstd};
use crate::shell_grpc::ErrorBody;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn traces(receivers: &Receivers, headers: &[(&str, &str)], body: &[u8]) -> RawReply {
    post(receivers.http, "/v1/traces", headers, body).await
}

fn json_of(request: &ExportTraceServiceRequest) -> Vec<u8> {
    serde_json::to_vec(request).unwrap()
}

/// C-11: an error is a `Status` in the encoding of the request, and short.
fn check_error(reply: &RawReply, status: u16, code: i64) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    let message = match reply.header("content-type") {
        "application/x-protobuf" => {
            let details = ErrorBody::decode(&reply.body[..]).unwrap();
            assert_eq!(i64::from(details.code), code);
            details.message
        }
        "application/json" => {
            let details: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(details["code"], code);
            details["message"].as_str().unwrap().to_owned()
        }
        other => panic!("content type {other}"),
    };
    assert!(!message.is_empty() && message.len() <= 256, "{message}");
    message
}

#[tokio::test]
async fn protobuf_and_json_are_taken_on_one_port_under_every_compression() {
    let receivers = start().await;
    let request = rich(5);
    let protobuf = request.encode_to_vec();
    let json = json_of(&request);
    for (kind, body, empty) in [(PROTOBUF, &protobuf, &b""[..]), (JSON, &json, b"{}")] {
        for (encoding, body) in [
            ("", body.clone()),
            ("identity", body.clone()),
            ("gzip", gzip(body).to_vec()),
            ("zstd", zstd(body).to_vec()),
        ] {
            let encoding = ("content-encoding", encoding);
            let headers = if encoding.1.is_empty() { vec![kind] } else { vec![kind, encoding] };
            let reply = traces(&receivers, &headers, &body).await;
            // C-03 and C-04.
            assert_eq!((reply.status, reply.header("content-type")), (200, kind.1));
            assert_eq!(reply.body, empty, "{headers:?}");
        }
    }
    let batches = std::mem::take(&mut *receivers.notes.batches.lock());
    assert_eq!(batches.len(), 8);
    for (batch, meta) in &batches {
        let taken = ExportTraceServiceRequest::decode(batch.bytes.clone()).unwrap();
        assert_eq!(taken, request, "{meta:?}");
    }
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 40);
    assert_eq!(receivers.admission.in_flight_bytes(), 0);
    receivers.stop().await;
}

#[tokio::test]
async fn content_types_are_read_with_parameters_and_in_any_case() {
    let receivers = start().await;
    let body = json_of(&rich(1));
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let reply = traces(&receivers, &[("content-type", kind)], &body).await;
        assert_eq!(reply.status, 200, "{kind}");
    }
    receivers.stop().await;
}

#[tokio::test]
async fn what_is_not_supported_is_refused_with_the_remedy() {
    let receivers = start().await;
    let body = rich(1).encode_to_vec();
    for kind in ["text/plain", "application/x-thrift", ""] {
        let reply = traces(&receivers, &[("content-type", kind)], &body).await;
        assert!(check_error(&reply, 415, 12).contains("application/x-protobuf"));
    }
    for layers in ["br", "gzip, gzip", "deflate"] {
        let headers = [PROTOBUF, ("content-encoding", layers)];
        let reply = traces(&receivers, &headers, &body).await;
        assert!(check_error(&reply, 415, 12).contains("gzip"), "{layers}");
    }
    let two = [PROTOBUF, ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    check_error(&traces(&receivers, &two, &gzip(&gzip(&body))).await, 415, 12);
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::Unsupported; 7]);
    assert!(receivers.notes.batches.lock().is_empty());
    receivers.stop().await;
}

#[tokio::test]
async fn partial_success_is_told_in_the_encoding_of_the_request() {
    let receivers = start().await;
    let mut bad = span(2);
    bad.span_id = vec![0; 8];
    let request = of(vec![span(1), bad]);

    let reply = traces(&receivers, &[PROTOBUF], &request.encode_to_vec()).await;
    let partial = ExportTraceServiceResponse::decode(&reply.body[..]).unwrap().partial_success;
    assert_eq!((reply.status, partial.unwrap().rejected_spans), (200, 1));

    let reply = traces(&receivers, &[JSON], &json_of(&request)).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &body["partialSuccess"]["rejectedSpans"]), (200, &"1".into()));
    assert!(body["partialSuccess"]["errorMessage"].as_str().unwrap().contains("span id"));
    receivers.stop().await;
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let receivers = start().await;
    for (kind, body) in [(PROTOBUF, &b""[..]), (JSON, b"{}"), (JSON, br#"{"resourceSpans":[{}]}"#)]
    {
        assert_eq!(traces(&receivers, &[kind], body).await.status, 200);
    }
    assert!(receivers.notes.batches.lock().is_empty());
    receivers.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_before_and_after_decompression() {
    let limits = Limits { request_bytes: 100_000, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    let protobuf = rich(500).encode_to_vec();
    let json = json_of(&rich(500));
    assert!(protobuf.len() > 100_000 && gzip(&protobuf).len() < 100_000);
    for (kind, body) in [(PROTOBUF, &protobuf), (JSON, &json)] {
        check_error(&traces(&receivers, &[kind], body).await, 413, 8);
        let gzipped = [kind, ("content-encoding", "gzip")];
        check_error(&traces(&receivers, &gzipped, &gzip(body)).await, 413, 8);
        let zstded = [kind, ("content-encoding", "zstd")];
        check_error(&traces(&receivers, &zstded, &zstd(body)).await, 413, 8);
    }
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::TooLarge; 6]);
    assert_eq!(receivers.admission.in_flight_bytes(), 0);
    receivers.stop().await;
}

#[tokio::test]
async fn what_is_not_otlp_is_400() {
    let receivers = start().await;
    check_error(&traces(&receivers, &[PROTOBUF], b"\x0a\xff\xff").await, 400, 3);
    let text = check_error(&traces(&receivers, &[JSON], b"{\"resourceSpans\":[").await, 400, 3);
    assert!(text.contains("line 1"), "{text}");
    let gzip = [PROTOBUF, ("content-encoding", "gzip")];
    let text = check_error(&traces(&receivers, &gzip, b"not gzip").await, 400, 3);
    assert!(text.contains("gzip"), "{text}");
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::Undecodable; 3]);
    receivers.stop().await;
}

#[tokio::test]
async fn overload_is_503_with_whole_seconds_to_wait() {
    let receivers = start().await;
    for mood in [Mood::Refuses, Mood::Closed] {
        *receivers.notes.mood.lock() = mood;
        for (kind, body) in [(PROTOBUF, rich(2).encode_to_vec()), (JSON, json_of(&rich(2)))] {
            let reply = traces(&receivers, &[kind], &body).await;
            check_error(&reply, 503, 14);
            // 1.5 s, rounded up.
            assert_eq!(reply.header("retry-after"), "2");
        }
    }
    receivers.stop().await;
}

#[tokio::test]
async fn what_is_too_large_to_be_stored_is_413_and_names_the_limit() {
    let receivers = start().await;
    *receivers.notes.mood.lock() = Mood::NeverTakes;
    let reply = traces(&receivers, &[PROTOBUF], &rich(2).encode_to_vec()).await;
    assert!(check_error(&reply, 413, 8).contains("limit of 1000"));
    receivers.stop().await;
}

#[tokio::test]
async fn other_paths_methods_and_signals_are_told_where_to_go() {
    let receivers = start().await;
    for path in ["/v1/metrics", "/v1/logs"] {
        let reply = post(receivers.http, path, &[JSON], b"{}").await;
        assert!(check_error(&reply, 404, 12).contains("OTEL_METRICS_EXPORTER=none"));
        let reply = post(receivers.http, path, &[PROTOBUF], b"").await;
        assert!(check_error(&reply, 404, 12).contains("OTEL_LOGS_EXPORTER=none"));
    }
    let reply = post(receivers.http, "/", &[JSON], b"{}").await;
    assert!(check_error(&reply, 404, 5).contains("/v1/traces"));
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::OtherSignal; 4]);
    receivers.stop().await;
}

#[tokio::test]
async fn a_protocol_on_the_wrong_port_is_told_the_right_one() {
    let receivers = start().await;
    // OTLP/HTTP to the gRPC port.
    let reply = post(receivers.grpc, "/v1/traces", &[PROTOBUF], b"").await;
    assert_eq!(reply.status, 400);
    assert!(String::from_utf8(reply.body).unwrap().contains("4318"));
    // gRPC to the HTTP port.
    let url = format!("http://{}", receivers.http);
    let mut client =
        opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient::connect(url)
            .await
            .unwrap();
    let status = client.export(rich(1)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(status.message().contains("4317"), "{status}");

    let is_wrong = |event: &ReceiverEvent| {
        matches!(event, ReceiverEvent::Connection { end: ConnectionEnd::WrongProtocol, .. })
    };
    receivers.notes.until(|n| n.events.lock().iter().filter(|e| is_wrong(e)).count() == 2).await;
    drop(client);
    receivers.stop().await;
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let receivers = start().await;
    let mut io = tokio::net::TcpStream::connect(receivers.http).await.unwrap();
    let body = rich(2).encode_to_vec();
    for _ in 0..3 {
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        io.write_all(&[head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()).await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            reply.push(io.read_u8().await.unwrap());
        }
        assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
    }
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 6);
    drop(io);
    receivers.stop().await;
}

#[tokio::test]
async fn otlp_http_is_taken_over_http2_without_tls_as_well() {
    let receivers = start().await;
    let io = tokio::net::TcpStream::connect(receivers.http).await.unwrap();
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test is its own application")]
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let request = http::Request::post(format!("http://{}/v1/traces", receivers.http))
        .header("content-type", "application/x-protobuf")
        .body(())
        .unwrap();
    let (reply, mut body) = send.send_request(request, false).unwrap();
    body.send_data(rich(3).encode_to_vec().into(), true).unwrap();
    let reply = reply.await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], PROTOBUF.1);
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 3);
    drop((send, body, reply));
    connection.await.unwrap().unwrap();
    receivers.stop().await;
}

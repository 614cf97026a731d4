//! Real OpenTelemetry SDKs against the receivers: every span is counted once, none is lost, and what
//! a subscriber and a forward destination get is, for protobuf, the bytes the SDK sent.
//!
//! Runs when `tests/sdk/install.sh` has been run; says so when it has not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spanwise_model::Batch;
use spanwise_otlp::exporter::{Client, Config, Protocol};
use spanwise_otlp::receiver::Outcome;
use spanwise_otlp::transport::Endpoint;
use spanwise_otlp::{KeptSpan, Limits, decode, reframe};
use tokio::process::Command;

use crate::shell::{Receivers, start};

const N_TRACES: u64 = 400;
/// A trace has 1 to 6 spans.
const N_SPANS: u64 = 1_396;

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where the SDKs are installed.
fn installed() -> PathBuf {
    std::env::var_os("SPANWISE_SDK").map_or_else(|| repository().join("target/sdk"), PathBuf::from)
}

/// Runs an exporter to its end and gives the file it wrote; `None` if it is not installed.
async fn run(program: PathBuf, needs: PathBuf, args: &[&str]) -> Option<Vec<u8>> {
    if !program.exists() && program.components().count() > 1 || !needs.exists() {
        eprintln!("skipped: {} is not there; run tests/sdk/install.sh", needs.display());
        return None;
    }
    let out = tempfile::NamedTempFile::new().unwrap();
    let run = Command::new(&program)
        .args(args)
        .arg(N_TRACES.to_string())
        .arg(out.path())
        .env("NODE_PATH", installed().join("js/node_modules"))
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null())
        .output()
        .await;
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            eprintln!("skipped: {} does not start: {error}", program.display());
            return None;
        }
    };
    let (text, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{text}{errors}");
    assert_eq!(text.trim(), N_SPANS.to_string(), "spans the exporter sent");
    Some(std::fs::read(out.path()).unwrap())
}

async fn python(protocol: &str, endpoint: &str) -> Option<Vec<u8>> {
    let script = repository().join("tests/sdk/python_exporter.py");
    let python = installed().join("python/bin/python");
    run(python.clone(), python, &[script.to_str().unwrap(), protocol, endpoint]).await
}

async fn javascript(endpoint: &str) -> Option<Vec<u8>> {
    let script = repository().join("tests/sdk/js_exporter/main.js");
    let modules = installed().join("js/node_modules/@opentelemetry/exporter-trace-otlp-http");
    run("node".into(), modules, &[script.to_str().unwrap(), endpoint]).await
}

/// Requests behind little-endian lengths.
fn framed(bytes: &[u8]) -> Vec<Bytes> {
    let mut rest = bytes;
    let mut requests = Vec::new();
    while let Some((length, tail)) = rest.split_at_checked(4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        requests.push(Bytes::copy_from_slice(&tail[..length]));
        rest = &tail[length..];
    }
    requests
}

/// The bytes of every span by trace and span id.
fn raw_spans(requests: &[Bytes]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut spans = BTreeMap::new();
    for request in requests {
        let batch = decode(request.clone(), &Limits::default()).unwrap().batch;
        for head in &batch.spans {
            let key = [&head.trace_id.0[..], &head.span_id.0].concat();
            let twice = spans.insert(key, head.raw.of(&batch.bytes).to_vec());
            assert_eq!(twice, None, "a span came twice");
        }
    }
    spans
}

/// Spans by id, decoded by a foreign implementation.
fn decoded(request: &ExportTraceServiceRequest, spans: &mut BTreeMap<Vec<u8>, Span>) {
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let key = [&span.trace_id[..], &span.span_id].concat();
                assert_eq!(spans.insert(key, span.clone()), None, "a span came twice");
            }
        }
    }
}

/// Sends every received span on, one request a batch, and gives what the other side received.
async fn forward(batches: &[Batch]) -> Vec<Bytes> {
    let destination = start().await;
    let endpoint = Endpoint::parse(&destination.grpc.to_string(), 4317).unwrap();
    let mut client =
        Client::new(Config::new(endpoint, Protocol::Grpc), Arc::clone(&destination.tasks) as _);
    for batch in batches {
        let kept: Vec<KeptSpan<'_>> = (0..batch.spans.len() as u32)
            .map(|span_idx| KeptSpan { batch, span_idx, stamp: &[] })
            .collect();
        client.export(reframe(&kept).bytes).await.unwrap();
    }
    drop(client);
    let received = std::mem::take(&mut *destination.notes.batches.lock());
    destination.stop().await;
    received.into_iter().map(|(batch, _)| batch.bytes).collect()
}

fn take_batches(receivers: &Receivers) -> Vec<Batch> {
    let batches = std::mem::take(&mut *receivers.notes.batches.lock());
    batches.into_iter().map(|(batch, _)| batch).collect()
}

fn check_counts(receivers: &Receivers) {
    let count = |outcome| receivers.notes.n_spans(outcome);
    assert_eq!(count(Outcome::Accepted) + count(Outcome::InvalidTime), N_SPANS);
    assert_eq!(count(Outcome::Rejected) + count(Outcome::Refused), 0);
}

async fn check_python(protocol: &str) {
    let receivers = start().await;
    let endpoint = match protocol {
        "grpc" => format!("http://{}", receivers.grpc),
        _ => format!("http://{}/v1/traces", receivers.http),
    };
    if let Some(sent) = python(protocol, &endpoint).await {
        let mut requests = framed(&sent);
        let sent = raw_spans(&requests);
        assert_eq!(sent.len() as u64, N_SPANS);
        check_counts(&receivers);
        let batches = take_batches(&receivers);
        let mut received: Vec<Bytes> = batches.iter().map(|batch| batch.bytes.clone()).collect();
        requests.sort();
        received.sort();
        assert!(received == requests, "received requests differ from those sent");
        assert!(raw_spans(&forward(&batches).await) == sent, "forwarded spans differ");
    }
    receivers.stop().await;
}

#[tokio::test]
async fn the_python_sdk_sends_over_grpc_with_gzip() {
    check_python("grpc").await;
}

#[tokio::test]
async fn the_python_sdk_sends_over_http_protobuf_with_gzip() {
    check_python("http").await;
}

#[tokio::test]
async fn the_javascript_sdk_sends_over_http_json_with_gzip() {
    let receivers = start().await;
    let endpoint = format!("http://{}/v1/traces", receivers.http);
    if let Some(lines) = javascript(&endpoint).await {
        let mut sent = BTreeMap::new();
        for line in lines.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            decoded(&serde_json::from_slice(line).unwrap(), &mut sent);
        }
        assert_eq!(sent.len() as u64, N_SPANS);
        check_counts(&receivers);
        let batches = take_batches(&receivers);
        let mut received = BTreeMap::new();
        for batch in &batches {
            let request = ExportTraceServiceRequest::decode(batch.bytes.clone()).unwrap();
            decoded(&request, &mut received);
        }
        for (key, span) in &sent {
            assert_eq!(received.get(key), Some(span));
        }
        assert_eq!(received.len(), sent.len());
        let mut forwarded = BTreeMap::new();
        for request in forward(&batches).await {
            decoded(&ExportTraceServiceRequest::decode(request).unwrap(), &mut forwarded);
        }
        assert!(forwarded == received, "forwarded spans differ");
    }
    receivers.stop().await;
}

//! Real OpenTelemetry SDKs export to the running product: every span is counted once, none is lost,
//! and what is forwarded is, for protobuf, byte for byte what the SDK sent.
//!
//! Runs when `tests/sdk/install.sh` has been run; says so when it has not.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spanwise::serve::Role;
use spanwise_otlp::receiver::Protocol;
use spanwise_otlp::{Limits, decode};

use crate::support::http::{get_json, metric};
use crate::support::sdk::{N_SPANS, javascript, python};
use crate::support::server::Running;
use crate::support::sink::Sink;
use crate::support::until_true;

/// Trace id and span id.
type Key = Vec<u8>;

/// A server that keeps everything and passes it on over gRPC.
struct Stage {
    server: Running,
    sink: Sink,
    /// Keeps the sink alive.
    _runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let sink = Sink::start(&runtime);
        let yaml =
            format!("sampler: {{budget: 100%}}\nforward: [{{endpoint: 'http://{}'}}]\n", sink.grpc);
        Self { server: Running::start(&yaml, Role::All), sink, _runtime: runtime }
    }

    /// Exports twice and gives what was sent the second time: a span is kept, whatever the budget,
    /// only once there is something to compare it with.
    fn export(&self, exporter: impl Fn(&Self) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        exporter(self)?;
        until_true("the first traces to close", || {
            let status = get_json(self.server.api(), "/api/v1/status");
            status.is_some_and(|status| status["traces"]["closed"].as_u64() >= Some(400))
        });
        exporter(self)
    }

    /// Every span of both exports was counted, once.
    fn check_counts(&self, protocol: Protocol) {
        for (outcome, expected) in
            [("accepted", 2 * N_SPANS), ("rejected", 0), ("refused", 0), ("invalid_time", 0)]
        {
            let labels = format!("{{protocol=\"{}\",outcome=\"{outcome}\"}}", protocol.as_str());
            let sample = format!("spanwise_receiver_spans_total{labels}");
            assert_eq!(metric(self.server.api(), &sample), expected, "{sample}");
        }
    }

    /// Waits until as many spans have been forwarded as were sent the second time, and gives the
    /// requests.
    fn forwarded(&self, is_ours: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        until_true("the forwarded spans", || {
            let batches = self.sink.batches(Protocol::Grpc);
            let spans = batches.iter().flat_map(|batch| &batch.spans);
            let ours = spans.filter(|head| is_ours(&key(&head.trace_id.0, &head.span_id.0)));
            ours.count() as u64 >= N_SPANS
        });
        self.sink.batches(Protocol::Grpc).into_iter().map(|batch| batch.bytes).collect()
    }
}

fn key(trace_id: &[u8], span_id: &[u8]) -> Key {
    [trace_id, span_id].concat()
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

/// The Span messages of requests, as they stand there.
fn raw_spans(requests: &[Bytes]) -> BTreeMap<Key, Vec<u8>> {
    let mut spans = BTreeMap::new();
    for request in requests {
        let batch = decode(request.clone(), &Limits::default()).unwrap().batch;
        for head in &batch.spans {
            let raw = head.raw.of(&batch.bytes).to_vec();
            let twice = spans.insert(key(&head.trace_id.0, &head.span_id.0), raw);
            assert_eq!(twice, None, "a span came twice");
        }
    }
    spans
}

/// The spans of a request, decoded by a foreign implementation.
fn decoded(request: &ExportTraceServiceRequest, spans: &mut BTreeMap<Key, Span>) {
    let scopes = request.resource_spans.iter().flat_map(|around| &around.scope_spans);
    for span in scopes.flat_map(|scope| &scope.spans) {
        let twice = spans.insert(key(&span.trace_id, &span.span_id), span.clone());
        assert_eq!(twice, None, "a span came twice");
    }
}

fn check_python(protocol: Protocol) {
    let stage = Stage::start();
    let sent = stage.export(|stage| match protocol {
        Protocol::Grpc => python("grpc", &format!("http://{}", stage.server.grpc())),
        _ => python("http", &format!("http://{}/v1/traces", stage.server.http())),
    });
    if let Some(sent) = sent {
        let sent = raw_spans(&framed(&sent));
        assert_eq!(sent.len() as u64, N_SPANS);
        stage.check_counts(protocol);
        let forwarded = raw_spans(&stage.forwarded(|key| sent.contains_key(key)));
        for (key, span) in &sent {
            assert_eq!(forwarded.get(key), Some(span), "bytes of a span differ");
        }
    }
    assert!(stage.server.stop());
}

#[test]
fn the_python_sdk_exports_over_grpc_with_gzip() {
    check_python(Protocol::Grpc);
}

#[test]
fn the_python_sdk_exports_over_http_protobuf_with_gzip() {
    check_python(Protocol::HttpProtobuf);
}

#[test]
fn the_javascript_sdk_exports_over_http_json_with_gzip() {
    let stage = Stage::start();
    let exporter = |stage: &Stage| javascript(&format!("http://{}/v1/traces", stage.server.http()));
    if let Some(lines) = stage.export(exporter) {
        let mut sent = BTreeMap::new();
        for line in lines.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            decoded(&serde_json::from_slice(line).unwrap(), &mut sent);
        }
        assert_eq!(sent.len() as u64, N_SPANS);
        stage.check_counts(Protocol::HttpJson);
        let mut forwarded = BTreeMap::new();
        for request in stage.forwarded(|key| sent.contains_key(key)) {
            decoded(&ExportTraceServiceRequest::decode(request).unwrap(), &mut forwarded);
        }
        for (key, span) in &sent {
            assert_eq!(forwarded.get(key), Some(span));
        }
    }
    assert!(stage.server.stop());
}

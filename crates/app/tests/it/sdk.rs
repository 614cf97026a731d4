//! Real OpenTelemetry SDKs export to the running product: every span is counted once, none is lost,
//! and what is forwarded is, for protobuf, byte for byte what the SDK sent.
//!
//! Runs when `tests/sdk/install.sh` has been run; says so when it has not.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spanwise::serve::Role;
use spanwise_otlp::receiver::Protocol;
use spanwise_otlp::{Limits, decode};

use crate::support::http::metric;
use crate::support::requests::whole_spans;
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

    /// Every span was counted, once.
    fn check_counts(&self, protocol: Protocol) {
        for (outcome, expected) in
            [("accepted", N_SPANS), ("rejected", 0), ("refused", 0), ("invalid_time", 0)]
        {
            let labels = format!("{{protocol=\"{}\",outcome=\"{outcome}\"}}", protocol.as_str());
            let sample = format!("spanwise_receiver_spans_total{labels}");
            assert_eq!(metric(self.server.api(), &sample), expected, "{sample}");
        }
    }

    /// Waits until as many spans have been forwarded as were sent, and gives the requests.
    fn forwarded(&self) -> Vec<Bytes> {
        until_true("the forwarded spans", || {
            let batches = self.sink.batches(Protocol::Grpc);
            batches.iter().map(|batch| batch.spans.len() as u64).sum::<u64>() >= N_SPANS
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

/// Requests as a foreign implementation reads them.
fn decoded(requests: &[Bytes]) -> Vec<ExportTraceServiceRequest> {
    let decode = |bytes: &Bytes| ExportTraceServiceRequest::decode(bytes.clone()).unwrap();
    requests.iter().map(decode).collect()
}

fn check_python(protocol: Protocol) {
    let stage = Stage::start();
    let sent = match protocol {
        Protocol::Grpc => python("grpc", &format!("http://{}", stage.server.grpc())),
        _ => python("http", &format!("http://{}/v1/traces", stage.server.http())),
    };
    if let Some(sent) = sent {
        let sent = framed(&sent);
        let spans = raw_spans(&sent);
        assert_eq!(spans.len() as u64, N_SPANS);
        stage.check_counts(protocol);
        let forwarded = stage.forwarded();
        assert!(raw_spans(&forwarded) == spans, "bytes of a span differ");
        assert_eq!(whole_spans(&decoded(&forwarded)), whole_spans(&decoded(&sent)));
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
    if let Some(lines) = javascript(&format!("http://{}/v1/traces", stage.server.http())) {
        let lines = lines.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        let sent: Vec<ExportTraceServiceRequest> =
            lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        let sent = whole_spans(&sent);
        assert_eq!(sent.len() as u64, N_SPANS);
        stage.check_counts(Protocol::HttpJson);
        assert_eq!(whole_spans(&decoded(&stage.forwarded())), sent);
    }
    assert!(stage.server.stop());
}

//! What goes in comes out: every span counted once, and what is forwarded or streamed has the bytes
//! that were received.
//!
//! The spans use every field OTLP has. They come in over gRPC, over HTTP as protobuf under gzip, and
//! as JSON; they leave to two destinations and to a subscriber.

use std::io::Write as _;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spanwise::serve::{Role, Spawner};
use spanwise_model::Batch;
use spanwise_otlp::exporter::{self, Exported};
use spanwise_otlp::receiver::Protocol;
use spanwise_otlp::sampled_spans::{Client, SubscribeRequest, subscribe};
use spanwise_otlp::transport::{ChannelLimits, Compression, Endpoint};
use spanwise_otlp::{Limits, decode};

use crate::support::http::{metric, post};
use crate::support::requests::{rich, whole_spans};
use crate::support::server::{Running, export};
use crate::support::sink::Sink;
use crate::support::{json, until_true};

const LIMITS: ChannelLimits =
    ChannelLimits { timeout: std::time::Duration::from_secs(30), reply_bytes_max: 64 << 20 };
const JSON: (&str, &str) = ("content-type", "application/json");
/// Spans in each of the four scopes of a request.
const N: u64 = 5;

/// A server that keeps everything and passes it on, and who receives it.
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
        let yaml = format!(
            "sampler: {{budget: 100%}}
forward:
  - {{endpoint: 'http://{}'}}
  - {{endpoint: 'http://{}', protocol: http/protobuf, compression: gzip}}
",
            sink.grpc, sink.http
        );
        Self { server: Running::start(&yaml, Role::All), sink, _runtime: runtime }
    }

    fn subscribe(&self) -> Client {
        self.server.runtime().block_on(async {
            let endpoint = Endpoint::parse(&self.server.grpc().to_string(), 4317).unwrap();
            let request = SubscribeRequest::default();
            subscribe(&endpoint, &request, LIMITS, &Spawner::new()).await.unwrap()
        })
    }
}

/// The Span messages of `batch`, byte for byte.
fn messages(batch: &Batch) -> impl Iterator<Item = Vec<u8>> {
    batch.spans.iter().map(|head| head.raw.of(&batch.bytes).to_vec())
}

/// Takes what a subscriber receives until it has `n` of our spans.
fn streamed(stage: &Stage, client: &mut Client, n: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut n_seen = 0;
    while n_seen < n {
        let next = stage.server.runtime().block_on(client.next()).unwrap();
        assert_eq!(next.missed_total, 0);
        let batch = decode(next.request, &Limits::default()).unwrap().batch;
        assert_eq!(batch.spans.len(), next.reasons.len(), "one reason a span");
        n_seen += messages(&batch).count();
        batches.push(batch);
    }
    batches
}

/// What came out, by the way it took.
fn outlets(stage: &Stage, client: &mut Client, n: usize) -> [(&'static str, Vec<Batch>); 3] {
    let count = |batches: &[Batch]| batches.iter().flat_map(messages).count();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        until_true("the forwarded spans", || count(&stage.sink.batches(protocol)) >= n);
    }
    [
        ("streamed", streamed(stage, client, n)),
        ("forwarded over grpc", stage.sink.batches(Protocol::Grpc)),
        ("forwarded over http", stage.sink.batches(Protocol::HttpProtobuf)),
    ]
}

fn check_decoded(way: &str, batches: &[Batch], expected: &ExportTraceServiceRequest) {
    let came = batches.iter().map(|batch| batch.bytes.clone());
    let came: Vec<_> =
        came.map(|bytes| ExportTraceServiceRequest::decode(bytes).unwrap()).collect();
    assert_eq!(whole_spans(&came), whole_spans(std::slice::from_ref(expected)), "{way}");
}

#[test]
fn protobuf_spans_leave_with_the_bytes_they_came_in() {
    let stage = Stage::start();
    let mut client = stage.subscribe();
    let (first, second) = (rich(1, N), rich(1_000, N));
    let full_success = Exported { partial: None };
    let sent = stage.server.runtime().block_on(async {
        use exporter::Protocol::{Grpc, HttpProtobuf};
        let (grpc, http) = (stage.server.grpc(), stage.server.http());
        let bytes = |request: &ExportTraceServiceRequest| Bytes::from(request.encode_to_vec());
        let over_grpc = export(grpc, Grpc, Compression::Gzip, bytes(&first)).await.unwrap();
        let over_http =
            export(http, HttpProtobuf, Compression::Gzip, bytes(&second)).await.unwrap();
        [over_grpc, over_http]
    });
    assert_eq!(sent, [full_success.clone(), full_success]);

    let mut expected = first;
    expected.resource_spans.extend(second.resource_spans);
    let spans = expected.resource_spans.iter().flat_map(|around| &around.scope_spans);
    let mut sent: Vec<Vec<u8>> =
        spans.flat_map(|scope| &scope.spans).map(prost::Message::encode_to_vec).collect();
    sent.sort();
    for (way, batches) in outlets(&stage, &mut client, sent.len()) {
        let mut came: Vec<Vec<u8>> = batches.iter().flat_map(messages).collect();
        came.sort();
        assert_eq!(came.len(), sent.len(), "{way}: every span once");
        assert!(came == sent, "{way}: bytes differ");
        check_decoded(way, &batches, &expected);
    }

    let api = stage.server.api();
    for (protocol, n_spans) in [("grpc", 4 * N), ("http_protobuf", 4 * N)] {
        let labels = format!("{{protocol=\"{protocol}\",outcome=\"accepted\"}}");
        let sample = format!("spanwise_receiver_spans_total{labels}");
        assert_eq!(metric(api, &sample), n_spans, "{sample}");
    }
    drop(client);
    assert!(stage.server.stop());
}

#[test]
fn json_spans_leave_equal_after_decoding() {
    let stage = Stage::start();
    let mut client = stage.subscribe();
    let (plain, zipped) = (rich(1, N), rich(1_000, N));
    let reply = post(stage.server.http(), "/v1/traces", &[JSON], &json::request(&plain));
    assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&json::request(&zipped)).unwrap();
    let headers = [JSON, ("content-encoding", "gzip")];
    let reply = post(stage.server.http(), "/v1/traces", &headers, &gzip.finish().unwrap());
    assert_eq!(reply.status, 200, "{}", reply.text());

    let mut expected = plain;
    expected.resource_spans.extend(zipped.resource_spans);
    for (way, batches) in outlets(&stage, &mut client, 8 * N as usize) {
        assert_eq!(batches.iter().flat_map(messages).count(), 8 * N as usize, "{way}");
        check_decoded(way, &batches, &expected);
    }
    let sample = "spanwise_receiver_spans_total{protocol=\"http_json\",outcome=\"accepted\"}";
    assert_eq!(metric(stage.server.api(), sample), 8 * N);
    drop(client);
    assert!(stage.server.stop());
}

//! OTLP/gRPC against a foreign client (tonic): the contract C-01 to C-11.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use prost::Message as _;
use spanwise_otlp::Limits;
use spanwise_otlp::receiver::{Config, Outcome, RequestOutcome};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::requests::{of, rich, span};
use crate::shell::{Mood, PAUSE, Receivers, Setup, start};

pub(crate) async fn client(receivers: &Receivers) -> TraceServiceClient<Channel> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", receivers.grpc));
    let channel = channel.unwrap().connect().await.unwrap();
    TraceServiceClient::new(channel).max_decoding_message_size(4 << 20)
}

/// Sends one request as it is, and gives what a client sees.
async fn export(
    receivers: &Receivers,
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, Status> {
    client(receivers).await.export(request).await.map(tonic::Response::into_inner)
}

/// C-08, C-09, C-10: what an error carries beside its code.
fn details(status: &Status) -> ErrorBody {
    ErrorBody::decode(status.details()).unwrap()
}

/// `google.rpc.Status`, spelt out here so that ours is not checked with ours.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ErrorBody {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

impl ErrorBody {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.details.iter().any(|any| any.type_url.ends_with(name))
    }
}

#[tokio::test]
async fn spans_arrive_byte_for_byte_under_every_compression() {
    let receivers = start().await;
    let request = rich(7);
    let plain = client(&receivers).await;
    let gzip = plain.clone().send_compressed(CompressionEncoding::Gzip);
    let zstd = plain.clone().send_compressed(CompressionEncoding::Zstd);
    for mut client in [plain, gzip, zstd] {
        let reply = client.export(request.clone()).await.unwrap().into_inner();
        // C-04: full success says nothing.
        assert_eq!(reply, ExportTraceServiceResponse::default());
    }
    let batches = std::mem::take(&mut *receivers.notes.batches.lock());
    let compressions: Vec<&str> = batches.iter().map(|(_, m)| m.compression.as_str()).collect();
    assert_eq!(compressions, ["identity", "gzip", "zstd"]);
    for (batch, meta) in &batches {
        assert_eq!(meta.protocol.as_str(), "grpc");
        assert_eq!(batch.bytes, request.encode_to_vec());
    }
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 21);
    assert_eq!(receivers.admission.in_flight_bytes(), 0);
    receivers.stop().await;
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let receivers = start().await;
    export(&receivers, ExportTraceServiceRequest::default()).await.unwrap();
    export(&receivers, of(vec![])).await.unwrap();
    assert!(receivers.notes.batches.lock().is_empty());
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::Accepted; 2]);
    receivers.stop().await;
}

#[tokio::test]
async fn bad_spans_are_rejected_alone_and_bad_links_are_a_warning() {
    let receivers = start().await;
    let mut bad = span(2);
    bad.trace_id = vec![1; 7];
    let mut backwards = span(3);
    backwards.end_time_unix_nano = 1;
    let reply = export(&receivers, of(vec![span(1), bad, backwards])).await.unwrap();
    let partial = reply.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace id"), "{}", partial.error_message);
    for (outcome, expected) in
        [(Outcome::Accepted, 1), (Outcome::InvalidTime, 1), (Outcome::Rejected, 1)]
    {
        assert_eq!(receivers.notes.n_spans(outcome), expected, "{outcome:?}");
    }

    let mut linked = span(4);
    linked.links = vec![Link { trace_id: vec![], ..Link::default() }];
    let warning = export(&receivers, of(vec![linked])).await.unwrap().partial_success.unwrap();
    assert_eq!(warning.rejected_spans, 0);
    assert!(warning.error_message.contains("links"), "{}", warning.error_message);
    receivers.stop().await;
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_for_good_before_and_after_decompression() {
    let limits = Limits { request_bytes: 100_000, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    // About 300 bytes a span: 150 kB, and a fraction of it compressed.
    let request = rich(500);
    assert!(request.encoded_len() > 100_000);
    let plain = client(&receivers).await;
    let gzip = plain.clone().send_compressed(CompressionEncoding::Gzip);
    let zstd = plain.clone().send_compressed(CompressionEncoding::Zstd);
    for mut client in [plain, gzip, zstd] {
        let status = client.export(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        // No RetryInfo, or it would come back for ever.
        assert!(status.details().is_empty());
        assert!(status.message().contains("100000"), "{status}");
    }
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::TooLarge; 3]);
    assert_eq!(receivers.admission.in_flight_bytes(), 0);
    receivers.stop().await;
}

#[tokio::test]
async fn what_is_not_otlp_is_invalid_with_the_reason_beside_it() {
    let receivers = start().await;
    for payload in [&b"\x0a\xff\xff\xff"[..], b"{\"resourceSpans\":[]}"] {
        let status = raw_export(&receivers, payload).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let details = details(&status);
        assert_eq!(details.code, 3);
        assert!(details.has("google.rpc.BadRequest"));
        assert!(details.message.len() <= 256 && !details.message.is_empty());
    }
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::Undecodable; 2]);
    receivers.stop().await;
}

/// Sends any bytes as the message of an `Export` call.
async fn raw_export(receivers: &Receivers, payload: &[u8]) -> Result<Bytes, Status> {
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = tonic::Request::new(Bytes::copy_from_slice(payload));
    let reply = raw_client(receivers).await.unary(request, path.parse().unwrap(), RawCodec).await?;
    Ok(reply.into_inner())
}

async fn raw_client(receivers: &Receivers) -> tonic::client::Grpc<Channel> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", receivers.grpc));
    let mut client = tonic::client::Grpc::new(channel.unwrap().connect().await.unwrap());
    client.ready().await.unwrap();
    client
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(to, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let n_bytes = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, n_bytes)))
    }
}

#[tokio::test]
async fn overload_is_unavailable_and_names_the_pause() {
    let receivers = start().await;
    for mood in [Mood::Refuses, Mood::Closed] {
        *receivers.notes.mood.lock() = mood;
        let status = export(&receivers, rich(3)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let pause = spanwise_otlp::parse_retry_delay(status.details());
        assert_eq!(pause, Some(PAUSE));
        assert!(details(&status).has("google.rpc.RetryInfo"));
    }
    assert_eq!(receivers.notes.n_spans(Outcome::Refused), 3);
    receivers.stop().await;
}

#[tokio::test]
async fn what_is_too_large_to_be_stored_is_refused_for_good() {
    let receivers = start().await;
    *receivers.notes.mood.lock() = Mood::NeverTakes;
    let status = export(&receivers, rich(3)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(spanwise_otlp::parse_retry_delay(status.details()), None);
    assert!(status.message().contains("limit of 1000"), "{}", status.message());
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::TooLarge]);
    receivers.stop().await;
}

#[tokio::test]
async fn a_spent_budget_refuses_until_a_batch_leaves_the_queue() {
    let receivers = Setup { in_flight_bytes: 1 << 20, waiting_bytes: 0, ..Setup::default() };
    let receivers = receivers.start().await;
    *receivers.notes.mood.lock() = Mood::Hoards;
    let mut n_accepted = 0;
    let refused = loop {
        match export(&receivers, rich(500)).await {
            Ok(_) => n_accepted += 1,
            Err(status) => break status,
        }
    };
    assert!((1..8).contains(&n_accepted), "{n_accepted}");
    assert_eq!(refused.code(), Code::Unavailable);
    let pause = spanwise_otlp::parse_retry_delay(refused.details()).unwrap();
    assert!((Duration::from_secs(1)..=Duration::from_secs(30)).contains(&pause), "{pause:?}");
    assert!(receivers.admission.in_flight_bytes() <= 1 << 20);

    // What could never fit is not asked to come again, if its length can be read at all.
    drop(receivers.notes.charges.lock().pop());
    let never = export(&receivers, rich(10_000)).await.unwrap_err();
    assert_eq!((never.code(), never.details().len()), (Code::ResourceExhausted, 0));
    receivers.stop().await;
}

#[tokio::test]
async fn other_signals_are_told_how_to_be_silent() {
    let receivers = start().await;
    let url = format!("http://{}", receivers.grpc);
    let mut metrics = MetricsServiceClient::connect(url.clone()).await.unwrap();
    let status = metrics.export(ExportMetricsServiceRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("OTEL_METRICS_EXPORTER=none"), "{status}");
    let mut logs = LogsServiceClient::connect(url).await.unwrap();
    let status = logs.export(ExportLogsServiceRequest::default()).await.unwrap_err();
    assert!(status.message().contains("OTEL_LOGS_EXPORTER=none"), "{status}");
    assert_eq!(receivers.notes.outcomes(), [RequestOutcome::OtherSignal; 2]);
    receivers.stop().await;
}

#[tokio::test]
async fn a_large_request_is_taken_beside_small_ones() {
    let receivers = start().await;
    // 12 MB: decoded away from the connection's task.
    let large = export(&receivers, rich(40_000));
    let small = async {
        for _ in 0..20 {
            export(&receivers, rich(1)).await.unwrap();
        }
    };
    let (large, ()) = futures_util::future::join(large, small).await;
    large.unwrap();
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 40_020);
    receivers.stop().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let receivers = start().await;
    let mut client = client(&receivers).await;
    client.export(rich(1)).await.unwrap();
    {
        let mut last = std::pin::pin!(client.export(rich(20_000)));
        // Begun, but not finished.
        assert!(last.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
        receivers.shutdown.drain();
        // Either it was taken as a whole, or it was refused as a whole.
        let result = last.await;
        let n_spans = receivers.notes.n_spans(Outcome::Accepted);
        assert_eq!(n_spans, if result.is_ok() { 20_001 } else { 1 }, "{result:?}");
    }
    drop(client);
    receivers.stop().await;
}

/// `HealthCheckRequest{service}`.
fn health_request(service: &str) -> tonic::Request<Bytes> {
    let mut request = Vec::new();
    prost::encoding::string::encode(1, &service.to_owned(), &mut request);
    tonic::Request::new(request.into())
}

#[tokio::test]
async fn health_follows_readiness_and_the_drain() {
    const SERVING: &[u8] = &[8, 1];
    const NOT_SERVING: &[u8] = &[8, 2];
    const SERVICE_UNKNOWN: &[u8] = &[8, 3];

    let receivers = start().await;
    let mut client = raw_client(&receivers).await;
    let check = "/grpc.health.v1.Health/Check";
    let trace_service = "opentelemetry.proto.collector.trace.v1.TraceService";
    for service in ["", trace_service] {
        client.ready().await.unwrap();
        let request = health_request(service);
        let reply = client.unary(request, check.parse().unwrap(), RawCodec).await.unwrap();
        assert_eq!(reply.into_inner(), SERVING);
    }
    client.ready().await.unwrap();
    let unknown: Result<tonic::Response<Bytes>, Status> =
        client.unary(health_request("x"), check.parse().unwrap(), RawCodec).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);

    let watch = "/grpc.health.v1.Health/Watch";
    client.ready().await.unwrap();
    let request = health_request("x");
    let reply = client.server_streaming(request, watch.parse().unwrap(), RawCodec).await.unwrap();
    assert_eq!(reply.into_inner().message().await.unwrap().unwrap(), SERVICE_UNKNOWN);

    client.ready().await.unwrap();
    let request = health_request("");
    let reply = client.server_streaming(request, watch.parse().unwrap(), RawCodec).await.unwrap();
    let mut states = reply.into_inner();
    assert_eq!(states.message().await.unwrap().unwrap(), SERVING);
    receivers.ready.send(false).unwrap();
    assert_eq!(states.message().await.unwrap().unwrap(), NOT_SERVING);
    receivers.ready.send(true).unwrap();
    assert_eq!(states.message().await.unwrap().unwrap(), SERVING);
    receivers.shutdown.drain();
    assert_eq!(states.message().await.unwrap().unwrap(), NOT_SERVING);
    assert_eq!(states.message().await.unwrap(), None);
    drop((client, states));
    receivers.stop().await;
}

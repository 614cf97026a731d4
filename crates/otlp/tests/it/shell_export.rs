//! The exporter against servers that answer well, badly, late or not at all: C-12 and C-13.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use prost::Message as _;
use spanwise_otlp::exporter::{
    Client, Config, ExportError, Exported, NotQueued, Protocol, Stats, exporter,
};
use spanwise_otlp::receiver::Outcome;
use spanwise_otlp::transport::{Compression, Endpoint, Spawn, shutdown_channel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};

use crate::requests::{of, rich, span};
use crate::shell::{Mood, Tasks, start};

/// A tonic server that answers as told, once each, and with success after that.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Result<ExportTraceServiceResponse, Status>>>>,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Script {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.received.lock().push(request.into_inner());
        self.answers
            .lock()
            .pop_front()
            .unwrap_or_else(|| Ok(ExportTraceServiceResponse::default()))
            .map(Response::new)
    }
}

impl Script {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(64 << 20);
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        run(server.serve_with_incoming(incoming).map(drop));
        addr
    }
}

/// An HTTP server that sends these replies, one per connection, and keeps the requests' heads.
async fn http_script(replies: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    run(async move {
        for reply in replies {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            io.read_exact(&mut vec![0; length]).await.unwrap();
            seen.lock().push(head);
            io.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (addr, heads)
}

#[expect(clippy::disallowed_methods, reason = "a test is its own application")]
fn run(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

fn config(addr: SocketAddr, protocol: Protocol) -> Config {
    let endpoint = Endpoint::parse(&addr.to_string(), protocol.default_port()).unwrap();
    Config { timeout: Duration::from_secs(20), ..Config::new(endpoint, protocol) }
}

fn tasks() -> Arc<dyn Spawn> {
    Arc::<Tasks>::default()
}

fn payload(n: u64) -> Bytes {
    rich(n).encode_to_vec().into()
}

async fn export_once(config: Config) -> Result<Exported, ExportError> {
    Client::new(config, tasks()).export(payload(3)).await
}

#[tokio::test]
async fn our_receiver_takes_what_we_send_in_every_way() {
    let receivers = start().await;
    for (addr, protocol) in
        [(receivers.grpc, Protocol::Grpc), (receivers.http, Protocol::HttpProtobuf)]
    {
        for compression in [Compression::Identity, Compression::Gzip, Compression::Zstd] {
            let config = Config { compression, ..config(addr, protocol) };
            let mut client = Client::new(config, Arc::clone(&receivers.tasks) as _);
            for _ in 0..3 {
                assert_eq!(client.export(payload(300)).await, Ok(Exported::default()));
            }
        }
    }
    let batches = std::mem::take(&mut *receivers.notes.batches.lock());
    assert_eq!(batches.len(), 18);
    assert!(batches.iter().all(|(batch, _)| batch.bytes == payload(300)));
    receivers.stop().await;
}

#[tokio::test]
async fn a_foreign_server_takes_what_we_send() {
    let script = Script::default();
    let addr = script.start().await;
    for compression in [Compression::Identity, Compression::Gzip, Compression::Zstd] {
        let mut config = Config { compression, ..config(addr, Protocol::Grpc) };
        config.header("x-api-key", "secret").unwrap();
        assert_eq!(export_once(config).await, Ok(Exported::default()));
    }
    assert_eq!(*script.received.lock(), vec![rich(3); 3]);
}

#[tokio::test]
async fn exactly_the_retryable_codes_are_retryable() {
    for (code, retryable) in [
        (Code::Cancelled, true),
        (Code::DeadlineExceeded, true),
        (Code::Aborted, true),
        (Code::OutOfRange, true),
        (Code::Unavailable, true),
        (Code::DataLoss, true),
        (Code::ResourceExhausted, false),
        (Code::InvalidArgument, false),
        (Code::Unimplemented, false),
        (Code::Internal, false),
        (Code::Unknown, false),
        (Code::PermissionDenied, false),
        (Code::Unauthenticated, false),
    ] {
        let script = Script::default();
        script.answers.lock().push_back(Err(Status::new(code, "told so")));
        let error = export_once(config(script.start().await, Protocol::Grpc)).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{code:?}");
        assert!(error.to_string().contains("told so"), "{error}");
    }
}

#[tokio::test]
async fn retry_info_makes_exhaustion_retryable_and_sets_the_pause() {
    // Status { code: 8, details: [Any { RetryInfo { retry_delay: 7 s } }] }
    let retry_info = [&[0x0a, 0x02, 0x08, 0x07][..]].concat();
    let details = crate::shell_grpc::ErrorBody {
        code: 8,
        message: String::new(),
        details: vec![crate::shell_grpc::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: retry_info,
        }],
    };
    let status =
        Status::with_details(Code::ResourceExhausted, "busy", details.encode_to_vec().into());
    let script = Script::default();
    script.answers.lock().push_back(Err(status));
    let error = export_once(config(script.start().await, Protocol::Grpc)).await.unwrap_err();
    let ExportError::Retryable { after, .. } = error else { panic!("{error}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn http_statuses_are_retried_as_otlp_says() {
    let dated =
        "date: Wed, 21 Oct 2026 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2026 07:28:09 GMT\r\n";
    for (line, headers, expected) in [
        ("429 Too Many Requests", "retry-after: 3\r\n", Some(Some(3))),
        ("503 Service Unavailable", dated, Some(Some(9))),
        ("502 Bad Gateway", "", Some(None)),
        ("504 Gateway Timeout", "", Some(None)),
        ("400 Bad Request", "", None),
        ("413 Payload Too Large", "retry-after: 3\r\n", None),
        ("404 Not Found", "", None),
        ("500 Internal Server Error", "", None),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", None),
    ] {
        let reply = format!("HTTP/1.1 {line}\r\n{headers}content-length: 0\r\n\r\n");
        let (addr, _) = http_script(vec![reply]).await;
        let error = export_once(config(addr, Protocol::HttpProtobuf)).await.unwrap_err();
        let found = match &error {
            ExportError::Retryable { after, .. } => Some(after.map(|after| after.as_secs())),
            ExportError::Permanent { .. } => None,
        };
        assert_eq!(found, expected, "{error}");
    }
}

#[tokio::test]
async fn a_disconnect_without_a_reply_and_silence_are_retryable() {
    let (addr, _) = http_script(vec![String::new()]).await;
    let error = export_once(config(addr, Protocol::HttpProtobuf)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");

    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        // Accepts connections and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let timeout = Duration::from_millis(200);
        let silent = Config { timeout, ..config(listener.local_addr().unwrap(), protocol) };
        let error = export_once(silent).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        // Nobody there.
        let gone = listener.local_addr().unwrap();
        drop(listener);
        let error = export_once(config(gone, protocol)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains(&gone.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_reply_without_end_is_cut_off_for_good() {
    let body = "x".repeat(5 << 20);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (addr, heads) = http_script(vec![reply]).await;
    let mut config = config(addr, Protocol::HttpProtobuf);
    config.header("x-api-key", "secret").unwrap();
    let error = export_once(config).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    let head = &heads.lock()[0];
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    assert!(head.contains("x-api-key: secret\r\n"), "{head}");
}

#[tokio::test]
async fn what_no_server_must_take_is_not_sent() {
    let gone: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let mut client = Client::new(config(gone, Protocol::Grpc), tasks());
    let error = client.export(vec![0; (64 << 20) + 1].into()).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}

/// Waits until everything queued is done.
async fn settled(stats: impl Fn() -> Stats) -> Stats {
    for _ in 0..6_000 {
        let now = stats();
        if now.n_queued == 0 {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for a minute: {:?}", stats());
}

#[tokio::test]
async fn a_queue_is_delivered_in_order_through_refusals() {
    let script = Script::default();
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "two bad".into() };
    script.answers.lock().extend([
        Err(Status::unavailable("starting")),
        Ok(ExportTraceServiceResponse::default()),
        Err(Status::invalid_argument("never")),
        Ok(ExportTraceServiceResponse { partial_success: Some(partial) }),
    ]);
    let (exporter, driver) = exporter(config(script.start().await, Protocol::Grpc), tasks());
    let (shutdown, signal) = shutdown_channel();
    run(driver.run(signal));
    for n in 1..=4 {
        exporter.send(payload(n), n).unwrap();
    }
    let stats = settled(|| exporter.stats()).await;
    // 1 is retried, 2 is refused for good, 3 loses two spans and is not sent again, 4 passes.
    assert_eq!((stats.n_sent, stats.n_refused, stats.n_rejected), (1 + 1 + 4, 2, 2));
    assert_eq!((stats.n_retries, stats.n_queued_bytes), (1, 0));
    let sizes: Vec<usize> = script
        .received
        .lock()
        .iter()
        .map(|r| r.resource_spans[0].scope_spans[0].spans.len())
        .collect();
    assert_eq!(sizes, [1, 1, 2, 3, 4]);
    shutdown.drain();
    for _ in 0..1_000 {
        if exporter.send(payload(1), 1) == Err(NotQueued::Stopped) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the driver did not stop");
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_dead_destination_holds_up_nobody() {
    let receivers = start().await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let n_bytes = payload(10).len();
    let hung = Config {
        queue_bytes_max: 3 * n_bytes,
        ..config(dead.local_addr().unwrap(), Protocol::Grpc)
    };
    let (hung, hung_driver) = exporter(hung, tasks());
    let (good, good_driver) = exporter(config(receivers.grpc, Protocol::Grpc), tasks());
    let (shutdown, signal) = shutdown_channel();
    run(hung_driver.run(signal.clone()));
    run(good_driver.run(signal));
    for idx in 0..5 {
        let queued = hung.send(payload(10), 10);
        assert_eq!(queued, if idx < 3 { Ok(()) } else { Err(NotQueued::Full) });
        good.send(payload(10), 10).unwrap();
    }
    assert_eq!(settled(|| good.stats()).await.n_sent, 50);
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 50);
    let stats = hung.stats();
    assert_eq!((stats.n_queued, stats.n_not_queued, stats.n_sent), (30, 20, 0));
    assert_eq!(stats.n_queued_bytes, 3 * n_bytes);

    // At the end what is left is given up and counted.
    shutdown.abort();
    let stats = settled(|| hung.stats()).await;
    assert_eq!((stats.n_abandoned, stats.n_not_queued), (30, 20));
    receivers.stop().await;
}

#[tokio::test]
async fn an_overloaded_receiver_gets_everything_in_the_end() {
    let receivers = start().await;
    *receivers.notes.mood.lock() = Mood::Refuses;
    let (exporter, driver) = exporter(config(receivers.grpc, Protocol::Grpc), tasks());
    let (shutdown, signal) = shutdown_channel();
    run(driver.run(signal));
    exporter.send(of(vec![span(1)]).encode_to_vec().into(), 1).unwrap();
    receivers.notes.until(|_| exporter.stats().n_retries >= 1).await;
    *receivers.notes.mood.lock() = Mood::Takes;
    assert_eq!(settled(|| exporter.stats()).await.n_sent, 1);
    let problem = exporter.stats().last_problem.unwrap();
    assert!(problem.contains("UNAVAILABLE"), "{problem}");
    shutdown.abort();
    receivers.stop().await;
}

#[tokio::test]
async fn a_connection_that_broke_is_opened_anew() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let first = start().await;
        let addr = if protocol == Protocol::Grpc { first.grpc } else { first.http };
        let mut client = Client::new(config(addr, protocol), tasks());
        client.export(payload(1)).await.unwrap();
        first.stop().await;
        assert!(client.export(payload(1)).await.unwrap_err().is_retryable());
        // Somebody else takes the port.
        let listener = TcpListener::bind(addr).await.unwrap();
        let accepted = async { drop(listener.accept().await.unwrap()) };
        let (result, ()) = futures_util::future::join(client.export(payload(1)), accepted).await;
        assert!(result.unwrap_err().is_retryable());
    }
}

//! Clients that lie, bomb, trickle or break the rules: threats T-02 to T-07.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use prost::Message as _;
use spanwise_otlp::Limits;
use spanwise_otlp::receiver::{Config, ConnectionEnd, Outcome, ReceiverEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::requests::rich;
use crate::shell::{Mood, Notes, Receivers, Setup, gzip, post, read_reply, start};
use crate::shell_grpc::client;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn ends(notes: &Notes, wanted: ConnectionEnd) -> usize {
    let events = notes.events.lock();
    let is_it = |event: &&ReceiverEvent| matches!(event, ReceiverEvent::Connection { end, .. } if *end == wanted);
    events.iter().filter(is_it).count()
}

/// A raw HTTP/2 client.
async fn h2_client(receivers: &Receivers) -> h2::client::SendRequest<Bytes> {
    let io = TcpStream::connect(receivers.grpc).await.unwrap();
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test is its own application")]
    tokio::spawn(async move { drop(connection.await) });
    send.ready().await.unwrap()
}

fn export_request(receivers: &Receivers) -> Request<()> {
    Request::post(format!("http://{}{EXPORT}", receivers.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

#[tokio::test]
async fn a_gzip_bomb_is_cut_at_the_limit_and_at_the_budget() {
    let limits = Limits { request_bytes: 2 << 20, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let bomb = gzip(&vec![0; 16 << 20]);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    for in_flight_bytes in [64 << 20, 1 << 20] {
        let receivers = Setup { config, in_flight_bytes, ..Setup::default() }.start().await;
        let reply = post(receivers.http, "/v1/traces", &headers, &bomb).await;
        assert_eq!(reply.status, 413);
        assert_eq!(receivers.admission.in_flight_bytes(), 0);
        receivers.stop().await;
    }
}

#[tokio::test]
async fn only_one_layer_of_compression_is_taken_off() {
    let receivers = start().await;
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let nested = gzip(&gzip(&rich(1).encode_to_vec()));
    assert_eq!(post(receivers.http, "/v1/traces", &headers, &nested).await.status, 400);
    receivers.stop().await;
}

#[tokio::test]
async fn a_zstd_frame_with_a_huge_window_is_refused() {
    use std::io::Write as _;

    let receivers = start().await;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&rich(3).encode_to_vec()).unwrap();
    let body = encoder.finish().unwrap();
    let headers = [PROTOBUF, ("content-encoding", "zstd")];
    let reply = post(receivers.http, "/v1/traces", &headers, &body).await;
    assert_eq!(reply.status, 413, "{}", String::from_utf8_lossy(&reply.body));
    receivers.stop().await;
}

#[tokio::test]
async fn empty_messages_are_refused_before_they_are_built() {
    let receivers = start().await;
    // ResourceSpans { ScopeSpans { 1,000,000 empty spans } }: two bytes each.
    let spans = [0x12, 0x00].repeat(1_000_000);
    let scope = field(2, &spans);
    let request = field(1, &scope);
    for (encoding, body) in [("identity", Bytes::from(request.clone())), ("gzip", gzip(&request))] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        assert_eq!(post(receivers.http, "/v1/traces", &headers, &body).await.status, 413);
    }
    receivers.stop().await;
}

/// A length-delimited protobuf field.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

#[tokio::test]
async fn a_declared_length_reserves_nothing_and_must_come_true() {
    let config = Config { body_timeout: Duration::from_millis(600), ..Config::default() };
    let setup = Setup { config, in_flight_bytes: 64 << 20, ..Setup::default() };
    let receivers = setup.start().await;
    let mut send = h2_client(&receivers).await;
    let mut replies = Vec::new();
    for _ in 0..50 {
        let (reply, mut body) = send.send_request(export_request(&receivers), false).unwrap();
        // 60 MiB are announced, one byte comes.
        let [a, b, c, d] = (60_u32 << 20).to_be_bytes();
        body.send_data(Bytes::copy_from_slice(&[0, a, b, c, d, 1]), false).unwrap();
        replies.push((reply, body));
        send = send.ready().await.unwrap();
    }
    let mut liar = TcpStream::connect(receivers.http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 60000000\r\n\r\n1";
    liar.write_all(head.as_bytes()).await.unwrap();

    // The healthy client is served beside them, out of the same budget.
    client(&receivers).await.export(rich(100)).await.unwrap();
    assert!(receivers.admission.in_flight_bytes() < 1_000);

    for (reply, _body) in replies {
        let head = reply.await.unwrap();
        assert_eq!(head.headers()["grpc-status"], "4", "{:?}", head.headers());
    }
    assert_eq!(read_reply(&mut liar).await.status, 408);
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 100);
    drop(send);
    receivers.stop().await;
}

/// Scenario: two requests dribble, and meanwhile another is refused for lack of room.
/// Guarantees: it is not said that they were slow: the server was, and they are to come again.
#[tokio::test]
async fn a_server_without_room_does_not_blame_its_clients() {
    let config = Config { body_timeout: Duration::from_millis(600), ..Config::default() };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    let mut send = h2_client(&receivers).await;
    let (reply, mut body) = send.send_request(export_request(&receivers), false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 1, 0, 1]), false).unwrap();
    let mut other = TcpStream::connect(receivers.http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 100\r\n\r\n1";
    other.write_all(head.as_bytes()).await.unwrap();
    // Both have begun: a byte of each is paid for.
    receivers.notes.until(|_| receivers.admission.in_flight_bytes() >= 2).await;

    *receivers.notes.mood.lock() = Mood::Refuses;
    assert!(client(&receivers).await.export(rich(1)).await.is_err());

    let head = reply.await.unwrap();
    assert_eq!(head.headers()["grpc-status"], "14", "{:?}", head.headers());
    let reply = read_reply(&mut other).await;
    assert_eq!(reply.status, 503);
    assert!(reply.head.contains("retry-after"), "{}", reply.head);
    drop(send);
    receivers.stop().await;
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_at_once() {
    let receivers = start().await;
    let send = h2_client(&receivers).await;
    let mut send = send.ready().await.unwrap();
    let (reply, mut body) = send.send_request(export_request(&receivers), false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), false).unwrap();
    let head = reply.await.unwrap();
    assert_eq!(head.headers()["grpc-status"], "8");
    assert!(!head.headers().contains_key("grpc-status-details-bin"));
    drop((send, body));
    receivers.stop().await;
}

#[tokio::test]
async fn broken_framing_is_invalid() {
    let receivers = start().await;
    for (frames, expected) in [
        // Flags that do not exist; a message that ends early; two messages; none; compressed
        // without a compression.
        (&[2, 0, 0, 0, 0][..], "3"),
        (&[0, 0, 0, 0, 9, 1], "3"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "3"),
        (&[], "3"),
        (&[1, 0, 0, 0, 0], "3"),
    ] {
        let mut send = h2_client(&receivers).await;
        let (reply, mut body) = send.send_request(export_request(&receivers), false).unwrap();
        body.send_data(Bytes::copy_from_slice(frames), true).unwrap();
        let head = reply.await.unwrap();
        assert_eq!(head.headers()["grpc-status"], expected, "{frames:?}");
    }
    receivers.stop().await;
}

#[tokio::test]
async fn who_does_not_begin_is_cut_off() {
    let config = Config { header_timeout: Duration::from_millis(200), ..Config::default() };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    let mut idlers = Vec::new();
    for (to, start) in [
        (receivers.grpc, &b""[..]),
        (receivers.grpc, b"P"),
        (receivers.grpc, b"PRI * HTTP/2.0\r\n"),
        (receivers.http, b""),
        (receivers.http, b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow: "),
    ] {
        let mut io = TcpStream::connect(to).await.unwrap();
        io.write_all(start).await.unwrap();
        idlers.push(io);
    }
    receivers.notes.until(|notes| ends(notes, ConnectionEnd::SlowHeaders) == 5).await;
    for mut io in idlers {
        // Closed, one way or the other.
        assert!(matches!(io.read(&mut [0; 64]).await, Ok(_) | Err(_)));
    }
    receivers.stop().await;
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed_after_the_idle_time() {
    let config = Config {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        ..Config::default()
    };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    let mut io = TcpStream::connect(receivers.http).await.unwrap();
    io.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 404"));
    receivers.notes.until(|notes| ends(notes, ConnectionEnd::Idle) == 1).await;
    receivers.stop().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let config = Config { n_connections_max: 2, ..Config::default() };
    let receivers = Setup { config, ..Setup::default() }.start().await;
    let first = TcpStream::connect(receivers.http).await.unwrap();
    let second = TcpStream::connect(receivers.http).await.unwrap();
    let mut third = TcpStream::connect(receivers.http).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    receivers.notes.until(|notes| ends(notes, ConnectionEnd::TooMany) == 1).await;
    drop((first, second));
    receivers.stop().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_nobody_else_notices() {
    let receivers = start().await;
    let mut send = h2_client(&receivers).await;
    for _ in 0..2_000 {
        let Ok(ready) = send.clone().ready().await else { break };
        send = ready;
        let Ok((_, mut body)) = send.send_request(export_request(&receivers), false) else { break };
        body.send_reset(h2::Reason::CANCEL);
    }
    receivers.notes.until(|notes| ends(notes, ConnectionEnd::Violation) == 1).await;
    client(&receivers).await.export(rich(1)).await.unwrap();
    drop(send);
    receivers.stop().await;
}

#[tokio::test]
async fn headers_are_bounded() {
    let receivers = start().await;
    let long = "x".repeat(20_000);
    let reply = post(receivers.http, "/v1/traces", &[PROTOBUF, ("x-long", &long)], b"").await;
    assert_eq!(reply.status, 431);
    let mut send = h2_client(&receivers).await;
    let mut request = export_request(&receivers);
    request.headers_mut().insert("x-long", long.parse().unwrap());
    let (reply, _body) = send.send_request(request, true).unwrap();
    let refused = reply.await.map(|head| head.status().as_u16());
    assert!(!matches!(refused, Ok(200)), "{refused:?}");
    drop(send);
    receivers.stop().await;
}

#[tokio::test]
async fn who_never_finishes_is_cut_off_when_the_drain_ends() {
    let receivers = start().await;
    let mut send = h2_client(&receivers).await;
    let (_reply, mut body) = send.send_request(export_request(&receivers), false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 9]), false).unwrap();
    let mut half = TcpStream::connect(receivers.http).await.unwrap();
    half.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        .await
        .unwrap();
    // Both have begun.
    receivers.notes.until(|_| receivers.admission.in_flight_bytes() == 6).await;
    receivers.shutdown.drain();
    tokio::task::yield_now().await;
    assert!(receivers.tasks.n_running() >= 4, "listeners wait for their connections");
    receivers.shutdown.abort();
    receivers.notes.until(|notes| ends(notes, ConnectionEnd::Aborted) == 2).await;
    receivers.stop().await;
}

#[tokio::test]
async fn who_has_asked_nothing_does_not_delay_the_drain() {
    let receivers = start().await;
    let mut silent = Vec::new();
    for (to, start) in [(receivers.grpc, &b""[..]), (receivers.grpc, b"P"), (receivers.http, b"")] {
        let mut io = TcpStream::connect(to).await.unwrap();
        io.write_all(start).await.unwrap();
        silent.push(io);
    }
    receivers.notes.until(|_| receivers.tasks.n_running() == 5).await;
    receivers.shutdown.drain();
    for mut io in silent {
        assert_eq!(io.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
    receivers.stop().await;
}

#[tokio::test]
async fn small_spans_are_paid_for_by_what_is_built_from_them() {
    // 30 bytes a span on the wire, 128 and more in memory: 6 MB and 26 MB.
    let mut span = Vec::new();
    prost::encoding::bytes::encode(1, &vec![1_u8; 16], &mut span);
    prost::encoding::bytes::encode(2, &vec![1_u8; 8], &mut span);
    let spans = field(2, &span).repeat(200_000);
    let request = field(1, &field(2, &spans));
    assert!(request.len() < 7 << 20);
    for (in_flight_bytes, expected) in [(64 << 20, 200), (16 << 20, 413)] {
        let receivers = Setup { in_flight_bytes, ..Setup::default() }.start().await;
        let reply = post(receivers.http, "/v1/traces", &[PROTOBUF], &request).await;
        assert_eq!(reply.status, expected);
        assert_eq!(receivers.admission.in_flight_bytes(), 0);
        receivers.stop().await;
    }
}

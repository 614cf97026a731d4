//! Requests made to harm: refused with the reason, in bounded memory, and never a trigger.

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use spanwise_model::{SpanRecord, Timestamp};
use spanwise_otlp::RequestBuilder;
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::Compression;

use crate::support::http::{Reply, get_json, metric, post};
use crate::support::process::Serving;
use crate::support::requests::{MS, Purchase, now_ns};
use crate::support::server::export;
use crate::support::{until, until_true};

const LIMIT_BYTES: u64 = 512 << 20;
/// Largest request, as documented.
const REQUEST_BYTES: usize = 64 << 20;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

const CONFIG: &str = "memory_limit: 512MiB
scaler:
  targets:
    - {service: cart, orchestrator: recorder, max: 5}
  rules:
    - name: cart-slow
      when: {service: cart, op: GetCart, kind: server, on: total, over: 60ms, count: 10, window: 30s}
      do: {scale: cart, by: 1}
";

fn serve(dir: &Path) -> Serving {
    let free = "127.0.0.1:0";
    Serving::start(dir, CONFIG, &["--otlp-grpc", free, "--otlp-http", free, "--http", free])
}

/// Peak of resident memory.
fn peak_bytes(serving: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// The process lives, answers, and has never held more than 1.1 times its limit.
fn check_unharmed(serving: &mut Serving) {
    assert!(serving.is_running(), "{}", serving.stderr());
    assert!(get_json(serving.api, "/api/v1/status").is_some());
    let peak = peak_bytes(serving);
    assert!(peak <= LIMIT_BYTES * 11 / 10, "peak of {peak} bytes, limit {LIMIT_BYTES}");
}

fn traces(serving: &Serving, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    post(serving.http.unwrap(), "/v1/traces", headers, body)
}

/// The request is refused with a status and a reason that has `word` in it.
fn check_refused(what: &str, reply: &Reply, status: u16, word: &str) {
    let said = reply.text();
    assert_eq!(reply.status, status, "{what}: {said}");
    assert!(said.contains(word), "{what}: no `{word}` in: {said}");
}

/// As above, but while others are sent the door may be full: come again later.
fn check_crowded(what: &str, reply: &Reply, status: u16, word: &str) {
    match reply.status {
        503 => check_refused(what, reply, 503, "overloaded"),
        _ => check_refused(what, reply, status, word),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// So many MiB of zeros under gzip. Deflate can be cut after a flush and put together again.
fn bomb(n_mib: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut chunk = Vec::with_capacity(64 << 10);
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    deflate.compress_vec(&zeros, &mut chunk, flate2::FlushCompress::Full).unwrap();
    assert_eq!(deflate.total_in(), zeros.len() as u64);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(chunk.repeat(n_mib));
    gzip
}

/// A field of a protobuf message around its payload.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut n = payload.len();
    while n > 0x7f {
        message.push(n as u8 | 0x80);
        n >>= 7;
    }
    message.push(n as u8);
    message.extend_from_slice(payload);
    message
}

/// As many empty messages of field `number` as make a payload of `n_bytes`.
fn empties(number: u8, n_bytes: usize) -> Vec<u8> {
    [number << 3 | 2, 0].repeat(n_bytes / 2)
}

/// A request of one span with `inside` after its ids.
fn one_span(inside: &[u8]) -> Vec<u8> {
    let mut span = field(1, &[1; 16]);
    span.extend(field(2, &[1; 8]));
    span.extend_from_slice(inside);
    field(1, &field(2, &field(2, &span)))
}

/// Scenario: requests of 16 MiB that consist of empty messages, each of which costs 2 bytes on the
/// wire and up to 133 times that once it is a struct; all at once under gzip, then one by one.
/// Guarantees: what holds no span is an empty request; what holds too many is refused by name.
#[test]
fn empty_messages_are_not_amplified() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path());
    let room = 16 << 20;
    let cases = [
        ("resource spans", empties(1, room), 200, ""),
        ("scope spans", field(1, &empties(2, room)), 200, ""),
        ("spans", field(1, &field(2, &empties(2, room))), 413, "250000"),
        ("attributes", one_span(&empties(9, room)), 200, ""),
        ("events", one_span(&empties(11, room)), 413, "250000"),
        ("links", one_span(&empties(13, room)), 413, "250000"),
    ];
    std::thread::scope(|scope| {
        for (what, body, status, word) in &cases {
            let serving = &serving;
            scope.spawn(move || {
                let body = gzip(body);
                check_crowded(what, &traces(serving, &[PROTOBUF, GZIP], &body), *status, word);
            });
        }
    });
    for (what, body, status, word) in &cases {
        check_refused(what, &traces(&serving, &[PROTOBUF], body), *status, word);
    }
    check_unharmed(&mut serving);
}

/// Scenario: 1 GiB of nothing in 1 MiB of gzip, four times at once, and a request too large as it is.
/// Guarantees: 413 that names the limit, before any of it is held.
#[test]
fn a_gzip_bomb_is_refused_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path());
    let bomb = bomb(1_024);
    assert!(bomb.len() < 8 << 20, "{}", bomb.len());
    let limit = REQUEST_BYTES.to_string();
    std::thread::scope(|scope| {
        for kind in [PROTOBUF, JSON, PROTOBUF, JSON] {
            let (serving, bomb, limit) = (&serving, &bomb, &limit);
            scope.spawn(move || {
                check_crowded(kind.1, &traces(serving, &[kind, GZIP], bomb), 413, limit);
            });
        }
    });
    for kind in [PROTOBUF, JSON] {
        check_refused(kind.1, &traces(&serving, &[kind, GZIP], &bomb), 413, &limit);
    }
    let large = vec![0; REQUEST_BYTES + 1];
    check_refused("plain", &traces(&serving, &[PROTOBUF], &large), 413, &limit);
    // Two MiB and no end.
    let cut = &bomb[..bomb.len() / 512];
    check_refused("cut", &traces(&serving, &[PROTOBUF, GZIP], cut), 400, "gzip");
    check_unharmed(&mut serving);
}

/// Guarantees: nesting without end is an error that names the limit, in both encodings.
#[test]
fn deep_nesting_is_refused_by_its_depth() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path());
    let mut value = field(1, b"x");
    for _ in 0..5_000 {
        // An array value with one value in it.
        value = field(5, &field(1, &value));
    }
    let mut attribute = field(1, b"key");
    attribute.extend(field(2, &value));
    let deep = one_span(&field(9, &attribute));
    check_refused("protobuf", &traces(&serving, &[PROTOBUF], &deep), 400, "deeper than 16");

    let span = "{\"traceId\":\"01010101010101010101010101010101\",\"spanId\":\"0101010101010101\",";
    let json = format!(
        "{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{span}\"attributes\":[{{\"key\":\"k\",\"value\":{}",
        "{\"arrayValue\":{\"values\":[".repeat(100_000)
    );
    let reply = traces(&serving, &[JSON], json.as_bytes());
    check_refused("json", &reply, 400, "deep");
    // What is unknown is skipped without being built, however deep it is.
    let (open, closed) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    let reply = traces(&serving, &[JSON], format!("{{\"future\":{open}").as_bytes());
    check_refused("cut json", &reply, 400, "ends too early");
    let reply = traces(&serving, &[JSON], format!("{{\"future\":{open}{closed}}}").as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    check_unharmed(&mut serving);
}

fn send(serving: &Serving, request: Bytes) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (to, identity) = (serving.grpc.unwrap(), Compression::Identity);
    runtime.block_on(export(to, Protocol::Grpc, identity, request)).unwrap();
}

/// Scenario: 200,000 services with an operation each.
/// Guarantees: the dictionary of call sites stays bounded, says which names did not fit, and every
/// span is counted.
#[test]
fn two_hundred_thousand_services_fit_into_a_bounded_dictionary() {
    const N: u64 = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path());
    for part in 0..20 {
        let mut builder = RequestBuilder::new();
        for n in part * N / 20..(part + 1) * N / 20 {
            let [span, ..] = Purchase::new(n + 1, Timestamp(now_ns())).spans();
            let service = std::sync::Arc::from(format!("service-{}", name(n)));
            let operation = std::sync::Arc::from(format!("operation-{}", name(n)));
            builder.push(&SpanRecord { service, operation, ..span });
        }
        send(&serving, builder.finish());
    }
    let sample = "spanwise_receiver_spans_total{protocol=\"grpc\",outcome=\"accepted\"}";
    assert_eq!(metric(serving.api, sample), N);
    let sites = until("all spans in the status", || {
        let status = get_json(serving.api, "/api/v1/status")?;
        let accepted = status["spans"]["accepted"].as_u64();
        (accepted == Some(N)).then(|| status["call_sites"].clone())
    });
    assert!(sites["known"].as_u64().unwrap() <= 11_000, "{sites}");
    assert!(!sites["overflow"].as_array().unwrap().is_empty(), "{sites}");
    check_unharmed(&mut serving);
}

/// A number as a word without digits, so that it is not folded.
fn name(mut n: u64) -> String {
    let mut name = String::new();
    for _ in 0..6 {
        name.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    name
}

/// Scenario: spans of a watched operation whose end lies before their start, or a day or five
/// centuries after it, or that start at 0; then ordinary slow ones.
/// Guarantees: the former are counted as what they are and do not fire the rule; when the latter do,
/// its figures know nothing of the former.
#[test]
fn absurd_times_never_fire_a_rule() {
    const VALID: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let mut serving = serve(dir.path());
    let day = 24 * 3_600_000 * MS;
    let mut n_absurd = 0;
    let mut builder = RequestBuilder::new();
    for n in 0..100 {
        let now = now_ns();
        for (start, end) in
            [(now, now - 1), (now, 0), (now - day - 1, now), (0, now), (0, 1), (1, u64::MAX)]
        {
            n_absurd += 1;
            let [span, ..] = Purchase::new(n_absurd, Timestamp(now)).spans();
            let (start, end) = (Timestamp(start), Timestamp(end));
            builder.push(&SpanRecord {
                start,
                end,
                parent_id: spanwise_model::SpanId::default(),
                ..span
            });
        }
        // What arrives as a whole trace is absurd all the same.
        if n == 50 {
            send(&serving, builder.finish());
        }
    }
    send(&serving, builder.finish());
    let sample = |outcome| {
        format!("spanwise_receiver_spans_total{{protocol=\"grpc\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(metric(serving.api, &sample("invalid_time")), n_absurd);
    until_true("the traces to close", || {
        let status = get_json(serving.api, "/api/v1/status").unwrap();
        status["traces"]["closed"].as_u64() == Some(n_absurd)
    });
    let findings = "spanwise_rule_evaluations_total{rule=\"cart-slow\",result=\"fired\"}";
    assert_eq!(metric(serving.api, findings), 0);

    let mut builder = RequestBuilder::new();
    for n in 0..VALID {
        let purchase = Purchase::new(10_000 + n, Timestamp(now_ns() - n * 100 * MS));
        let [span, ..] = Purchase { work_ns: 100 * MS, ..purchase }.spans();
        builder.push(&SpanRecord { parent_id: spanwise_model::SpanId::default(), ..span });
    }
    send(&serving, builder.finish());
    let decision = until("a decision about valid spans", || {
        let list = get_json(serving.api, "/api/v1/decisions?target=cart")?;
        list["items"].as_array()?.last().cloned()
    });
    let condition = &decision["condition"];
    assert_eq!((&condition["spans"], &condition["breaches"]), (&VALID.into(), &VALID.into()));
    assert_eq!(metric(serving.api, &sample("accepted")), VALID);
    check_unharmed(&mut serving);
    assert_eq!(serving.terminate().code(), Some(0));
}

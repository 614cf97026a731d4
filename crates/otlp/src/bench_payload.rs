//! The payload that ingest is measured with: requests of 512 spans from 8 resources, 560 bytes a
//! span, 11 or 12 attributes each, an exception event on one span in ten.
//!
//! It lives here so that every program that measures measures the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{
    EventRecord, SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value,
};

use crate::encode::RequestBuilder;

/// Spans of one request.
const N_SPANS: u64 = 512;
/// Resources of one request.
const N_RESOURCES: u64 = 8;
/// Spans of one trace.
const TRACE_SPANS: u64 = 16;

const OPERATIONS: [&str; 6] = [
    "GET /api/v1/cart/{user}",
    "hipstershop.CartService/GetCart",
    "SELECT cart.items",
    "POST /api/v1/checkout",
    "hipstershop.PaymentService/Charge",
    "publish orders",
];

const STACK_TRACE: &str = "java.net.SocketTimeoutException: Read timed out\n\
    \tat java.base/java.net.Socket$SocketInputStream.read(Socket.java:1099)\n\
    \tat shop.cart.CartClient.get(CartClient.java:57)\n\
    \tat shop.checkout.CheckoutService.place(CheckoutService.java:131)";

/// `n_requests` requests; the same seed gives the same bytes. Spans start in November 2025: shift
/// them to now before sending them anywhere that judges time.
pub fn bench_payload(n_requests: usize, seed: u64) -> Vec<Bytes> {
    let mut noise = Noise(seed);
    let mut builder = RequestBuilder::new();
    let services: Vec<[Arc<str>; 2]> = (0..N_RESOURCES)
        .map(|i| [format!("service-{i}").into(), format!("pod-{i}").into()])
        .collect();
    let mut next_request = |request: usize| {
        for i in 0..N_SPANS {
            let nth = request as u64 * N_SPANS + i;
            let [service, instance] = services[(i / TRACE_SPANS % N_RESOURCES) as usize].clone();
            builder.push(&record(nth, service, instance, &mut noise));
        }
        builder.finish()
    };
    (0..n_requests).map(&mut next_request).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): enough to make ids differ.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

fn record(nth: u64, service: Arc<str>, instance: Arc<str>, noise: &mut Noise) -> SpanRecord {
    let mut trace = Noise(nth / TRACE_SPANS);
    let [high, low] = [trace.next(), trace.next() | 1];
    let trace_id = TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
    let id_of = |nth: u64| SpanId((Noise(nth).next() | 1).to_be_bytes());
    let in_trace = nth % TRACE_SPANS;
    let parent_id =
        if in_trace == 0 { SpanId::default() } else { id_of(nth - in_trace.div_ceil(2)) };
    let start = 1_763_800_000_000_000_000 + nth * 10_000;
    let duration = 500_000 + noise.next() % 20_000_000;
    let kind = [SpanKind::Server, SpanKind::Client, SpanKind::Internal][(nth % 3) as usize];
    let failed = nth % 10 == 7;
    SpanRecord {
        trace_id,
        span_id: id_of(nth),
        parent_id,
        service,
        instance,
        operation: OPERATIONS[(nth % OPERATIONS.len() as u64) as usize].into(),
        kind,
        start: Timestamp(start),
        end: Timestamp(start + duration),
        status: if failed { StatusCode::Error } else { StatusCode::Unset },
        trace_state: "".into(),
        attributes: attributes(nth, failed, noise),
        events: if failed { vec![exception(start + duration)] } else { Vec::new() },
    }
}

/// 11 attributes, 12 on every second span, in the mix of an HTTP service.
fn attributes(nth: u64, failed: bool, noise: &mut Noise) -> Vec<(Arc<str>, Value)> {
    let text = |text: &str| Value::Str(text.into());
    let code = if failed { 503 } else { 200 };
    let mut attributes: Vec<(Arc<str>, Value)> = vec![
        ("http.request.method".into(), text("GET")),
        ("http.route".into(), text("/api/v1/cart/{user}")),
        ("http.response.status_code".into(), Value::Int(code)),
        ("url.scheme".into(), text("https")),
        ("server.address".into(), text("cart.shop.svc.cluster.local")),
        ("server.port".into(), Value::Int(8080)),
        ("network.peer.address".into(), text(&format!("10.42.{}.{}", nth % 7, nth % 251))),
        (
            "user_agent.original".into(),
            text("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ),
        ("app.user.id".into(), text(&format!("user-{:016x}", noise.next()))),
        ("app.cart.items".into(), Value::Int((noise.next() % 40).cast_signed())),
        ("app.cart.total".into(), Value::Double((noise.next() % 100_000) as f64 / 100.0)),
    ];
    if nth.is_multiple_of(2) {
        attributes.push(("app.cached".into(), Value::Bool(nth.is_multiple_of(4))));
    }
    attributes
}

fn exception(at_ns: u64) -> EventRecord {
    let text = |text: &str| Value::Str(text.into());
    EventRecord {
        at: Timestamp(at_ns),
        name: "exception".into(),
        attributes: vec![
            ("exception.type".into(), text("java.net.SocketTimeoutException")),
            ("exception.stacktrace".into(), text(STACK_TRACE)),
            ("exception.message".into(), text("timeout after 5000 ms waiting for a reply")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, decode};

    #[test]
    fn the_payload_is_as_it_is_described() {
        let requests = bench_payload(4, 7);
        assert_eq!(requests, bench_payload(4, 7));
        assert_ne!(requests, bench_payload(4, 8));
        let n_bytes: usize = requests.iter().map(Bytes::len).sum();
        let per_span = n_bytes as f64 / (4.0 * N_SPANS as f64);
        assert!((550.0..570.0).contains(&per_span), "{per_span} bytes a span");
        for request in requests {
            let decoded = decode(request, &Limits::default()).unwrap();
            assert_eq!(decoded.batch.spans.len() as u64, N_SPANS);
            assert_eq!(decoded.batch.resources.len() as u64, N_RESOURCES);
            assert_eq!((decoded.report.n_rejected(), decoded.report.n_invalid_time), (0, 0));
        }
    }
}

//! What is sent: requests of 64 traces of 16 spans, encoded once; each time with other trace ids.

use std::ops::Range;

use bytes::Bytes;
use spanwise_model::{SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value};
use spanwise_otlp::RequestBuilder;

use super::trace_ids::places_of_ids;

/// Requests that are encoded.
const N_REQUESTS: u64 = 128;
pub(crate) const TRACES: u64 = 64;
const SPANS: u64 = 16;
/// Spans of one request.
pub(crate) const N_SPANS: u64 = TRACES * SPANS;
/// One trace in so many is anomalous: a span of it takes thirty times as long.
const ANOMALY_EVERY: u32 = 100;

/// Encoded requests, and where their trace ids stand.
pub(crate) struct Payload(Vec<(Bytes, Vec<u32>, u64)>);

impl Payload {
    pub(crate) fn new() -> Self {
        let encoded = (0..N_REQUESTS).map(|number| {
            let mut builder = RequestBuilder::new();
            let traces = number * TRACES..(number + 1) * TRACES;
            let n_anomalous =
                traces.clone().filter(|n| is_anomalous_number(*n as u32)).count() as u64;
            for span in spans(traces) {
                builder.push(&span);
            }
            let request = builder.finish();
            (request.clone(), places_of_ids(&request), n_anomalous)
        });
        Self(encoded.collect())
    }

    /// Request `number`, and how many of its traces are anomalous.
    pub(crate) fn request(&self, number: u32) -> (Bytes, u64) {
        let (request, places, n_anomalous) = &self.0[number as usize % self.0.len()];
        let mut bytes = request.to_vec();
        for &at in places {
            bytes[at as usize..at as usize + 4].copy_from_slice(&number.to_be_bytes());
        }
        (bytes.into(), *n_anomalous)
    }
}

/// In which request a trace was sent.
pub(crate) fn request_of(id: TraceId) -> u32 {
    let [a, b, c, d, ..] = id.0;
    u32::from_be_bytes([a, b, c, d])
}

pub(crate) fn is_anomalous(id: TraceId) -> bool {
    let [.., a, b, c, d] = id.0;
    is_anomalous_number(u32::from_be_bytes([a, b, c, d]))
}

fn is_anomalous_number(n: u32) -> bool {
    n % ANOMALY_EVERY == 7
}

fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn spans(traces: Range<u64>) -> impl Iterator<Item = SpanRecord> {
    traces.flat_map(|n| (0..SPANS).map(move |idx| span(n, idx)))
}

/// A span; the root stands last, as it ends last.
fn span(n: u64, idx: u64) -> SpanRecord {
    let id = |idx: u64| SpanId((n * SPANS + idx + 1).to_be_bytes());
    let middle = mix(n) >> 32 << 32;
    // The first four bytes of the id are set anew each time.
    let trace_id = TraceId((u128::from(middle) << 32 | u128::from(n)).to_be_bytes());
    let is_slow = is_anomalous_number(n as u32) && (idx == 3 || idx + 1 == SPANS);
    let length = (2 + mix(n * 31 + idx) % 8) * 1_000_000 * if is_slow { 30 } else { 1 };
    let is_root = idx + 1 == SPANS;
    let start = 1_763_800_000_000_000_000 + n * 1_000_000;
    let service = idx % 8;
    SpanRecord {
        trace_id,
        span_id: id(idx),
        parent_id: if is_root { SpanId::default() } else { id(SPANS - 1) },
        service: format!("service-{service}").into(),
        instance: format!("pod-{service}").into(),
        operation: format!("operation {idx}").into(),
        kind: SpanKind::Server,
        start: Timestamp(start),
        end: Timestamp(start + length),
        status: StatusCode::Unset,
        trace_state: "".into(),
        attributes: (0..10)
            .map(|key| {
                let value = Value::Str(format!("value {} of {key}", mix(n + key) % 50).into());
                (format!("attribute.{key}").into(), value)
            })
            .collect(),
        events: Vec::new(),
    }
}

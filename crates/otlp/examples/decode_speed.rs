//! Measures the walk against prost on the ingest payload: `cargo run --release -p spanwise-otlp
//! --example decode_speed [WORD]`. Prints nanoseconds a span, the best and the median of the rounds;
//! with a word only of what is named with it.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spanwise_model::{AttributeSource as _, Batch};
use spanwise_otlp::{Limits, WireAttributes, bench_payload, decode, decode_into, json_to_protobuf};

/// Few enough to stay in the cache, as requests do that were just received.
const N_REQUESTS: usize = 4;
const N_ROUNDS: usize = 200;

fn main() {
    let requests = bench_payload(N_REQUESTS, 1);
    let limits = Limits::default();
    let n_spans: usize = requests.iter().map(|r| n_spans_of(r, &limits)).sum();
    let mut batch = Batch::default();
    report("walk into a reused batch", n_spans, || {
        for request in &requests {
            black_box(decode_into(request.clone(), &limits, &mut batch).is_ok());
        }
    });
    report("walk into a new batch", n_spans, || {
        for request in &requests {
            black_box(decode(request.clone(), &limits).is_ok());
        }
    });
    report("prost decode and drop", n_spans, || {
        for request in &requests {
            black_box(ExportTraceServiceRequest::decode(request.clone()).is_ok());
        }
    });
    let texts: Vec<Vec<u8>> = requests
        .iter()
        .filter_map(|request| ExportTraceServiceRequest::decode(request.clone()).ok())
        .filter_map(|request| serde_json::to_vec(&request).ok())
        .collect();
    report("otlp/json to protobuf", n_spans, || {
        for text in &texts {
            black_box(json_to_protobuf(text, &limits).is_ok());
        }
    });
    report("otlp/json to structs", n_spans, || {
        for text in &texts {
            black_box(serde_json::from_slice::<ExportTraceServiceRequest>(text).is_ok());
        }
    });
    let decoded: Vec<Batch> =
        requests.iter().filter_map(|r| decode(r.clone(), &limits).ok()).map(|d| d.batch).collect();
    report("look up the last attribute", n_spans, || {
        for batch in &decoded {
            for span_idx in 0..batch.spans.len() as u32 {
                black_box(WireAttributes.attribute(batch, span_idx, "app.cart.total"));
            }
        }
    });
}

fn n_spans_of(request: &Bytes, limits: &Limits) -> usize {
    decode(request.clone(), limits).map_or(0, |decoded| decoded.batch.spans.len())
}

fn report(what: &str, n_spans: usize, mut work: impl FnMut()) {
    if std::env::args().nth(1).is_some_and(|word| !what.contains(&word)) {
        return;
    }
    let mut rounds: Vec<f64> = (0..N_ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() as f64 / n_spans as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<28} best {:7.1}  median {:7.1} ns/span", rounds[0], rounds[N_ROUNDS / 2]);
}

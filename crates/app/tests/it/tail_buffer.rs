//! The span log as the tail buffer: memory holds an index, bytes come back from the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use spanwise::pipeline::shards::{Part, Shards};
use spanwise::pipeline::spares::Spares;
use spanwise::serve::Role;
use spanwise_assembler::{Assembler, Config, Stats};
use spanwise_model::{SpanId, Timestamp};
use spanwise_otlp::{Limits, bench_payload, decode};
use spanwise_source::open_requests;

use crate::support::http::metric;
use crate::support::server::Running;
use crate::support::until_true;
use crate::traces::files;

/// Requests of 512 spans and 287 kB: more than what open traces may hold in the memory given.
const N_REQUESTS: usize = 84;

fn raw_spans(request: Bytes) -> BTreeMap<SpanId, Vec<u8>> {
    let batch = decode(request, &Limits::default()).unwrap().batch;
    let raw = |head: &spanwise_model::SpanHead| head.raw.of(&batch.bytes).to_vec();
    batch.spans.iter().map(|head| (head.span_id, raw(head))).collect()
}

/// Scenario: with a data directory, more bytes are open than memory may hold of them; then the end.
/// Guarantees: nothing is closed early for that; the log is read back, and every span leaves with the
/// bytes it came in.
#[test]
fn open_traces_may_be_larger_than_memory() {
    for shards in [1, 4] {
        check_larger(shards);
    }
}

fn check_larger(shards: u32) {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let yaml = format!(
        "memory_limit: 64MiB
shards: {shards}
data_dir: {}
ack_on: write
sampler: {{traces: {{budget: 100%}}}}
forward: [{{file: {}, stamp: false}}]
",
        dir.path().join("data").display(),
        kept.display()
    );
    let running = Running::start(&yaml, Role::All);
    let requests = bench_payload(N_REQUESTS, 3);
    for request in &requests {
        running.send(request.clone());
    }
    let api = running.api();
    until_true("lightened requests", || {
        metric(api, "spanwise_traces_lightened_requests_total") > 0
    });
    if shards == 1 {
        // Where the process is over its limit, as that of all tests is, a quarter of each part is too
        // little for four.
        assert_eq!(metric(api, "spanwise_traces_dropped_total{reason=\"evicted\"}"), 0);
    }
    assert!(running.stop(), "not drained in time");

    let mut came: BTreeMap<SpanId, Vec<u8>> = BTreeMap::new();
    for batch in files(&kept) {
        for head in &batch.spans {
            came.insert(head.span_id, head.raw.of(&batch.bytes).to_vec());
        }
    }
    let sent: BTreeMap<SpanId, Vec<u8>> = requests.into_iter().flat_map(raw_spans).collect();
    assert_eq!(came.len(), sent.len());
    assert!(came == sent, "bytes differ");
}

/// Bytes of memory for an open span of which the log has the rest.
const INDEX_BYTES_MAX: u64 = 130;

/// Guarantees: what is held of an open span whose bytes are in the log alone is an index of at most
/// 130 bytes: its head, its place in its trace, its share of what surrounds it. With several shards too,
/// each of which holds that for its part of a request: requests of 47 spans, cut into three parts on
/// average, and as many traces for each shard as one alone would have.
#[test]
fn an_open_span_costs_an_index() {
    for n in [1, 4] {
        check_index(n);
    }
}

fn check_index(n_shards: u32) {
    let boutique = concat!(env!("CARGO_MANIFEST_DIR"), "/data/boutique.otlp.pb.zst");
    let requests: Vec<Bytes> =
        open_requests(Path::new(boutique)).unwrap().map(Result::unwrap).collect();
    let memory_bytes = (1 << 30) / u64::from(n_shards);
    let config = Config { memory_bytes, full_bytes: 0, ..Config::default() };
    let shards = Shards::new(n_shards);
    let mut windows: Vec<Assembler> =
        (0..n_shards).map(|_| Assembler::new(config).unwrap()).collect();
    let (mut n_bytes_full, mut closed) = (0, Vec::new());
    for (request, again) in requests.iter().flat_map(|one| (0..n_shards).map(move |n| (one, n))) {
        let mut whole = decode(request.clone(), &Limits::default()).unwrap().batch;
        whole.is_stored = true;
        whole.spans.iter_mut().for_each(|head| head.trace_id.0[12] ^= again as u8);
        let touched = shards.touched(&whole);
        for Part { shard, batch } in shards.cut(whole, &touched, &Spares::default()) {
            n_bytes_full += batch.heap_bytes();
            let batch = Arc::new(batch);
            for span_idx in 0..batch.spans.len() as u32 {
                windows[shard].push(&batch, span_idx, false, Timestamp(1), &mut closed);
            }
        }
    }
    let stats = windows.iter().map(Assembler::stats);
    let [n_bytes, n_batch_bytes, n_open, n_seen, n_traces] = stats.fold([0; 5], |sum, stats| {
        let Stats { bytes, batch_bytes, n_open_spans, n_spans, n_open_traces, .. } = stats;
        let more = [bytes, batch_bytes, n_open_spans, n_spans, n_open_traces];
        std::array::from_fn(|at| sum[at] + more[at])
    });
    assert_eq!(n_open, n_seen, "nothing has closed");
    let per_span = n_bytes / n_open;
    println!(
        "index: shards={n_shards} {per_span} B/span over {n_open} spans in {n_traces} traces; with their bytes {} B/span",
        (n_bytes_full + n_bytes - n_batch_bytes) / n_open
    );
    assert!(per_span <= INDEX_BYTES_MAX, "{per_span} bytes");
}

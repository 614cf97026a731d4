//! Archives between processes: what is sent to one spanwise comes out behind another one, as a model
//! and beside it the marked traces byte for byte, whoever dies in between.
//!
//! `SPANWISE_STREAM_TRACES=20000` makes the windows as large as they are by default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use spanwise::serve::Spawner;
use spanwise_model::{Batch, SpanRecord, StatusCode};
use spanwise_otlp::archives::{CHUNK_BYTES_MAX, Chunk, Client, Progress, PushError};
use spanwise_otlp::receiver::Protocol;
use spanwise_otlp::transport::{ChannelLimits, Endpoint, Tls};
use spanwise_otlp::{Limits, RequestBuilder, decode};
use tokio::runtime::Runtime;

use crate::support::http::{get_json, metric};
use crate::support::process::{Serving, run};
use crate::support::requests::{mix, recent};
use crate::support::sdk::{N_SPANS, python};
use crate::support::server::export;
use crate::support::sink::Sink;
use crate::support::{until, until_true};

/// Windows of the chain, half of them after the change.
const N_WINDOWS: u64 = 10;
/// Traces of a window, of three spans each.
const N_TRACES: u64 = 150;
/// Traces of one request.
const N_PER_REQUEST: u64 = 1_000;

/// Trace id and span id.
type Key = ([u8; 16], [u8; 8]);

fn n_traces() -> u64 {
    let asked = std::env::var("SPANWISE_STREAM_TRACES").ok();
    asked.map_or(N_TRACES, |text| text.parse().unwrap())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A process with a folder of its own.
fn serving(dir: &Path, name: &str, yaml: &str, grpc: &str) -> Serving {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let free = "127.0.0.1:0";
    Serving::start(&dir, yaml, &["--otlp-grpc", grpc, "--otlp-http", free, "--http", free])
}

/// The sender of archives: keeps failed traces as they are.
fn sender(dir: &Path, to: SocketAddr, n_traces: u64) -> Serving {
    let yaml = format!(
        "memory_limit: 1GiB
sampler:
  traces:
    budget: 1%
    policies:
      - {{name: failed, type: status_code, status_code: {{status_codes: [ERROR]}}, budget: exempt}}
archive: {{to: 'http://{to}', traces: {n_traces}, verbatim: 50%}}
"
    );
    serving(dir, "a", &yaml, "127.0.0.1:0")
}

/// The receiver of archives.
fn receiver(dir: &Path, grpc: &str, store: SocketAddr) -> Serving {
    let yaml = format!("forward: [{{endpoint: 'http://{store}', send: archives}}]\n");
    serving(dir, "b", &yaml, grpc)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Purchases of which some fail, if there is an incident.
fn purchases(first: u64, n: u64, is_incident: bool) -> Vec<Vec<SpanRecord>> {
    let purchase = |purchase: crate::support::requests::Purchase| {
        let mut spans = purchase.spans().to_vec();
        if is_incident && mix(purchase.n).is_multiple_of(4) {
            for span in &mut spans {
                span.status = StatusCode::Error;
            }
        }
        spans
    };
    recent(first, n, 1).map(purchase).collect()
}

fn send(runtime: &Runtime, to: SocketAddr, traces: &[Vec<SpanRecord>]) -> Vec<Batch> {
    let mut sent = Vec::new();
    for traces in traces.chunks(N_PER_REQUEST as usize) {
        let mut builder = RequestBuilder::new();
        traces.iter().flatten().for_each(|span| builder.push(span));
        let request = builder.finish();
        let identity = spanwise_otlp::transport::Compression::Identity;
        let exported =
            export(to, spanwise_otlp::exporter::Protocol::Grpc, identity, request.clone());
        runtime.block_on(exported).unwrap();
        sent.push(decode(request, &Limits::default()).unwrap().batch);
    }
    sent
}

/// Each span with its bytes and those of its resource, and whether it was generated.
fn spans(batches: &[Batch]) -> BTreeMap<Key, (Vec<u8>, Vec<u8>, bool)> {
    let mut spans = BTreeMap::new();
    for batch in batches {
        for head in &batch.spans {
            let resource = batch.resources[head.resource_idx as usize].raw.of(&batch.bytes);
            let value =
                (head.raw.of(&batch.bytes).to_vec(), resource.to_vec(), batch.is_synthetic(head));
            spans.insert((head.trace_id.0, head.span_id.0), value);
        }
    }
    spans
}

fn archives(api: SocketAddr) -> Option<Value> {
    get_json(api, "/api/v1/status").map(|status| status["archives"].clone())
}

fn figure(archives: &Value, name: &str) -> u64 {
    archives[name].as_u64().unwrap_or_default()
}

/// Scenario: ten windows through two processes into a store; from the sixth on a quarter of the
/// traces fail.
/// Guarantees: every window is there with its fidelity and its latency, as many traces and as many
/// failed ones come out as went in, and the marked ones are the bytes that were sent.
#[test]
fn ten_windows_arrive_behind_two_processes_through_a_change() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sink::start(&runtime);
    let b = receiver(dir.path(), "127.0.0.1:0", store.grpc);
    let a = sender(dir.path(), b.grpc.unwrap(), n_traces());
    let half = N_WINDOWS / 2 * n_traces();
    let mut sent = send(&runtime, a.grpc.unwrap(), &purchases(1, half, false));
    // Eight windows may wait to be fitted, however slow the machine is.
    until_true("the windows before the change", || {
        archives(a.api).is_some_and(|archives| figure(&archives, "written") >= N_WINDOWS / 2)
    });
    sent.extend(send(&runtime, a.grpc.unwrap(), &purchases(1 + half, half, true)));
    let emitted = until("the windows behind the receiver", || {
        archives(b.api).filter(|archives| figure(archives, "emitted") >= N_WINDOWS)
    });
    let windows = until("the windows in the status", || {
        archives(a.api).filter(|archives| figure(archives, "pushed") >= N_WINDOWS)
    });
    assert_eq!((figure(&windows, "written"), figure(&windows, "lost_spans")), (N_WINDOWS, 0));
    let mut n_verbatim = 0;
    for (window, archive) in windows["windows"]
        .as_array()
        .unwrap()
        .iter()
        .zip(emitted["emitted_archives"].as_array().unwrap())
    {
        assert_eq!(window["traces"], n_traces(), "{window}");
        assert_eq!(
            (&window["archive"], &window["reason"]),
            (&archive["archive"], &"traces".into())
        );
        let q1 = window["fidelity"]["q1"].as_f64().unwrap_or(1.0);
        assert!(q1 >= 0.9, "{window}");
        let latency = archive["latency_s"].as_f64().unwrap();
        assert!(latency > 0.0);
        n_verbatim += window["traces_verbatim"].as_u64().unwrap();
        eprintln!(
            "window {}: {} with {} bytes for {}, fidelity {}, {} verbatim, fit {} s, latency {latency} s",
            window["window"],
            window["level"],
            window["bytes"],
            window["bytes_otlp"],
            window["fidelity"],
            window["traces_verbatim"],
            window["fit_s"],
        );
    }
    let (sent, came) = (spans(&sent), spans(&store.batches(Protocol::Grpc)));
    assert_eq!(came.len(), sent.len());
    let as_it_was = came.iter().filter(|(_, (.., is_synthetic))| !is_synthetic);
    let mut n_as_it_was = 0;
    for (key, span) in as_it_was {
        assert_eq!(Some(span), sent.get(key), "a span that is not generated is as it was sent");
        n_as_it_was += 1;
    }
    assert_eq!(n_as_it_was, 3 * n_verbatim);
    let failed = sent.iter().filter(|(_, (raw, ..))| is_failed(raw));
    let n_failed = failed.clone().filter(|(key, span)| came.get(key) == Some(span)).count();
    assert!(n_failed > 0);
    assert_eq!(n_failed, failed.count(), "every failed trace is marked, and fits into the share");
}

/// A span whose status ends it: field 15, a message that says code 2.
fn is_failed(raw: &[u8]) -> bool {
    raw.ends_with(&[0x7a, 2, 0x18, 2])
}

/// Names of the windows that have closed, fitted or not.
fn closed(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (place, ending) in [("windows", ".otlp.pb"), ("outbox", ".spwa")] {
        let Ok(entries) = std::fs::read_dir(dir.join("a/spanwise-archive").join(place)) else {
            continue;
        };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            names.extend(name.strip_suffix(ending).map(str::to_owned));
        }
    }
    names
}

/// Scenario: the receiver is away; the sender is killed as soon as windows have closed, and started
/// again; the receiver comes, is killed as soon as it has taken one, and comes back.
/// Guarantees: every window that had closed arrives at the store, no trace twice under another id.
#[test]
fn no_closed_window_is_lost_by_kills_or_by_an_absence() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sink::start(&runtime);
    let at = free_address();
    let a = sender(dir.path(), at, N_TRACES);
    let n_sent = 5 * N_TRACES;
    send(&runtime, a.grpc.unwrap(), &purchases(1, n_sent, false));
    let before = until("closed windows", || {
        let closed = closed(dir.path());
        (closed.len() >= 3).then_some(closed)
    });
    a.kill();
    let a = sender(dir.path(), at, N_TRACES);
    until_true("the absence to be told", || {
        archives(a.api).is_some_and(|archives| !archives["push_problem"].is_null())
    });
    let b = receiver(dir.path(), &at.to_string(), store.grpc);
    until_true("the first window", || {
        archives(b.api).is_some_and(|archives| figure(&archives, "received") > 0)
    });
    b.kill();
    let b = receiver(dir.path(), &at.to_string(), store.grpc);
    until_true("the last window", || closed(dir.path()).is_empty());
    let inbox = dir.path().join("b/spanwise-archive/inbox");
    until_true("the inbox to be empty", || std::fs::read_dir(&inbox).unwrap().count() == 0);
    let mut windows = BTreeSet::new();
    let mut n_traces = 0;
    for entry in std::fs::read_dir(dir.path().join("b/spanwise-archive/stored")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert!(record["emitted_ns"].as_u64().unwrap() > 0, "{record}");
            windows.insert(format!("{:015}", record["window"].as_u64().unwrap()));
            n_traces += record["traces"].as_u64().unwrap();
        }
    }
    assert!(windows.is_superset(&before), "{before:?} but {windows:?}");
    assert!(n_traces >= 3 * N_TRACES && n_traces <= n_sent, "{n_traces}");
    let came = spans(&store.batches(Protocol::Grpc));
    let traces: BTreeSet<[u8; 16]> = came.keys().map(|(trace, _)| *trace).collect();
    assert_eq!(traces.len() as u64, n_traces);
    drop((a, b));
}

/// Scenario: a floor that no model reaches, and no receiver.
/// Guarantees: the window is stored losslessly, and the record, the status, the log and the metric
/// say how it came to that; the folder can be inspected.
#[test]
fn a_window_below_the_floor_goes_down_level_by_level_and_says_so() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let yaml = format!("archive: {{traces: {N_TRACES}, floor: {{trace_w1: 0}}, verbatim: 0%}}\n");
    let mut a = serving(dir.path(), "a", &yaml, "127.0.0.1:0");
    send(&runtime, a.grpc.unwrap(), &purchases(1, N_TRACES, false));
    let archives =
        until("the window", || archives(a.api).filter(|archives| figure(archives, "written") == 1));
    let window = &archives["windows"][0];
    assert_eq!(window["level"], "l0", "{window}");
    let steps: Vec<&str> =
        window["steps"].as_array().unwrap().iter().map(|s| s["level"].as_str().unwrap()).collect();
    assert_eq!(steps, ["l3", "l2", "l1"], "{window}");
    assert!(window["steps"][0]["why"].as_str().unwrap().contains("trace_w1"), "{window}");
    let below = "spanwise_archive_windows_below_total{reason=\"floor\"}";
    until_true("the metric", || metric(a.api, below) == 3);
    assert!(a.stderr().contains("below the floor"), "{}", a.stderr());
    assert!(a.terminate().success());
    let stored = dir.path().join("a/spanwise-archive/stored");
    let inspected = run(&["archive", "inspect", stored.to_str().unwrap(), "-o", "json"]);
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&inspected[0]["level"], &inspected[0]["traces"]), (&"l0".into(), &N_TRACES.into()));
}

fn client(to: SocketAddr) -> Client {
    let endpoint = Endpoint::parse(&to.to_string(), 4317).unwrap();
    let limits =
        ChannelLimits { timeout: std::time::Duration::from_mins(1), reply_bytes_max: 4 << 10 };
    Client::new(endpoint, Tls::default(), limits, Arc::new(Spawner::new()))
}

/// An archive of the shipped sample.
fn archive(dir: &Path) -> Bytes {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/data/synthetic_shop.otlp.pb.zst");
    let file = dir.join("shop.spwa");
    let (shop, file) = (shop.to_str().unwrap(), file.to_str().unwrap());
    let made = run(&["archive", "compress", shop, "--level", "l0", "-o", file]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(file).unwrap().into()
}

/// The id in its footer.
fn id_of(archive: &[u8]) -> [u8; 16] {
    let end = archive.len() - 4;
    archive[end - 16..end].try_into().unwrap()
}

fn piece(archive: &Bytes, offset: usize, end: usize) -> Chunk {
    Chunk {
        archive_id: id_of(archive),
        n_bytes: archive.len() as u64,
        offset: offset as u64,
        bytes: archive.slice(offset..end),
        source: "test".to_owned(),
        sequence: 1,
        opened_ns: 1,
        closed_ns: 2,
    }
}

async fn whole(client: &mut Client, archive: &Bytes) -> Result<Progress, PushError> {
    let mut progress = Progress::default();
    while !progress.is_stored {
        let offset = progress.n_received as usize;
        let end = archive.len().min(offset + CHUNK_BYTES_MAX);
        progress = client.push(piece(archive, offset, end)).await?;
    }
    Ok(progress)
}

/// Scenario: archives that are none, damaged, cut, or another than they were announced as; then a
/// good one in two halves over two connections, and once more.
/// Guarantees: each bad one is refused as such and leaves nothing; the good one goes on where it
/// broke off, is stored once, and its spans come out.
#[test]
fn pushed_archives_are_believed_only_when_they_are_whole_and_right() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sink::start(&runtime);
    let b = receiver(dir.path(), "127.0.0.1:0", store.grpc);
    let good = archive(dir.path());
    let mut flipped = good.to_vec();
    flipped[good.len() / 2] ^= 1;
    let mut renamed = good.to_vec();
    let id = good.len() - 4 - 16;
    renamed[id] ^= 1;
    let noise: Vec<u8> = (0..5_000_u64).map(|n| mix(n) as u8).collect();
    let cut = [&good[..good.len() / 3], &good[good.len() - 40..]].concat();
    runtime.block_on(async {
        let mut client = client(b.grpc.unwrap());
        for bad in [flipped, renamed, noise, cut] {
            let error = whole(&mut client, &bad.into()).await.unwrap_err();
            assert!(error.is_about_the_archive(), "{error}");
        }
        let half = good.len() / 2;
        let progress = client.push(piece(&good, 0, half)).await.unwrap();
        assert_eq!(progress, Progress { n_received: half as u64, is_stored: false });
    });
    runtime.block_on(async {
        let mut client = client(b.grpc.unwrap());
        let half = good.len() / 2;
        let stays = Progress { n_received: half as u64, is_stored: false };
        assert_eq!(client.push(piece(&good, 0, 0)).await.unwrap(), stays);
        assert_eq!(client.push(piece(&good, 0, half)).await.unwrap(), stays, "not twice");
        let done = client.push(piece(&good, half, good.len())).await.unwrap();
        assert_eq!(done, Progress { n_received: good.len() as u64, is_stored: true });
        assert_eq!(client.push(piece(&good, 0, 0)).await.unwrap(), done, "known");
    });
    let archives =
        until("the spans", || archives(b.api).filter(|archives| figure(archives, "emitted") == 1));
    assert_eq!((figure(&archives, "received"), figure(&archives, "refused")), (1, 4));
    assert_eq!(spans(&store.batches(Protocol::Grpc)).len(), 8_045);
    let incoming = dir.path().join("b/spanwise-archive/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}

/// Scenario: what comes out of an archive is sent to a third spanwise.
/// Guarantees: it is counted, and nothing learns from it: no call site, no trace, no anomaly.
#[test]
fn generated_spans_teach_nobody() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sink::start(&runtime);
    let yaml = "sampler: {budget: 100%, traces: {budget: 100%}}\narchive: {traces: 10}\n";
    let c = serving(dir.path(), "c", yaml, "127.0.0.1:0");
    let shop = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/data/synthetic_shop.otlp.pb.zst");
    let file = dir.path().join("shop.spwa");
    let (shop, file) = (shop.to_str().unwrap(), file.to_str().unwrap());
    assert!(run(&["archive", "compress", shop, "-o", file]).status.success());
    let to = format!("http://{}", c.grpc.unwrap());
    assert!(run(&["archive", "generate", file, "--to", &to]).status.success());
    let synthetic = "spanwise_receiver_synthetic_spans_total";
    until_true("the spans", || metric(c.api, synthetic) == 8_045);
    // A measured trace behind them shows that everything before it has been gone through.
    send(&runtime, c.grpc.unwrap(), &purchases(1, 1, false));
    let status = until("the trace behind them", || {
        let status = get_json(c.api, "/api/v1/status").unwrap();
        (status["traces"]["closed"].as_u64().unwrap() > 0).then_some(status)
    });
    assert_eq!((&status["traces"]["closed"], &status["traces"]["open"]), (&1.into(), &0.into()));
    assert_eq!(status["call_sites"]["known"], 3);
    assert_eq!(
        (&status["spans"]["synthetic"], &status["spans"]["kept"]),
        (&8_045.into(), &3.into())
    );
    assert_eq!(store.batches(Protocol::Grpc).len(), 0);
}

/// Scenario: a real SDK's exporter in front of the chain.
/// Guarantees: as many spans come out as it sent.
#[test]
fn an_sdk_sends_through_the_chain() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = Sink::start(&runtime);
    let b = receiver(dir.path(), "127.0.0.1:0", store.grpc);
    let mut a = sender(dir.path(), b.grpc.unwrap(), 100);
    let to = format!("http://{}", a.grpc.unwrap());
    if python("grpc", &to).is_none() {
        return;
    }
    // The last window closes with the process.
    let ended = a.terminate();
    assert!(ended.success(), "{}", a.stderr());
    until_true("the spans", || spans(&store.batches(Protocol::Grpc)).len() as u64 >= N_SPANS);
    assert_eq!(spans(&store.batches(Protocol::Grpc)).len() as u64, N_SPANS);
}

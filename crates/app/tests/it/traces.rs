//! Whole traces: what is kept leaves whole, with the bytes it came in, to files and to receivers.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use spanwise::serve::Role;
use spanwise_model::{Batch, SpanId, TraceId};
use spanwise_otlp::receiver::Protocol;
use spanwise_otlp::{Limits, decode};
use spanwise_source::open_requests;

use crate::support::http::{get, metric};
use crate::support::requests::{Purchase, recent, request};
use crate::support::server::Running;
use crate::support::sink::Sink;
use crate::support::until_true;

/// The recording that the demo plays.
const BOUTIQUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/boutique.otlp.pb.zst");
/// Requests of it that are sent.
const N_REQUESTS: usize = 12;

/// Raw bytes by trace and span.
type Spans = BTreeMap<(TraceId, SpanId), Vec<u8>>;

fn spans_of(batches: &[Batch]) -> Spans {
    let mut spans = Spans::new();
    for batch in batches {
        for head in &batch.spans {
            let raw = head.raw.of(&batch.bytes).to_vec();
            assert_eq!(spans.insert((head.trace_id, head.span_id), raw), None, "a span twice");
        }
    }
    spans
}

fn decoded(request: Bytes) -> Batch {
    decode(request, &Limits::default()).unwrap().batch
}

/// Requests of every complete file in a folder.
pub(crate) fn files(dir: &Path) -> Vec<Batch> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let complete = names.iter().filter(|path| path.to_string_lossy().ends_with(".otlp.pb.zst"));
    let requests = complete.flat_map(|path| open_requests(path).unwrap());
    requests.map(|request| decoded(request.unwrap())).collect()
}

fn recorded() -> Vec<Bytes> {
    open_requests(Path::new(BOUTIQUE)).unwrap().take(N_REQUESTS).map(Result::unwrap).collect()
}

/// Numbers of shards, each with what the configuration says of a log.
fn sharings(data: &Path) -> [(u32, String); 3] {
    [(1, String::new()), (4, String::new()), (4, format!("data_dir: {}\n", data.display()))]
}

/// Scenario: a recording is sent at a budget of everything, to two files and two receivers, one of
/// each stamped; with one shard, with four, and with four that share a log.
/// Guarantees: every span arrives once everywhere; without a stamp byte for byte, with one as a
/// prefix; each trace says once why it was kept.
#[test]
fn kept_traces_leave_whole_with_their_bytes_in_front() {
    let data = tempfile::tempdir().unwrap();
    for (shards, log) in sharings(data.path()) {
        check_whole(shards, &log);
    }
}

fn check_whole(shards: u32, log: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let sink = Sink::start(&runtime);
    let dir = tempfile::tempdir().unwrap();
    let (plain, stamped) = (dir.path().join("plain"), dir.path().join("stamped"));
    let yaml = format!(
        "shards: {shards}
{log}sampler: {{traces: {{budget: 100%, shadow: [1%, 10%]}}}}
forward:
  - {{file: {}, stamp: false}}
  - {{file: {}, rotate: {{size: 10kB}}}}
  - {{endpoint: 'http://{}', send: traces, stamp: false}}
  - {{endpoint: 'http://{}', protocol: http/protobuf, send: traces}}
",
        plain.display(),
        stamped.display(),
        sink.grpc,
        sink.http,
    );
    let running = Running::start(&yaml, Role::All);
    let requests = recorded();
    let sent = spans_of(&requests.iter().cloned().map(decoded).collect::<Vec<_>>());
    let (first, rest) = requests.split_at(N_REQUESTS / 2);
    for request in first {
        running.send(request.clone());
    }
    let api = running.api();
    // What comes now is of other traces, or late, and goes to another file.
    until_true("the traces to close", || metric(api, "spanwise_traces_kept_spans_total") > 0);
    for request in rest {
        running.send(request.clone());
    }
    assert!(running.stop(), "not drained in time");

    for (way, batches) in [("file", files(&plain)), ("receiver", sink.batches(Protocol::Grpc))] {
        let came = spans_of(&batches);
        assert_eq!(came.len(), sent.len(), "{way}");
        assert!(came == sent, "{way}: bytes differ");
    }
    for (way, batches) in
        [("file", files(&stamped)), ("receiver", sink.batches(Protocol::HttpProtobuf))]
    {
        let came = spans_of(&batches);
        assert_eq!(came.len(), sent.len(), "{way}");
        let mut n_stamped: BTreeMap<TraceId, u32> = BTreeMap::new();
        for (id, raw) in &sent {
            let stamp = came[id].strip_prefix(&raw[..]).expect("what came is a prefix");
            let says_why = stamp.windows(24).any(|at| at == b"spanwise.sampling.reason");
            *n_stamped.entry(id.0).or_default() += u32::from(says_why);
        }
        assert!(n_stamped.values().all(|&n| n == 1), "{way}: {n_stamped:?}");
    }
    let n_files = std::fs::read_dir(&stamped).unwrap().count();
    assert!(n_files > 1, "rotated by size");
}

/// Guarantees: the budget holds, metrics say what was seen, kept and would be kept otherwise, and
/// nothing that was dropped leaves.
#[test]
fn a_budget_is_kept_to_and_shown() {
    let data = tempfile::tempdir().unwrap();
    for (shards, log) in sharings(data.path()) {
        check_budget(shards, &log);
    }
}

fn check_budget(shards: u32, log: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept");
    let yaml = format!(
        "shards: {shards}\n{log}sampler: {{traces: {{budget: 10%, shadow: [50%]}}}}\n\
         forward: [{{file: {}}}]\n",
        file.display()
    );
    let running = Running::start(&yaml, Role::All);
    for first in 0..4 {
        running.send(request(recent(1 + first * 500, 500, 1)));
    }
    let api = running.api();
    let seen = "spanwise_traces_horizon_units{outcome=\"seen\"}";
    until_true("the traces to close", || metric(api, seen) == 2_000);
    let text = get(api, "/metrics").text();
    assert!(text.contains("spanwise_traces_shadow_kept_total{budget=\"50%\"}"), "{text}");
    assert!(running.stop());
    let mut n_spans: BTreeMap<TraceId, usize> = BTreeMap::new();
    for batch in files(&file) {
        for head in &batch.spans {
            *n_spans.entry(head.trace_id).or_default() += 1;
        }
    }
    assert!((100..=200).contains(&n_spans.len()), "{} of 2,000 kept", n_spans.len());
    assert!(n_spans.values().all(|&n| n == 3), "kept traces are whole");
}

/// Scenario: everything is kept and tagged; then the same with a late span of each trace.
/// Guarantees: each trace carries the verdict it would have got.
#[test]
fn tag_mode_keeps_everything_and_writes_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept");
    let yaml = format!(
        "sampler: {{mode: tag, traces: {{budget: 10%}}}}\nforward: [{{file: {}}}]\n",
        file.display()
    );
    let running = Running::start(&yaml, Role::All);
    running
        .send(request(recent(1, 1_000, 1).map(|one| if one.n == 900 { one.slow() } else { one })));
    let api = running.api();
    until_true("the traces", || metric(api, "spanwise_traces_kept_spans_total") == 3_000);
    assert!(running.stop());
    let spans = spans_of(&files(&file));
    assert_eq!(spans.len(), 3_000);
    let says = |verdict: &[u8]| {
        let is_said = |raw: &&Vec<u8>| {
            let at = raw.windows(26).position(|at| at == b"spanwise.sampling.decision");
            at.is_some_and(|at| raw[at + 26..].windows(verdict.len()).any(|text| text == verdict))
        };
        spans.values().filter(is_said).count()
    };
    let (n_keep, n_drop) = (says(b"keep"), says(b"drop"));
    assert_eq!(n_keep + n_drop, 1_000);
    assert!((20..=100).contains(&n_keep), "{n_keep} would be kept");
}

/// Scenario: a policy keeps slow traces, another drops those that are slow and carry a service, and no
/// policy wants the rest.
/// Guarantees: what the policies keep leaves and says which of them kept it; nothing else leaves.
#[test]
fn policies_decide_before_the_sampler() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept");
    let slow = "{name: slow, type: latency, budget: exempt, latency: {threshold_ms: 40}}";
    let yaml = |more: &str| {
        let traces = format!("{{rest: drop, policies: [{slow}{more}]}}");
        format!("sampler: {{traces: {traces}}}\nforward: [{{file: {}}}]\n", file.display())
    };
    let n_kept = |more: &str| {
        let running = Running::start(&yaml(more), Role::All);
        let purchases = recent(1, 1_000, 1);
        running.send(request(purchases.map(|one| if one.n % 100 == 7 { one.slow() } else { one })));
        assert!(running.stop());
        let spans = spans_of(&files(&file));
        let says_why = |raw: &&Vec<u8>| raw.windows(11).any(|at| at == b"policy:slow");
        (spans.len(), spans.values().filter(says_why).count())
    };
    let drop = ", {name: all, type: drop, drop: {drop_sub_policy: [{name: s, type: string_attribute, \
                string_attribute: {key: service.name, values: ['.'], enabled_regex_matching: true}}]}}";
    assert_eq!(n_kept(drop), (0, 0));
    assert_eq!(n_kept(""), (30, 10), "ten traces of three spans");
}

/// Scenario: the last span of each trace comes after the verdict.
/// Guarantees: it follows: kept traces are whole in the end, of dropped ones nothing leaves.
#[test]
fn late_spans_follow_the_verdict_on_their_trace() {
    let data = tempfile::tempdir().unwrap();
    for (shards, log) in sharings(data.path()) {
        check_late(shards, &log);
    }
}

fn check_late(shards: u32, log: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept");
    let yaml = format!(
        "shards: {shards}\n{log}sampler: {{traces: {{budget: 20%, sampler: uniform}}}}\n\
         forward: [{{file: {}}}]\n",
        file.display()
    );
    let running = Running::start(&yaml, Role::All);
    let purchases: Vec<Purchase> = recent(1, 1_000, 1).collect();
    let part = |is_late: bool| {
        let mut builder = spanwise_otlp::RequestBuilder::new();
        for purchase in &purchases {
            let [work, call, root] = purchase.spans();
            let spans = if is_late { vec![work] } else { vec![call, root] };
            for span in &spans {
                builder.push(span);
            }
        }
        builder.finish()
    };
    running.send(part(false));
    let api = running.api();
    let seen = "spanwise_traces_horizon_units{outcome=\"seen\"}";
    until_true("the verdicts", || metric(api, seen) == 1_000);
    running.send(part(true));
    let late = |outcome: &str| {
        metric(api, &format!("spanwise_traces_late_spans_total{{outcome=\"{outcome}\"}}"))
    };
    // A late span that is an anomaly promotes its trace.
    let all = ["followed_keep", "followed_drop", "joined_waiting", "promoted_traces"];
    until_true("the late spans", || all.iter().map(|outcome| late(outcome)).sum::<u64>() == 1_000);
    assert_eq!(metric(api, seen), 1_000, "late spans are no traces of their own");
    assert!(running.stop());
    let mut n_spans: BTreeMap<TraceId, usize> = BTreeMap::new();
    for (trace_id, _) in spans_of(&files(&file)).into_keys() {
        *n_spans.entry(trace_id).or_default() += 1;
    }
    assert!(n_spans.len() > 100, "{}", n_spans.len());
    assert!(n_spans.values().all(|&n| n == 3), "{n_spans:?}");
}

/// Guarantees: what fuzzing found worth keeping passes what holds for every graph of spans.
#[test]
fn the_corpus_of_trace_graphs_passes() {
    let folder = format!("{}/../../fuzz/corpus/trace_graph", env!("CARGO_MANIFEST_DIR"));
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        crate::graph_oracle::check_graph(&std::fs::read(entry.unwrap().path()).unwrap());
        n += 1;
    }
    assert!(n >= 20, "{n}");
}

/// Scenario: a process that has kept traces ends, and another one starts on the same directory.
/// Guarantees: it goes on with what was seen and kept, so that the budget holds over both, and with
/// what was learned.
#[test]
fn the_budget_and_what_was_learned_survive_a_restart() {
    for shards in [1, 4] {
        check_restart(shards);
    }
}

fn check_restart(shards: u32) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let yaml = format!(
        "shards: {shards}\ndata_dir: {}\nsampler: {{traces: {{budget: 10%}}}}\n",
        data.display()
    );
    let units = |outcome: &str| format!("spanwise_traces_horizon_units{{outcome=\"{outcome}\"}}");
    let first = Running::start(&yaml, Role::All);
    first.send(request(recent(1, 2_000, 1)));
    until_true("the traces to close", || metric(first.api(), &units("seen")) == 2_000);
    assert!(first.stop());
    let size = |name: &str| std::fs::metadata(data.join(name)).unwrap().len();
    assert!(size("traces.spanwise") > 200 && size("budget.spanwise") > 200);
    // See `docs/formats/trace-sampler-snapshot.md`: nothing is forfeit, for no shard kept more after it.
    let is_final = || std::fs::read(data.join("budget.spanwise")).unwrap()[16];
    assert_eq!(is_final(), 1);

    let second = Running::start(&yaml, Role::All);
    until_true("the account", || metric(second.api(), &units("seen")) == 2_000);
    assert_eq!(is_final(), 0);
    let n_kept = metric(second.api(), &units("kept"));
    assert!((100..=200).contains(&n_kept), "{n_kept}");
    second.send(request(recent(5_000, 1_000, 1)));
    until_true("more traces", || metric(second.api(), &units("seen")) == 3_000);
    assert!(metric(second.api(), &units("kept")) <= 300);
    assert!(second.stop());

    // What cannot be used is set aside, and begins anew.
    std::fs::write(data.join("budget.spanwise"), b"SPWT of another world").unwrap();
    let third = Running::start(&yaml, Role::All);
    until_true("the first look", || {
        get(third.api(), "/metrics").text().contains("spanwise_traces_horizon_units")
    });
    assert_eq!(metric(third.api(), &units("seen")), 0);
    assert!(data.join("budget.spanwise.refused").exists());
    assert!(third.stop());
}

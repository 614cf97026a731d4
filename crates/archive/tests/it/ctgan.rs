//! The networks of the paper from a window to a file and back.

use bytes::Bytes;
use spanwise_archive::fidelity::Metric;
use spanwise_archive::traces::{Builder, Traces};
use spanwise_archive::{
    Archive, Compressed, Error, GanOptions, HeadMetadata, Limits, Method, Options, Rolling,
    Support, Times, TopologyCode, compress, train,
};

use crate::messages::{fixed64, len, number};
use crate::oracle::check_open;
use crate::stored::window;

fn options(gan: GanOptions) -> Options {
    Options { gan: Some(gan), ..Options::default() }
}

fn short() -> GanOptions {
    GanOptions { epochs: 1, ..GanOptions::default() }
}

fn open(bytes: &[u8]) -> Archive {
    Archive::open(Bytes::copy_from_slice(bytes), &Limits::default()).unwrap()
}

fn generated(bytes: &[u8]) -> Vec<Bytes> {
    let mut back = Vec::new();
    open(bytes)
        .generate(&mut |request| {
            back.push(request);
            Ok(())
        })
        .unwrap();
    back
}

fn traces(requests: &[Bytes]) -> Traces {
    let mut builder = Builder::new();
    for request in requests {
        builder.push(request.clone()).unwrap();
    }
    builder.finish(|_| false).unwrap().traces
}

/// (Depth, service, name) of the spans of each trace, in order.
fn shapes(traces: &Traces) -> Vec<Vec<(u16, String, String)>> {
    let span = |span: usize| {
        let node = traces.nodes[traces.node[span] as usize];
        let text = |name| traces.names.text(name).to_owned();
        (traces.depth[span], text(node.service), text(node.name))
    };
    let mut all: Vec<_> = (0..traces.n_traces())
        .map(|trace| traces.spans_of(trace).map(span).collect::<Vec<_>>())
        .collect();
    all.sort();
    all
}

#[test]
fn a_file_decodes_to_the_topologies_it_counted() {
    let requests = window();
    let Compressed { bytes, summary } = compress(requests.clone(), &options(short())).unwrap();
    assert_eq!(summary.header.method, Method::Ctgan);
    let (real, back) = (traces(&requests), traces(&generated(&bytes)));
    assert_eq!(shapes(&back), shapes(&real));
    let fidelity = open(&bytes).fidelity().unwrap().unwrap();
    assert_eq!(fidelity.get(Metric::TopologyRecall), Some(1.0));
    let marked = |pod: usize| back.pod_attribute(pod, "trace.synthetic.method");
    assert!((0..back.pods.len()).all(|pod| marked(pod).is_some()));
}

#[test]
fn the_same_seed_gives_the_same_file_and_the_same_spans() {
    let file = || compress(window(), &options(short())).unwrap().bytes;
    let (first, second) = (file(), file());
    assert!(first == second, "files differ");
    assert!(generated(&first) == generated(&second), "spans differ");
    let other = GanOptions { seed: 1, ..short() };
    assert!(compress(window(), &options(other)).unwrap().bytes != first, "the seed is not used");
}

#[test]
fn every_ablation_trains_and_decodes() {
    let ablations = [
        GanOptions { topology: TopologyCode::OneHot, ..short() },
        GanOptions { head: HeadMetadata::Withheld, ..short() },
        GanOptions { times: Times::Absolute, ..short() },
        GanOptions { support: Support::Learned, ..short() },
        GanOptions { support: Support::PerSite, ..short() },
        GanOptions { chain_length: 4, ..short() },
    ];
    let n_real = traces(&window()).n_spans();
    for gan in ablations {
        let bytes = compress(window(), &options(gan.clone())).unwrap().bytes;
        assert_eq!(traces(&generated(&bytes)).n_spans(), n_real, "{gan:?}");
    }
}

/// A trace of four spans, each the child of the one before; all fail or none.
fn path(trace: u64, has_failed: bool) -> Bytes {
    const MS: u64 = 1_000_000;
    let span = |at: u64| {
        let mut span = len(1, &[&[7; 8][..], &trace.to_be_bytes()].concat());
        span.extend(len(2, &(at + 1).to_be_bytes()));
        if at > 0 {
            span.extend(len(4, &at.to_be_bytes()));
        }
        span.extend(len(5, format!("op {at}").as_bytes()));
        span.extend(fixed64(7, (1_000_000 + 50 * trace + at) * MS));
        span.extend(fixed64(8, (1_000_020 + 50 * trace - at) * MS));
        if has_failed {
            span.extend(len(15, &number(3, 2)));
        }
        len(2, &span)
    };
    let spans: Vec<u8> = (0..4).flat_map(span).collect();
    Bytes::from(len(1, &len(2, &spans)))
}

fn failed_traces(requests: &[Bytes]) -> (usize, usize) {
    let traces = traces(requests);
    let spans = |trace: usize| traces.spans_of(trace).filter(|&span| traces.is_error(span));
    let failed = (0..traces.n_traces()).map(|trace| spans(trace).count()).filter(|n| *n > 0);
    failed.fold((0, 0), |(n_traces, n_spans), n| (n_traces + 1, n_spans + n))
}

/// Scenario: of 1,000 traces 100 fail, each in all four spans.
/// Guarantees: errors stay together along a path, though each span is drawn by itself; drawn from the
/// marginals of its site alone, they would spread over 340 traces.
#[test]
fn errors_stay_together_along_a_path() {
    let requests: Vec<Bytes> = (0..1000).map(|trace| path(trace, trace % 10 == 3)).collect();
    assert_eq!(failed_traces(&requests), (100, 400));
    let failed = |support| {
        let options = options(GanOptions { support, ..short() });
        failed_traces(&generated(&compress(requests.clone(), &options).unwrap().bytes))
    };
    let (n_traces, n_spans) = failed(Support::PerPlace);
    assert!((60..150).contains(&n_traces), "{n_traces}");
    assert!(n_spans > 3 * n_traces, "{n_spans} in {n_traces}");
}

#[test]
fn checkpoints_are_what_shorter_trainings_yield() {
    let mut checkpoints = Vec::new();
    let options = options(GanOptions::default());
    train(&window(), &options, &[1, 2], &mut Rolling::default(), &mut |n, file| {
        checkpoints.push((n, file.bytes));
    })
    .unwrap();
    let [(1, first), (2, second)] = &checkpoints[..] else { panic!("{}", checkpoints.len()) };
    assert!(*first == compress(window(), &self::options(short())).unwrap().bytes);
    assert!(first != second);
}

/// Scenario: the same window twice, one epoch each.
/// Guarantees: the second goes on from the first: its networks are not those of a cold start, its
/// topologies are.
#[test]
fn a_window_goes_on_from_the_one_before() {
    let mut rolling = Rolling::default();
    let mut files = Vec::new();
    for _ in 0..2 {
        train(&window(), &options(short()), &[1], &mut rolling, &mut |_, file| {
            files.push(file.bytes);
        })
        .unwrap();
    }
    assert!(files[0] == compress(window(), &options(short())).unwrap().bytes);
    assert!(files[0] != files[1]);
    assert_eq!(shapes(&traces(&generated(&files[1]))), shapes(&traces(&window())));
}

#[test]
fn damaged_networks_are_an_error_and_never_a_panic() {
    let file = compress(window(), &options(short())).unwrap().bytes;
    assert!(check_open(&file));
    for at in (0..file.len()).step_by(file.len() / 150 + 1) {
        let mut changed = file.clone();
        changed[at] ^= 0x55;
        check_open(&changed);
        let cut = Archive::open(Bytes::copy_from_slice(&file[..at]), &Limits::default());
        assert!(matches!(cut, Err(Error::Corrupt { .. } | Error::NotAnArchive)), "{at}");
    }
}

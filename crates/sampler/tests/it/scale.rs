//! The sampler of the SCALE paper as published.

use std::sync::Arc;

use spanwise_model::{ScoreKind, SpanHead, SpanKind};
use spanwise_sampler::{CallEncoder, Config, LiteralEncoder, Profile, ScaleConfig, SpanSampler};

use crate::stream::{CART, PAY, SECOND_NS, START, Stream};

const CALLS: [(&str, &str); 4] = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")];

/// Algorithm 1 as printed looks up `service::operation` and stores under `service`.
#[test]
fn the_printed_algorithm_gives_every_span_the_number_of_services_seen() {
    let mut literal = LiteralEncoder::default();
    let mut keys: Vec<_> = CALLS.iter().map(|(s, o)| literal.key(s, o)).collect();
    assert_eq!(keys, [0, 1, 1, 2]);
    // Once both services are known, every span of every call has the same key.
    keys = CALLS.iter().map(|(s, o)| literal.key(s, o)).collect();
    assert_eq!(keys, [2, 2, 2, 2]);
    // One forged service name shifts the keys of all later spans.
    literal.key("forged", "x");
    assert_eq!(literal.key("a", "x"), 3);
}

#[test]
fn ours_gives_every_call_a_key_of_its_own_and_keeps_it() {
    let mut encoder = CallEncoder::default();
    for _ in 0..2 {
        let keys: Vec<_> = CALLS.iter().map(|(s, o)| encoder.key(s, o)).collect();
        assert_eq!(keys, [0, 1, 2, 0]);
    }
    encoder.key("forged", "x");
    assert_eq!(encoder.key("a", "x"), 0);
}

fn scale(train_size: u64) -> Config {
    let scale = ScaleConfig { train_size, ..ScaleConfig::default() };
    Config { profile: Profile::Scale(scale), ..Config::default() }
}

#[test]
fn it_trains_on_the_first_spans_and_then_only_scores() {
    let mut stream = Stream::new(scale(1000), 1);
    let arrive = |stream: &mut Stream, latency_ns| {
        let span = stream.span(CART, latency_ns, START);
        (stream.sampler.arrive(span.head(), START), stream.sampler.river_score(span.head()))
    };
    for i in 0..1000 {
        let (kept, _) = arrive(&mut stream, 20_000_000 + 10_000 * i);
        assert_eq!(kept, None);
    }
    let (usual, usual_score) = arrive(&mut stream, 21_000_000);
    assert_eq!(usual, None);
    let (slow, slow_score) = arrive(&mut stream, 700_000_000);
    let reason = slow.unwrap();
    assert_eq!((reason.kind, Some(reason.score)), (ScoreKind::River, slow_score));
    assert!(slow_score > usual_score && reason.score > 0.60);
    // A thousand more slow spans teach it nothing.
    for _ in 0..1000 {
        arrive(&mut stream, 700_000_000);
    }
    assert_eq!(arrive(&mut stream, 700_000_000).1, slow_score);
}

#[test]
fn calls_have_no_kind_once_they_are_described() {
    let mut stream = Stream::new(scale(2), 1);
    let server = stream.site(CART);
    let client = stream.sites.intern("shop", CART.operation, SpanKind::Client, START);
    let other = stream.site(PAY);
    for site in [server, client, other] {
        let described = Arc::clone(stream.sites.get(site));
        stream.sampler.describe(site, &described);
    }
    let end = START.plus_ns(SECOND_NS / 50);
    let head = |site| SpanHead { start: START, end, site, ..SpanHead::default() };
    let score = |sampler: &mut SpanSampler, site| sampler.river_score(&head(site));
    for _ in 0..300 {
        stream.sampler.arrive(&head(server), end);
    }
    let [server, client] = [server, client].map(|site| score(&mut stream.sampler, site));
    assert_eq!(server, client);
}

#[test]
fn spans_with_invalid_times_are_no_training() {
    let mut stream = Stream::new(scale(1), 1);
    let site = stream.site(CART);
    let bad = SpanHead { start: START, end: START.minus_ns(1), site, ..SpanHead::default() };
    stream.sampler.arrive(&bad, START);
    assert_eq!(stream.sampler.river_score(&bad), None);
    assert_eq!(stream.sampler.stats().n_seen, 0);
}

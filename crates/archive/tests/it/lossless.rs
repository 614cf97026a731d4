//! L0: every message comes back.

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_archive::{Error, Level, Limits, Options, compress};

use crate::messages::{fixed64, len, number, request};
use crate::oracle::{check_roundtrip, generated, messages};

fn options() -> Options {
    Options { level: Level::Lossless, ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_request_comes_back_to_the_byte(request in request()) {
        prop_assert!(check_roundtrip(&request));
    }

    #[test]
    fn a_window_of_several_requests_comes_back(requests in proptest::collection::vec(request(), 0..6)) {
        let requests: Vec<Bytes> = requests.into_iter().map(Bytes::from).collect();
        let file = compress(requests.clone(), &options()).unwrap();
        let back = generated(&file.bytes, &Limits::default()).unwrap();
        prop_assert_eq!(messages(&back), messages(&requests));
        let n_spans = messages(&requests).unwrap().0.len();
        prop_assert_eq!(file.summary.header.n_spans, n_spans as u64);
    }
}

/// A span of a chain, `n` spans deep and wide.
fn chain(n: u64) -> Bytes {
    let mut spans = Vec::new();
    for i in 0..n {
        let mut span = len(1, &7_u128.to_be_bytes());
        span.extend(len(2, &(i + 1).to_be_bytes()));
        span.extend(len(4, &i.to_be_bytes()));
        span.extend(len(5, b"step"));
        span.extend(fixed64(7, 1_000_000_000 + i));
        span.extend(fixed64(8, 2_000_000_000 - i));
        spans.extend(len(2, &span));
    }
    len(1, &len(2, &spans)).into()
}

#[test]
fn a_trace_as_deep_as_it_is_long_comes_back() {
    let request = chain(30_000);
    let file = compress([request.clone()], &options()).unwrap();
    let back = generated(&file.bytes, &Limits::default()).unwrap();
    assert!(back.len() >= 30_000 / 512);
    assert_eq!(messages(&back), messages(&[request]));
    // Ids that count up compress; nothing else of the chain is news.
    assert!(file.bytes.len() < 45_000, "{}", file.bytes.len());
}

#[test]
fn nothing_is_an_archive_too() {
    let file = compress([], &options()).unwrap();
    assert_eq!(generated(&file.bytes, &Limits::default()).unwrap(), Vec::<Bytes>::new());
}

#[test]
fn a_request_that_is_no_protobuf_is_named() {
    let broken = Bytes::from_static(&[0x0a, 0x05, 0x01]);
    let error = compress([chain(1), broken], &options()).unwrap_err();
    assert!(matches!(error, Error::Request { number: 1, .. }), "{error}");
}

#[test]
fn the_same_window_gives_the_same_file() {
    let file = |n| compress([chain(n)], &options()).unwrap().bytes;
    assert_eq!(file(300), file(300));
    assert_ne!(file(300), file(301));
}

#[test]
fn what_takes_no_request_ends_the_generation() {
    let file = compress([chain(2000)], &options()).unwrap().bytes;
    let archive = spanwise_archive::Archive::open(file.into(), &Limits::default()).unwrap();
    let mut n_taken = 0;
    let error = archive
        .generate(&mut |_| {
            n_taken += 1;
            Err(std::io::Error::other("full"))
        })
        .unwrap_err();
    assert!(matches!(error, Error::Sink(_)));
    assert_eq!(n_taken, 1);
}

#[test]
fn many_distinct_names_and_values_come_back() {
    let mut spans = Vec::new();
    for i in 0..6000_u64 {
        let mut span = len(1, &u128::from(i / 3).to_be_bytes());
        span.extend(len(2, &i.to_be_bytes()));
        span.extend(len(5, format!("GET /item/{i}").as_bytes()));
        let value = len(1, format!("value {}", i * i % 999).as_bytes());
        span.extend(len(9, &[len(1, b"key"), len(2, &value)].concat()));
        let int = number(3, i * 7919);
        span.extend(len(9, &[len(1, b"int"), len(2, &int)].concat()));
        let price = fixed64(4, (i as f64 / 100.0).to_bits());
        span.extend(len(9, &[len(1, b"price"), len(2, &price)].concat()));
        let noise = fixed64(4, (i as f64).sqrt().to_bits());
        span.extend(len(9, &[len(1, b"noise"), len(2, &noise)].concat()));
        spans.extend(len(2, &span));
    }
    let request = Bytes::from(len(1, &len(2, &spans)));
    let file = compress([request.clone()], &options()).unwrap();
    let back = generated(&file.bytes, &Limits::default()).unwrap();
    assert_eq!(messages(&back), messages(&[request]));
}

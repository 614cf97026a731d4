//! Files of earlier versions still open and give what they gave.

use bytes::Bytes;
use spanwise_archive::{Archive, Level, Limits};

use crate::oracle::messages;

/// The window from which the stored files were made: u32 length and request, repeated.
fn window() -> Vec<Bytes> {
    let bytes = include_bytes!("../fixtures/window.otlp.pb");
    let mut rest = &bytes[..];
    let mut requests = Vec::new();
    while let Some((n, tail)) = rest.split_first_chunk() {
        let (request, tail) = tail.split_at(u32::from_le_bytes(*n) as usize);
        requests.push(Bytes::copy_from_slice(request));
        rest = tail;
    }
    requests
}

#[test]
fn a_lossless_file_of_version_1_opens() {
    let file = Bytes::from_static(include_bytes!("../fixtures/l0.v1.spwa"));
    let archive = Archive::open(file, &Limits::default()).unwrap();
    assert_eq!(archive.info().header.level, Level::Lossless);
    let mut back = Vec::new();
    archive
        .generate(&mut |request| {
            back.push(request);
            Ok(())
        })
        .unwrap();
    assert_eq!(messages(&back), messages(&window()));
}

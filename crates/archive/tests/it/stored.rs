//! Files of earlier versions still open and give what they gave.

use bytes::Bytes;
use spanwise_archive::{Archive, Level, Limits, Options, compress};

use crate::oracle::{generated, messages};

/// The window from which the stored files were made: u32 length and request, repeated.
pub(crate) fn window() -> Vec<Bytes> {
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

fn check(file: &'static [u8], level: Level) -> Vec<Bytes> {
    let archive = Archive::open(Bytes::from_static(file), &Limits::default()).unwrap();
    assert_eq!(archive.info().header.level, level);
    let mut back = Vec::new();
    archive
        .generate(&mut |request| {
            back.push(request);
            Ok(())
        })
        .unwrap();
    back
}

#[test]
fn a_lossless_file_of_version_1_opens() {
    let back = check(include_bytes!("../fixtures/l0.v1.spwa"), Level::Lossless);
    assert_eq!(messages(&back), messages(&window()));
}

/// Guarantees: the same bytes in debug and release builds and on every machine.
#[test]
fn a_near_lossless_file_of_version_1_gives_what_it_gave() {
    let back = check(include_bytes!("../fixtures/l1.v1.spwa"), Level::NearLossless);
    let crc = back.iter().fold(0, |crc, request| crc32c::crc32c_append(crc, request));
    assert_eq!(crc, include!("../fixtures/l1.v1.crc32c"));
}

/// Guarantees: what a window becomes, and what comes back, does not hang on who else is at work.
#[test]
fn threads_beside_each_other_give_the_same_bytes() {
    let round_trip = || {
        Level::ALL.map(|level| {
            let options = Options { level, ..Options::default() };
            let file = compress(window(), &options).unwrap().bytes;
            let back = generated(&file, &Limits::default()).unwrap();
            (file, back)
        })
    };
    let alone = round_trip();
    std::thread::scope(|scope| {
        let others = [0; 4].map(|_| scope.spawn(round_trip));
        for other in others {
            assert_eq!(other.join().unwrap(), alone);
        }
    });
}

/// Guarantees: the same bytes in debug and release builds and on every machine.
#[cfg(feature = "ctgan")]
#[test]
fn networks_of_version_1_give_what_they_gave() {
    let back = check(include_bytes!("../fixtures/ctgan.v1.spwa"), Level::Model);
    let crc = back.iter().fold(0, |crc, request| crc32c::crc32c_append(crc, request));
    assert_eq!(crc, include!("../fixtures/ctgan.v1.crc32c"));
}

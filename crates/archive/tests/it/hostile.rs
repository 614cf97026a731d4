//! Files that no compressor wrote: one error, no panic, no memory on their word.

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_archive::{Level, Limits, Options, compress};

use crate::messages::request;
use crate::oracle::{check_open, generated, reseal};
use crate::stored::window;

fn file(request: Vec<u8>) -> Vec<u8> {
    file_of(request, Level::Lossless)
}

fn file_of(request: Vec<u8>, level: Level) -> Vec<u8> {
    let options = Options { level, ..Options::default() };
    compress([Bytes::from(request)], &options).unwrap().bytes
}

/// The stored window at both levels of models.
static MODELS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [Level::Pinned, Level::Model]
        .map(|level| compress(window(), &Options { level, ..Options::default() }).unwrap().bytes)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_truncated_file_is_an_error(request in request(), at: prop::sample::Index) {
        let file = file(request);
        let cut = &file[..at.index(file.len())];
        prop_assert!(generated(cut, &Limits::default()).is_err());
    }

    #[test]
    fn a_flipped_bit_is_an_error(request in request(), at: prop::sample::Index, bit in 0..8_u8) {
        let mut file = file(request);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(generated(&file, &Limits::default()).is_err());
    }

    #[test]
    fn changed_content_under_right_checksums_never_panics(
        request in request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let exact = [Level::Lossless, Level::NearLossless].map(|l| file_of(request.clone(), l));
        for mut file in exact.into_iter().chain(MODELS.clone()) {
            for (at, byte) in &changes {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            check_open(&file);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        check_open(&bytes);
    }
}

#[test]
fn resealing_a_good_file_changes_nothing() {
    let file = file(Vec::new());
    assert_eq!(reseal(&file), Some(file.clone()));
    assert!(check_open(&file));
}

/// Scenario: a file of each level, damaged at one place after the other under right checksums.
/// Guarantees: whatever it says, reading it takes no more memory than its limits stand for.
#[test]
fn memory_of_hostile_files_stays_within_their_limits() {
    let exact = [Level::Lossless, Level::NearLossless]
        .map(|level| compress(window(), &Options { level, ..Options::default() }).unwrap().bytes);
    let earlier = include_bytes!("../fixtures/l1.v1.spwa").to_vec();
    let mut most = 0;
    for file in exact.into_iter().chain([earlier]).chain(MODELS.clone()) {
        for at in (0..file.len()).step_by(file.len() / 100) {
            for mask in [0xff, 0x80] {
                let mut damaged = file.clone();
                damaged[at] ^= mask;
                let counted = allocation_counter::measure(|| {
                    check_open(&damaged);
                });
                most = most.max(counted.bytes_max);
            }
        }
    }
    assert!(most < BYTES_MAX, "{most}");
}

/// What [`check_open`]'s limits stand for: a section and the request in hand, 2^14 spans with 64
/// attributes each, and the tables of the coders, which are of one size.
const BYTES_MAX: u64 = 8 << 20;

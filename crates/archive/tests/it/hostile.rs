//! Files that no compressor wrote: one error, no panic, no memory on their word.

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_archive::{Level, Limits, Options, compress};

use crate::messages::request;
use crate::oracle::{check_open, generated, reseal};

fn file(request: Vec<u8>) -> Vec<u8> {
    file_of(request, Level::Lossless)
}

fn file_of(request: Vec<u8>, level: Level) -> Vec<u8> {
    let options = Options { level, ..Options::default() };
    compress([Bytes::from(request)], &options).unwrap().bytes
}

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
        for level in [Level::Lossless, Level::NearLossless] {
            let mut file = file_of(request.clone(), level);
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

//! The corpora of the fuzz targets pass, and so does random input of the same shape.

use proptest::prelude::*;

use crate::oracle::{check_file, check_record};

/// Replays the corpus of a fuzz target; how many inputs were accepted.
fn replay(target: &str, check: fn(&[u8]) -> bool) -> usize {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut n_accepted = 0;
    let mut n = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        n_accepted += usize::from(check(&std::fs::read(entry.unwrap().path()).unwrap()));
        n += 1;
    }
    assert!(n >= 20, "{n} inputs in {folder}");
    n_accepted
}

#[test]
fn the_record_corpus_passes() {
    assert!(replay("wal_record", check_record) >= 5);
}

#[test]
fn the_file_corpus_passes() {
    assert!(replay("wal_file", check_file) >= 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_record_is_read_as_written(input in prop::collection::vec(any::<u8>(), 0..300)) {
        check_record(&input);
    }

    #[test]
    fn any_directory_opens_and_goes_on(
        how in any::<u8>(),
        records in prop::collection::vec((1..=255_u8, 0..200_u8), 0..30),
        changes in prop::collection::vec((0..8_u8, any::<u16>(), 0..8_u8), 0..6),
    ) {
        let mut input = vec![how];
        input.extend(records.iter().flat_map(|&(kind, n)| [kind, n]));
        input.extend([0, 0]);
        input.extend(changes.iter().flat_map(|&(file, at, how)| {
            let [a0, a1] = at.to_le_bytes();
            [file, a0, a1, how]
        }));
        check_file(&input);
    }
}

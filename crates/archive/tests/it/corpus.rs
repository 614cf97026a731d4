//! The inputs that fuzzing found worth keeping, replayed as a plain test.

use crate::oracle::{check_open, check_roundtrip};

/// Replays the corpus of a fuzz target; how many inputs were good.
fn replay(target: &str, check: fn(&[u8]) -> bool) -> usize {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut n_inputs = 0;
    let mut n_good = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        n_good += usize::from(check(&input));
        n_inputs += 1;
    }
    assert!(n_inputs >= 10, "{n_inputs} inputs");
    n_good
}

#[test]
fn the_corpus_of_files_passes() {
    assert!(replay("archive_open", check_open) >= 5);
}

#[test]
fn the_corpus_of_requests_passes() {
    assert!(replay("archive_roundtrip", check_roundtrip) >= 5);
}

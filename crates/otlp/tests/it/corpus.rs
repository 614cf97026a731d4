//! The inputs that fuzzing found worth keeping, replayed as a plain test.

use crate::oracle::{check_json, check_protobuf};

/// Replays the corpus of a fuzz target; how many inputs were accepted.
fn replay(target: &str, check: fn(&[u8]) -> bool) -> usize {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut n_inputs = 0;
    let mut n_accepted = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        n_accepted += usize::from(check(&input));
        n_inputs += 1;
    }
    assert!(n_inputs >= 20, "{n_inputs} inputs");
    n_accepted
}

#[test]
fn the_protobuf_corpus_passes() {
    assert!(replay("otlp_pb", check_protobuf) >= 10);
}

#[test]
fn the_json_corpus_passes() {
    assert!(replay("otlp_json", check_json) >= 10);
}

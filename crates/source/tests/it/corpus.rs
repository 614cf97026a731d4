//! The mapping of columns on arbitrary contents, and on the inputs that fuzzing found worth keeping.

use proptest::prelude::*;

use crate::mapping::check_rows;

#[test]
fn the_corpus_passes() {
    let folder = format!("{}/../../fuzz/corpus/parquet_rows", env!("CARGO_MANIFEST_DIR"));
    let inputs = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let verdicts: Vec<bool> =
        inputs.map(|path| check_rows(&std::fs::read(path).unwrap())).collect();
    assert!(verdicts.len() >= 20, "{} inputs", verdicts.len());
    assert!(verdicts.iter().filter(|has_rows| **has_rows).count() >= 5);
}

proptest! {
    #[test]
    fn any_contents_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check_rows(&bytes);
    }

    /// Small bytes choose ordinary cells, so that most of these files are read to their end.
    #[test]
    fn ordinary_contents_are_read(bytes in prop::collection::vec(5_u8..32, 0..900)) {
        check_rows(&bytes);
    }
}

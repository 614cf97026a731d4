//! Damaged Parquet files: an error or fewer rows, never a panic.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use spanwise_source::rows_of_parquet;

use crate::data;

/// Number of rows. The reader's own panics, which become errors, are not printed a thousand times.
fn read(bytes: Vec<u8>) -> usize {
    std::panic::set_hook(Box::new(|_| {}));
    match rows_of_parquet(Path::new("damaged"), Bytes::from(bytes)) {
        Ok(rows) => rows.take(100_000).count(),
        Err(_) => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damage_is_never_a_panic(
        name in prop::sample::select(vec!["tt_0129_sample.parquet", "odd.parquet"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(data(name)).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(read(bytes) <= 100_000);
    }
}

//! Columns of arbitrary contents: the rows that a slow reading of the same values gives, or an error;
//! and arbitrary files: rows or an error.
#![no_main]

#[path = "../../crates/source/tests/it/mapping.rs"]
mod mapping;

libfuzzer_sys::fuzz_target!(init: {
    // libFuzzer's hook ends the process at a panic; those of the parquet crate in damaged pages are
    // caught. What is not caught still ends it.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    mapping::check_rows(bytes);
});

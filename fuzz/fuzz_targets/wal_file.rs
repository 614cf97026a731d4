//! A directory of the log with any content: it opens, invents nothing, goes on, and opens again the
//! same.
#![no_main]

#[path = "../../crates/wal/tests/it/oracle.rs"]
#[expect(dead_code, reason = "this target checks whole files only")]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    oracle::check_file(input);
});

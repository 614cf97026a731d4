//! Any bytes as an archive, with and without right checksums: requests or one error, no panic, memory
//! and time within limits.
#![no_main]

#[path = "../../crates/archive/tests/it/oracle.rs"]
#[expect(dead_code, reason = "this target checks files only")]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check_open(bytes);
});

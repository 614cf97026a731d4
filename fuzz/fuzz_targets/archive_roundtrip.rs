//! Any request through a lossless archive: every message comes back byte for byte.
#![no_main]

#[path = "../../crates/archive/tests/it/oracle.rs"]
#[expect(dead_code, reason = "this target checks requests only")]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check_roundtrip(bytes);
});

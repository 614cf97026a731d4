//! One record of the log with any header and payload: read as written, packed payloads unpacked or
//! refused, ranges as parts of the whole.
#![no_main]

#[path = "../../crates/wal/tests/it/oracle.rs"]
#[expect(dead_code, reason = "this target checks records only")]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    oracle::check_record(input);
});

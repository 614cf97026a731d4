//! The walk over OTLP protobuf against prost: same verdict, same spans, cost at least what is built,
//! kept spans byte for byte.
#![no_main]

#[path = "../../crates/otlp/tests/it/oracle.rs"]
#[expect(dead_code, reason = "this target checks protobuf only")]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::check_protobuf(bytes);
});

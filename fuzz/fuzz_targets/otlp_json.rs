//! OTLP/JSON: what is accepted becomes readable protobuf, the same as opentelemetry-proto reads where
//! it reads the text at all; what is refused is refused in few words.
#![no_main]

#[path = "../../crates/otlp/tests/it/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    oracle::check_json(text);
});

//! The configuration: any text is settings, or is refused with its remedy; settings in force are a
//! configuration themselves.
#![no_main]

#[path = "../../crates/app/tests/it/support/config_text.rs"]
mod config_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    config_text::check_text(bytes);
});

//! Any text as a list of policies or as a Collector's file: read or refused with a place and a remedy,
//! and what is accepted rules on traces.
#![no_main]

#[path = "../../crates/app/src/config"]
#[expect(dead_code, reason = "this target reads and rules, it does not print")]
mod config {
    pub mod tail_sampling;
    pub mod yaml;
}

#[path = "../../crates/app/tests/it/policy_oracle.rs"]
mod policy_oracle;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    policy_oracle::check_policies(text);
});

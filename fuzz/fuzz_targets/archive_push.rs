//! Any sequence of `ArchiveService.Push` requests, from decoder to disk: each answered as the rules say,
//! in few words, and no more on disk than they allow.
#![no_main]

#[path = "../../crates/app/tests/it/push_oracle.rs"]
mod push_oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    push_oracle::check_pushes(input);
});

//! Any graph of spans through the trace window, the span sampler and every trace sampler.
#![no_main]

#[path = "../../crates/app/tests/it/graph_oracle.rs"]
mod graph_oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    graph_oracle::check_graph(input);
});

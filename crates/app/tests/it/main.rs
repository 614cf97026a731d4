//! The running product, from the outside: what is sent to it, what comes out, what it says.
#![cfg(test)]

mod archive;
mod away;
mod cli;
mod configuration;
mod disk;
mod durability;
mod forward;
mod forward_tls;
mod graph_oracle;
mod hostile;
mod incident;
mod kill;
mod order;
mod policy_oracle;
mod push_oracle;
mod sdk;
mod shards;
mod split;
mod stopping;
mod streaming;
mod support;
mod tail_buffer;
mod tail_sampling;
mod traces;
mod waiting;

// The oracle of the fuzz target finds it in the same place.
use spanwise::config;

//! The running product, from the outside: what is sent to it, what comes out, what it says.
#![cfg(test)]

mod archive;
mod cli;
mod configuration;
mod durability;
mod forward;
mod forward_tls;
mod hostile;
mod incident;
mod kill;
mod policy_oracle;
mod sdk;
mod split;
mod streaming;
mod support;
mod tail_sampling;
mod traces;

// The oracle of the fuzz target finds it in the same place.
use spanwise::config;

//! Behaviour of the crate through its public API.
#![cfg(test)]

mod config;
mod merge;
mod properties;
mod river;
mod snapshot;
mod step_equals_walk;
mod step_forest;
mod streams;
mod tan_construction;

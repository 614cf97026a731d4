//! Behaviour of the crate through its public API.
#![cfg(test)]

mod step_equals_walk;

//! Whole-stage tests of rules through the public API.
#![cfg(test)]

mod configuration;
mod example;
mod predicates;
mod sampling;
mod support;

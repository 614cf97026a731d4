//! The scaler through its public API: single situations, and the invariants under anything.
#![cfg(test)]

mod documents;
mod invariants;
mod modes;
mod outcomes;
mod support;

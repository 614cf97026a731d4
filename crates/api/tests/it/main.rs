//! The router as a client meets it.
#![cfg(test)]

mod fixture;
mod guarding;
mod health;
mod lists;
mod record;
mod stream;

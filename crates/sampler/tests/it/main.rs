//! Behaviour of the span sampler on seeded streams.
#![cfg(test)]

mod budget;
mod closing;
mod references;
mod scale;
mod snapshot;
mod stream;
mod traces;

//! Behaviour of the span sampler on seeded streams, and of policies.
#![cfg(test)]

mod budget;
mod closing;
mod policy;
mod references;
mod scale;
mod shards;
mod snapshot;
mod stream;
mod traces;

//! Behaviour of the span sampler on seeded streams.
#![cfg(test)]

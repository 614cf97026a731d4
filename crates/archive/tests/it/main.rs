//! Tests of the crate through its public face.
#![cfg(test)]

mod corpus;
mod hostile;
mod lossless;
mod messages;
mod near_lossless;
mod oracle;
mod stored;

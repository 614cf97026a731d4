//! Tests of the crate through its public face.
#![cfg(test)]

mod corpus;
#[cfg(feature = "ctgan")]
mod ctgan;
mod hostile;
mod lossless;
mod messages;
mod near_lossless;
mod oracle;
mod stored;
#[cfg(not(feature = "ctgan"))]
mod without_ctgan;

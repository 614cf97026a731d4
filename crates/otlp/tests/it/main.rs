//! Tests of the crate through its public face.
#![cfg(test)]

mod corpus;
mod decode;
mod differential;
mod encode;
mod generate;
mod limits;
mod oracle;
mod replay;
mod sample;

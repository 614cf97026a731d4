//! Tests of the crate through its public face.
#![cfg(test)]

mod corpus;
mod decode;
mod differential;
mod emit;
mod encode;
mod generate;
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated code")]
mod generated;
mod limits;
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated code")]
#[path = "../../src/sampled_spans/generated.rs"]
mod messages;
mod oracle;
mod replay;
mod requests;
mod sample;
mod shell;
mod shell_abuse;
mod shell_export;
mod shell_grpc;
mod shell_http;
mod shell_sdk;
mod shell_stream;
#[cfg(feature = "tls")]
mod shell_tls;

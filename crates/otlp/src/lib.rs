#![doc = include_str!("../README.md")]

pub mod admission;
pub mod archives;
mod attributes;
mod bench_payload;
mod decode;
mod encode;
mod error;
pub mod exporter;
mod json;
mod limits;
pub mod receiver;
mod reframe;
mod replay;
mod report;
pub mod sampled_spans;
mod schema;
mod status;
mod tracestate;
pub mod transport;
mod value;
mod wire;
mod writer;

pub use attributes::WireAttributes;
pub use bench_payload::bench_payload;
pub use decode::{Decoded, decode, decode_into, decoded_cost};
pub use encode::{RequestBuilder, span_attributes};
pub use error::{DecodeError, Fault};
pub use json::{json_to_protobuf, protobuf_to_json};
pub use limits::Limits;
pub use reframe::{KeptSpan, Reframed, reframe};
pub use replay::{Shift, shift, shift_each};
pub use report::Report;
pub use status::{
    Detail, Encoding, PartialSuccess, Status, export_response, parse_export_response,
    parse_retry_delay,
};
pub use tracestate::{explicit_randomness, threshold_field};

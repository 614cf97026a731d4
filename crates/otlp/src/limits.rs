//! What one request may cost before anything is built from it.
//!
//! A limit on bytes alone does not bound memory: a protobuf message of no fields takes two bytes on
//! the wire and over a hundred once decoded. So a request is charged with the bytes it keeps plus
//! the exact size of what will be built from it, and refused at the first excess.

/// The deepest nesting that can be asked for: where prost gives up, less what lies around a value.
pub(crate) const DEPTH_MAX: u32 = 32;

/// Limits of one request. Every excess refuses the whole request, never a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request in bytes after decompression. Default 64 MiB, OTLP's recommendation. Values
    /// above 4 GiB - 1 count as that, because offsets have 32 bits.
    pub request_bytes: u64,
    /// Largest decoded cost in bytes: request bytes kept plus the heads built over them. Default
    /// 128 MiB, twice the request limit, so that an ordinary request of 64 MiB passes.
    pub decoded_cost_bytes: u64,
    /// Most spans, events and links together. Default 250,000.
    pub n_items: u32,
    /// Most attribute values inside each other; a value that is not inside another has depth 1.
    /// Unknown groups are held to the same figure. Default 16; 0 counts as 1, more than 32 as 32.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_bytes: 64 << 20, decoded_cost_bytes: 128 << 20, n_items: 250_000, depth: 16 }
    }
}

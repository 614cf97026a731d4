//! Where the trace ids of a request stand, so that it can be sent again as if it were another one.

use bytes::Bytes;
use spanwise_model::SpanHead;
use spanwise_otlp::{Limits, decode};

/// The offset of each span's trace id; those of spans without one are left out, and nothing is found in
/// what is no request.
pub(crate) fn places_of_ids(request: &Bytes) -> Vec<u32> {
    let Ok(decoded) = decode(request.clone(), &Limits::default()) else { return Vec::new() };
    let batch = decoded.batch;
    let place = |head: &SpanHead| {
        let raw = head.raw.of(&batch.bytes);
        let at = raw.windows(16).position(|bytes| bytes == head.trace_id.0);
        at.map(|at| head.raw.start + at as u32)
    };
    batch.spans.iter().filter_map(place).collect()
}

//! One recorded span with the labels that came with it.

use std::sync::Arc;

use spanwise_model::{SpanHead, SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId};

use crate::digest::blake2b_64;

/// A span out of a file. The labels stand apart: no stage may see them.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Trace id.
    pub trace_id: TraceId,
    /// Number of the span in its trace, by start, from 0.
    pub idx: i32,
    /// Number of its parent, -1 for a root or an orphan; may be greater than `idx`.
    pub parent_idx: i32,
    /// Its id as recorded; all-zero if the file has none, see [`Row::span_id`].
    pub recorded_id: SpanId,
    /// `service.name`.
    pub service: Arc<str>,
    /// Span name, as recorded.
    pub operation: Arc<str>,
    /// Span kind.
    pub kind: SpanKind,
    /// Start in nanoseconds since the epoch.
    pub start_ns: u64,
    /// Duration in nanoseconds.
    pub dur_ns: u64,
    /// Status of the span itself; columns say only whether it failed.
    pub status: StatusCode,
    /// What is known about it.
    pub labels: Labels,
}

/// Labels of a recorded span; what a file does not have is at its default.
#[expect(clippy::struct_excessive_bools, reason = "they are columns, each true or not by itself")]
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Index of the fault whose window holds the span's start, -1 for none.
    pub fault: i32,
    /// Whether the fault acted in this span.
    pub root_cause: bool,
    /// Whether it is a root cause or lies above one.
    pub slow_path: bool,
    /// Whether its trace has an unusual structure.
    pub trace_struct: bool,
    /// Column files: the span failed. OTLP files: some span of its trace failed.
    pub error: bool,
    /// Name of the group it belongs to.
    pub group: Option<Arc<str>>,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            fault: -1,
            root_cause: false,
            slow_path: false,
            trace_struct: false,
            error: false,
            group: None,
        }
    }
}

impl Row {
    /// Its id: the recorded one, else the 8-byte `BLAKE2b` digest of trace id and `idx` (i32 LE).
    pub fn span_id(&self) -> SpanId {
        if self.recorded_id.is_zero() {
            derived_id(self.trace_id, self.idx)
        } else {
            self.recorded_id
        }
    }

    /// End in nanoseconds since the epoch; saturates.
    pub const fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.dur_ns)
    }

    /// The span without its labels, as a record to be encoded. Only for files without recorded ids:
    /// the id of the parent is derived from `parent_idx`.
    pub fn to_record(&self) -> SpanRecord {
        SpanRecord {
            trace_id: self.trace_id,
            span_id: derived_id(self.trace_id, self.idx),
            parent_id: self.derived_parent_id(),
            service: Arc::clone(&self.service),
            instance: Arc::default(),
            operation: Arc::clone(&self.operation),
            kind: self.kind,
            start: Timestamp(self.start_ns),
            end: Timestamp(self.end_ns()),
            status: self.status,
            trace_state: Arc::default(),
            attributes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The span without its labels, as a head over no bytes; site and service are not interned yet.
    /// Ids are derived from `idx` and `parent_idx`, whatever was recorded.
    pub fn to_head(&self) -> SpanHead {
        SpanHead {
            trace_id: self.trace_id,
            span_id: derived_id(self.trace_id, self.idx),
            parent_id: self.derived_parent_id(),
            start: Timestamp(self.start_ns),
            end: Timestamp(self.end_ns()),
            kind: self.kind,
            status: self.status,
            ..SpanHead::default()
        }
    }

    fn derived_parent_id(&self) -> SpanId {
        if self.parent_idx < 0 {
            return SpanId::default();
        }
        derived_id(self.trace_id, self.parent_idx)
    }
}

fn derived_id(trace_id: TraceId, idx: i32) -> SpanId {
    let mut block = [0; 128];
    block[..16].copy_from_slice(&trace_id.0);
    block[16..20].copy_from_slice(&idx.to_le_bytes());
    SpanId(blake2b_64(&block, 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_those_of_the_otlp_files() {
        let trace_id = TraceId::from_hex("290330a0c0c6eac69a60720d51026620").unwrap();
        assert_eq!(derived_id(trace_id, 47).to_string(), "0acdc46dadba8e07");
        assert_eq!(derived_id(trace_id, 46).to_string(), "22ad528fc9d9722a");
    }
}

//! What archives of others may take of our memory.
//!
//! A small file can stand for many spans, so that its bytes say little. What is held while it is
//! brought back is known from what it declares: its columns, its spans, and their attributes. Both
//! the inbox, before it says that it has an archive, and the emitter hold every file against the same
//! limits: what would not fit is refused at the door and stays with its sender.

use spanwise_archive::Limits;

/// Spans of one archive, whatever there is of memory.
const SPANS_MAX: u64 = 1 << 22;
/// Bytes that a span of a model takes while its window is generated, without its attributes.
const SPAN_BYTES: u64 = 64;
/// Bytes that an attribute, or the resource, of such a span takes.
const SLOT_BYTES: u64 = 20;
/// Bytes that a span with its attributes is taken to hold where they were not counted.
const TYPICAL_SPAN_BYTES: u64 = SPAN_BYTES + 8 * SLOT_BYTES;

/// What one archive may take while it is brought back.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    bytes: u64,
}

impl Allowance {
    /// So many bytes at most.
    pub const fn new(bytes: u64) -> Self {
        Self { bytes }
    }

    /// Bytes of a file. The file itself, its columns as they are read and the dictionaries that come
    /// of them have an eighth each, the spans of a model an eighth and their attributes half: only a
    /// model has both.
    pub const fn file_bytes(self) -> u64 {
        self.bytes / 8
    }

    /// What the file may declare.
    pub fn limits(self) -> Limits {
        let limits = Limits::default();
        Limits {
            section_bytes: limits.section_bytes.min(self.bytes / 8),
            n_spans: SPANS_MAX.min(self.bytes / 8 / SPAN_BYTES),
            n_slots: limits.n_slots.min(self.bytes / 2 / SLOT_BYTES),
            ..limits
        }
    }
}

/// Bytes held while an archive of so many spans is brought back, about.
pub(super) fn held_bytes(file_bytes: u64, n_spans: u64) -> u64 {
    file_bytes.saturating_mul(3).saturating_add(n_spans.saturating_mul(TYPICAL_SPAN_BYTES))
}

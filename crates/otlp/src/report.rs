//! What was wrong with single spans of a request that was accepted as a whole: the "problems" half
//! of (value, problems), and OTLP's partial success.

use std::fmt::Write as _;

/// Counts of one decoded request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Spans in the request, accepted or not.
    pub n_spans: u32,
    /// Spans rejected because the trace id was not 16 bytes or all-zero.
    pub n_bad_trace_id: u32,
    /// Spans rejected because the span id was not 8 bytes or all-zero.
    pub n_bad_span_id: u32,
    /// Spans rejected because the parent id was neither empty nor 8 bytes.
    pub n_bad_parent_id: u32,
    /// Accepted spans whose times are never judged: start 0, end before start, or over 24 h.
    pub n_invalid_time: u32,
    /// Links whose trace or span id is invalid. Nobody follows them; the span's bytes stay as sent.
    pub n_bad_links: u32,
    /// What the request was charged with, in bytes: see [`Limits`](crate::Limits).
    pub cost_bytes: u64,
}

impl Report {
    /// Spans rejected: OTLP's `rejected_spans`. Each span counts once, for its first fault in the
    /// order trace id, span id, parent id.
    pub const fn n_rejected(&self) -> u32 {
        self.n_bad_trace_id + self.n_bad_span_id + self.n_bad_parent_id
    }

    /// The text for OTLP's `error_message`: `None` when nothing is worth saying, at most 256 bytes,
    /// nothing of the input in it. With no span rejected it is a warning.
    pub fn message(&self) -> Option<String> {
        let parts = [
            (self.n_bad_trace_id, "trace id not 16 bytes or all-zero"),
            (self.n_bad_span_id, "span id not 8 bytes or all-zero"),
            (self.n_bad_parent_id, "parent span id not 8 bytes"),
            (self.n_bad_links, "links with invalid ids ignored"),
        ];
        let mut text = String::new();
        for (n, what) in parts.into_iter().filter(|(n, _)| *n > 0) {
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing into a string cannot fail.
            let _ = write!(text, "{separator}{what}: {n}");
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_request_has_nothing_to_say() {
        assert_eq!(Report { n_spans: 9, n_invalid_time: 2, ..Report::default() }.message(), None);
    }

    #[test]
    fn the_message_is_short_whatever_happened() {
        let worst = Report {
            n_bad_trace_id: u32::MAX / 3,
            n_bad_span_id: u32::MAX / 3,
            n_bad_parent_id: u32::MAX / 3,
            n_bad_links: u32::MAX,
            ..Report::default()
        };
        let text = worst.message().unwrap();
        assert!(text.len() <= 256, "{text}");
        assert!(
            text.starts_with("trace id not 16 bytes or all-zero: 1431655765; span id"),
            "{text}"
        );
    }
}

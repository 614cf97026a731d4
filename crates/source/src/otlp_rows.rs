//! Rows out of OTLP requests: numbers inside each trace, and the label `error`.

use std::path::Path;

use bytes::Bytes;
use hashbrown::HashMap;
use spanwise_model::{Batch, SpanFlags, SpanHead, SpanId, StatusCode, TraceId};
use spanwise_otlp::{Limits, decode_into};

use crate::error::Error;
use crate::intern::Interner;
use crate::row::{Labels, Row};

/// Spans held at most, about 2.5 GB of them.
const N_ROWS_MAX: usize = 20_000_000;

/// What is kept of each span until the whole trace is known.
struct Spans {
    rows: Vec<Row>,
    parents: Vec<SpanId>,
    n_skipped: u64,
}

/// All rows in file order, and the number of spans left out.
pub(crate) fn read(
    path: &Path,
    requests: impl Iterator<Item = Result<Bytes, Error>>,
) -> Result<(Vec<Row>, u64), Error> {
    let limits = Limits::default();
    let mut spans = Spans { rows: Vec::new(), parents: Vec::new(), n_skipped: 0 };
    let mut interner = Interner::default();
    let mut batch = Batch::default();
    for (number, request) in (1..).zip(requests) {
        let n_read = decode_into(request?, &limits, &mut batch)
            .map_err(|source| Error::Request { path: path.to_owned(), number, source })?
            .n_rejected();
        spans.n_skipped += u64::from(n_read);
        for head in &batch.spans {
            spans.add(&batch, head, &mut interner);
        }
        if spans.rows.len() > N_ROWS_MAX {
            return Err(Error::TooManySpans { path: path.to_owned(), limit: N_ROWS_MAX as u64 });
        }
    }
    spans.number();
    Ok((spans.rows, spans.n_skipped))
}

impl Spans {
    fn add(&mut self, batch: &Batch, head: &SpanHead, interner: &mut Interner) {
        let Some(dur_ns) = head.duration_ns() else {
            self.n_skipped += 1;
            return;
        };
        debug_assert!(!head.flags.contains(SpanFlags::INVALID_TIME), "has a duration");
        self.parents.push(head.parent_id);
        self.rows.push(Row {
            trace_id: head.trace_id,
            idx: 0,
            parent_idx: -1,
            recorded_id: head.span_id,
            service: interner.intern(batch.service(head)),
            operation: interner.intern(batch.name(head)),
            kind: head.kind,
            start_ns: head.start.0,
            dur_ns,
            status: head.status,
            labels: Labels { error: head.status == StatusCode::Error, ..Labels::default() },
        });
    }

    /// Numbers the spans of each trace by start, finds their parents, and spreads errors over the
    /// trace. Of equal span ids the first is the parent.
    fn number(&mut self) {
        let mut traces: HashMap<TraceId, Vec<usize>> = HashMap::new();
        for (position, row) in self.rows.iter().enumerate() {
            traces.entry(row.trace_id).or_default().push(position);
        }
        let mut by_id: HashMap<SpanId, i32> = HashMap::new();
        // The order of the map does not matter: every trace is numbered by itself.
        for members in traces.values_mut() {
            members.sort_by_key(|&at| self.rows[at].start_ns);
            let failed = members.iter().any(|&at| self.rows[at].labels.error);
            by_id.clear();
            for (idx, &at) in (0..).zip(members.iter()) {
                let row = &mut self.rows[at];
                row.idx = idx;
                row.labels.error = failed;
                by_id.entry(row.recorded_id).or_insert(idx);
            }
            for &at in members.iter() {
                let parent = by_id.get(&self.parents[at]).copied();
                // A span that names itself is an orphan.
                self.rows[at].parent_idx = parent.filter(|&p| p != self.rows[at].idx).unwrap_or(-1);
            }
        }
    }
}

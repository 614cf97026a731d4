//! From rows to requests in order of end time, as an application would have sent them.
//!
//! Rows stand trace by trace in order of start, so a span can be sent as soon as a trace has begun
//! that starts after it ended: only what is in flight is held, not the file. Rows in another order
//! are all sent too, but a span that is read late is sent late.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::Bytes;
use spanwise_model::TraceId;
use spanwise_otlp::RequestBuilder;

use crate::error::Error;
use crate::row::Row;

/// Spans in one request, the default batch size of OpenTelemetry SDKs.
const N_SPANS_MAX: usize = 512;
/// Rows held for sorting; beyond it the earliest is sent whatever may still come.
const N_HELD_MAX: usize = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Requests made of rows. Each holds spans that ended in the same second, at most 512.
#[derive(Debug)]
pub struct RowRequests<I> {
    rows: I,
    held: BinaryHeap<Held>,
    n_read: u64,
    trace_id: TraceId,
    /// No row that is still to come ends before this time.
    floor_ns: u64,
    builder: RequestBuilder,
    /// Second of the spans in the builder.
    second: u64,
    failed: Option<Error>,
    exhausted: bool,
}

/// A row by its end, then by its place in the file; the greatest leaves a heap first, hence the
/// reversed order.
#[derive(Debug)]
struct Held {
    end_ns: u64,
    number: u64,
    row: Row,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.end_ns, other.number).cmp(&(self.end_ns, self.number))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

impl<I: Iterator<Item = Result<Row, Error>>> RowRequests<I> {
    /// Requests of `rows`, which should stand trace by trace in order of start.
    pub fn new(rows: I) -> Self {
        Self {
            rows,
            held: BinaryHeap::new(),
            n_read: 0,
            trace_id: TraceId::default(),
            floor_ns: 0,
            builder: RequestBuilder::new(),
            second: 0,
            failed: None,
            exhausted: false,
        }
    }

    /// The rows behind the requests.
    pub fn rows(&self) -> &I {
        &self.rows
    }

    /// Reads one row; at the end of the rows, or at an error, nothing more is read.
    fn read(&mut self) {
        match self.rows.next() {
            Some(Ok(row)) => {
                if row.trace_id != self.trace_id {
                    self.trace_id = row.trace_id;
                    self.floor_ns = self.floor_ns.max(row.start_ns);
                }
                self.held.push(Held { end_ns: row.end_ns(), number: self.n_read, row });
                self.n_read += 1;
            }
            Some(Err(error)) => {
                self.failed = Some(error);
                self.exhausted = true;
            }
            None => self.exhausted = true,
        }
    }

    /// Whether the earliest row cannot be preceded by one still to come.
    fn is_ready(&self) -> bool {
        let settled = self.held.peek().is_some_and(|held| held.end_ns <= self.floor_ns);
        settled || self.held.len() >= N_HELD_MAX || self.exhausted
    }
}

impl<I: Iterator<Item = Result<Row, Error>>> Iterator for RowRequests<I> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.is_ready() {
                self.read();
                continue;
            }
            let Some(held) = self.held.pop() else { break };
            let second = held.end_ns / SECOND_NS;
            let full = self.builder.n_spans() >= N_SPANS_MAX;
            let request = if self.builder.n_spans() > 0 && (full || second != self.second) {
                Some(self.builder.finish())
            } else {
                None
            };
            self.second = second;
            self.builder.push(&held.row.to_record());
            if let Some(request) = request {
                return Some(Ok(request));
            }
        }
        if self.builder.n_spans() > 0 {
            return Some(Ok(self.builder.finish()));
        }
        self.failed.take().map(Err)
    }
}

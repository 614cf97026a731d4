//! Windows of closed traces for the archive: gathered on the worker's thread, written and fitted on
//! threads of their own.
//!
//! Synchronous like the rest of the core. It frames the traces that closed and hands the bytes out
//! at once, so that an open window is a file and not memory; what it holds of a window is which of
//! its traces are marked. A window closes at its age, its number of traces or its bytes, whichever
//! is first. Spans that come after their trace closed are part of the window they come in; if their
//! trace went verbatim, so do they.

mod marks;
mod tap;

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{Batch, ClosedTrace, StatusCode, Timestamp, TraceId};
use spanwise_otlp::{KeptSpan, reframe};

use marks::Marks;
pub use tap::{Tap, TapStats, tap};

/// Bytes of one piece.
const PIECE_BYTES: usize = 1 << 20;

/// When a window closes, and how much of it may be kept as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Longest time from the first trace on.
    pub every_ns: u64,
    /// Most traces.
    pub n_traces: u64,
    /// Most bytes of requests.
    pub n_bytes: u64,
    /// Largest share of the bytes that marked traces may have to be kept verbatim.
    pub verbatim_share: f64,
}

/// Gathers.
#[derive(Debug)]
pub struct Collector {
    config: Config,
    window: Option<Open>,
    marks: Marks,
    /// Spans of traces closed since the last call of [`Collector::flush`].
    spans: Vec<(Arc<Batch>, u32)>,
    /// Those that were framed, until their requests are let go.
    framed: Vec<(Arc<Batch>, u32)>,
    pieces: Vec<Piece>,
}

/// The window that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    opened: Timestamp,
    n_traces: u64,
    n_spans: u64,
    n_bytes: u64,
}

/// What is handed out, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Closed traces of the open window.
    Spans {
        /// One request.
        request: Bytes,
        /// Spans in it.
        n_spans: u64,
    },
    /// The window is complete.
    Close(Closed),
}

/// A window that closed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Closed {
    /// When its first trace closed.
    pub opened: Timestamp,
    /// When it closed itself.
    pub closed: Timestamp,
    /// Traces, each part of one that came in parts counted.
    pub n_traces: u64,
    /// Spans.
    pub n_spans: u64,
    /// Bytes of its requests.
    pub n_bytes: u64,
    /// Traces that were marked.
    pub n_marked: u64,
    /// Those of them that are to be kept as they are.
    pub verbatim: Vec<TraceId>,
    /// Why it closed.
    pub reason: Reason,
}

/// Why a window closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// Its time was over.
    #[default]
    Time,
    /// It had as many traces as a window has.
    Traces,
    /// It had as many bytes as a window has.
    Bytes,
    /// The process stops.
    Stop,
}

impl Reason {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Traces => "traces",
            Self::Bytes => "bytes",
            Self::Stop => "stop",
        }
    }
}

impl Collector {
    /// A collector without an open window.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            window: None,
            marks: Marks::default(),
            spans: Vec::new(),
            framed: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// A trace has closed. `tail` is how unusual it is, if it is marked: the share of traces that
    /// are at least as unusual.
    pub fn closed(&mut self, trace: &ClosedTrace, tail: Option<f64>, now: Timestamp) {
        let window = self.window.get_or_insert(Open { opened: now, ..Open::default() });
        window.n_traces += 1;
        window.n_spans += trace.spans.len() as u64;
        let mut n_bytes = 0;
        let mut is_error = false;
        for span in &trace.spans {
            let head = span.head();
            n_bytes += u64::from(head.raw.len);
            is_error |= head.status == StatusCode::Error;
            self.spans.push((Arc::clone(&span.batch), span.span_idx));
        }
        // An error alone is the least of reasons: the model keeps errors exactly.
        let tail = tail.or(is_error.then_some(1.0));
        self.marks.see(trace.trace_id, tail, n_bytes);
        if window.n_traces >= self.config.n_traces {
            self.frame();
            self.close(Reason::Traces, now);
        }
    }

    /// Frames what closed since the last call, and closes the window if that is due. Requests that
    /// were held for it are appended to `released`.
    pub fn flush(&mut self, now: Timestamp, released: &mut Vec<Arc<Batch>>) {
        self.frame();
        released.extend(self.framed.drain(..).map(|(batch, _)| batch));
        let Some(window) = &self.window else { return };
        if now.since(window.opened) >= self.config.every_ns {
            self.close(Reason::Time, now);
        } else if window.n_bytes >= self.config.n_bytes {
            self.close(Reason::Bytes, now);
        }
    }

    /// Closes the window: nothing is held afterwards. Call [`Collector::flush`] before.
    pub fn drain(&mut self, now: Timestamp) {
        self.close(Reason::Stop, now);
    }

    /// Takes what is to be handed on.
    pub fn take(&mut self, out: &mut Vec<Piece>) {
        out.append(&mut self.pieces);
    }

    /// Turns the spans at hand into pieces.
    fn frame(&mut self) {
        let mut kept: Vec<KeptSpan<'_>> = Vec::new();
        let mut n_bytes = 0;
        let mut framed = 0;
        for (batch, span_idx) in &self.spans {
            let len = batch.spans[*span_idx as usize].raw.len as usize;
            if n_bytes > 0 && n_bytes + len > PIECE_BYTES {
                framed += piece(&kept, &mut self.pieces);
                kept.clear();
                n_bytes = 0;
            }
            n_bytes += len;
            kept.push(KeptSpan { batch, span_idx: *span_idx, stamp: &[] });
        }
        if !kept.is_empty() {
            framed += piece(&kept, &mut self.pieces);
        }
        if let Some(window) = &mut self.window {
            window.n_bytes += framed;
        }
        self.framed.append(&mut self.spans);
    }

    fn close(&mut self, reason: Reason, now: Timestamp) {
        let Some(window) = self.window.take() else { return };
        let budget = (window.n_bytes as f64 * self.config.verbatim_share) as u64;
        let n_marked = self.marks.len() as u64;
        let verbatim = self.marks.choose(budget);
        let Open { opened, n_traces, n_spans, n_bytes } = window;
        self.pieces.push(Piece::Close(Closed {
            opened,
            closed: now,
            n_traces,
            n_spans,
            n_bytes,
            n_marked,
            verbatim,
            reason,
        }));
    }
}

/// Frames spans as one piece; its bytes.
fn piece(spans: &[KeptSpan<'_>], pieces: &mut Vec<Piece>) -> u64 {
    let request = reframe(spans).bytes;
    let n_bytes = request.len() as u64;
    pieces.push(Piece::Spans { request, n_spans: spans.len() as u64 });
    n_bytes
}

#[cfg(test)]
mod tests;

//! Destinations of kept traces: OTLP receivers, rotated files, standard output.
//!
//! Each has a bounded queue of its own and takes requests in order; what a full queue does not take
//! is counted there and dropped, unless somebody keeps it and offers it again. None waits for
//! another.

mod rotated;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use spanwise_otlp::exporter::{Exporter, NotQueued, Stats};
use tokio::sync::Notify;

pub use rotated::Rotated;
pub use writer::{Line, Sink, Writer, WriterHandle};

/// One destination.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// Its name in metrics and in the log: where it stands in the configuration, and what it is.
    pub name: String,
    /// Whether traces say why they were kept.
    pub stamp: bool,
    /// Its queue.
    pub queue: Queue,
}

/// The queue of a destination.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Before an exporter.
    Otlp(Exporter),
    /// Before a thread that writes.
    Writer(WriterHandle),
}

impl Queue {
    /// Queues a request of `n_spans` spans. Never waits.
    ///
    /// # Errors
    /// It was not taken, and its spans are counted.
    pub fn send(&self, request: Bytes, n_spans: u64) -> Result<(), NotQueued> {
        match self {
            Self::Otlp(exporter) => exporter.send(request, n_spans),
            Self::Writer(writer) => writer.send(request, n_spans),
        }
    }

    /// The same, if what was queued was given up `n_losses` times so far: else that must be offered
    /// again first.
    ///
    /// # Errors
    /// As [`Queue::send`]; [`NotQueued::Stopped`] if it was given up since.
    pub fn send_unless_lost(
        &self,
        request: Bytes,
        n_spans: u64,
        n_losses: u64,
    ) -> Result<(), NotQueued> {
        match self {
            Self::Otlp(exporter) => exporter.send(request, n_spans),
            Self::Writer(writer) => writer.send_unless_lost(request, n_spans, n_losses),
        }
    }

    /// Requests that are done with, in the order in which they were queued.
    pub fn n_done_requests(&self) -> u64 {
        match self {
            Self::Otlp(exporter) => exporter.n_done_requests(),
            Self::Writer(writer) => writer.n_done_requests(),
        }
    }

    /// Has `listener`, and nobody else, told when a request is done with.
    pub fn tell(&self, listener: Arc<Notify>) {
        match self {
            Self::Otlp(exporter) => exporter.tell(listener),
            Self::Writer(writer) => writer.tell(listener),
        }
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> Stats {
        match self {
            Self::Otlp(exporter) => exporter.stats(),
            Self::Writer(writer) => writer.stats(),
        }
    }

    /// How many times everything that was queued and not done was given up: whoever keeps requests
    /// offers them again from the first that is not done.
    pub fn n_losses(&self) -> u64 {
        match self {
            Self::Otlp(_) => 0,
            Self::Writer(writer) => writer.n_losses(),
        }
    }
}

//! What a destination was offered and is not done with, and the thread that notes how far each is.
//!
//! A cursor in the log waits for a commit, and commits wait for the disk. A note is written as soon as
//! a destination has taken a request, so that a process that is killed sends little again: what was
//! under way.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use spanwise_otlp::exporter::NotQueued;
use spanwise_wal::{Bookmarks, Disk, Position};
use tokio::sync::{Notify, oneshot};
use tracing::warn;

use crate::pipeline::outlets::{Outlet, Queue};

/// Where a request stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) n_spans: u64,
    /// `None` until it is committed.
    pub(super) position: Option<Position>,
    /// Its bytes until it was offered once, so that nothing is read back where nobody lags.
    pub(super) request: Option<Bytes>,
}

/// The queue of a destination with the places of what is in it.
#[derive(Debug)]
pub(super) struct Way {
    name: String,
    queue: Queue,
    offered: Mutex<Offered>,
}

#[derive(Debug, Default)]
struct Offered {
    places: VecDeque<Place>,
    n_done: u64,
    /// Spans that are done since somebody asked.
    n_done_spans: u64,
    /// The last request that is done, and the last one noted.
    done_seq: u64,
    noted_seq: u64,
    n_losses: u64,
}

/// Notes how far destinations are.
#[derive(Debug)]
pub struct Marker<D: Disk> {
    ways: Vec<Arc<Way>>,
    bookmarks: Bookmarks<D>,
    news: Arc<Notify>,
    /// The keeper is gone.
    ended: oneshot::Receiver<()>,
    is_failing: bool,
}

impl Way {
    pub(super) fn new(outlet: &Outlet) -> Self {
        let queue = outlet.queue.clone();
        let n_losses = queue.n_losses();
        let offered = Mutex::new(Offered { n_losses, ..Offered::default() });
        Self { name: outlet.name.clone(), queue, offered }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Offers a request that is on disk.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) fn offer(&self, place: &Place, request: Bytes) -> Result<(), NotQueued> {
        // Held while it is queued: it may be done at once.
        let mut offered = self.offered.lock();
        self.queue.send_unless_lost(request, place.n_spans, offered.n_losses)?;
        offered.places.push_back(place.clone());
        Ok(())
    }

    /// Forgets what is done; how many spans were since the last call.
    pub(super) fn take_done(&self) -> u64 {
        let mut offered = self.offered.lock();
        offered.catch_up(&self.queue);
        std::mem::take(&mut offered.n_done_spans)
    }

    /// What was offered, if the destination has lost it: it must be offered again.
    pub(super) fn take_lost(&self) -> VecDeque<Place> {
        let mut offered = self.offered.lock();
        let n_losses = self.queue.n_losses();
        if n_losses == offered.n_losses {
            return VecDeque::new();
        }
        offered.catch_up(&self.queue);
        offered.n_losses = n_losses;
        std::mem::take(&mut offered.places)
    }

    /// The first request that is not done, if there is one.
    pub(super) fn first_seq(&self) -> Option<u64> {
        self.offered.lock().places.front().map(|place| place.seq)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offered.lock().places.is_empty()
    }

    pub(super) fn n_spans(&self) -> u64 {
        self.offered.lock().places.iter().map(|place| place.n_spans).sum()
    }

    /// The last request that is done, if it was not noted.
    fn take_note(&self) -> Option<u64> {
        let mut offered = self.offered.lock();
        offered.catch_up(&self.queue);
        let seq = offered.done_seq;
        let is_new = seq > std::mem::replace(&mut offered.noted_seq, seq);
        is_new.then_some(seq)
    }
}

impl Offered {
    fn catch_up(&mut self, queue: &Queue) {
        let n_done = queue.n_done_requests();
        while self.n_done < n_done {
            self.n_done += 1;
            if let Some(place) = self.places.pop_front() {
                self.n_done_spans += place.n_spans;
                self.done_seq = place.seq;
            }
        }
    }
}

impl<D: Disk> Marker<D> {
    /// Of these destinations, until `ended` is dropped.
    pub(super) fn new(
        ways: Vec<Arc<Way>>,
        bookmarks: Bookmarks<D>,
        ended: oneshot::Receiver<()>,
    ) -> Self {
        let news = Arc::new(Notify::new());
        for way in &ways {
            way.queue.tell(Arc::clone(&news));
        }
        Self { ways, bookmarks, news, ended, is_failing: false }
    }

    /// Works until the keeper is gone. Blocks for as long as a short write takes: run it on a thread
    /// of its own.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.news.notified() => self.note(),
                _ = &mut self.ended => break,
            }
        }
    }

    fn note(&mut self) {
        for way in &self.ways {
            let Some(seq) = way.take_note() else { continue };
            let noted = self.bookmarks.set(&way.name, seq);
            if let Err(error) = &noted
                && !self.is_failing
            {
                warn!(%error, "a crash now would send the last second again");
            }
            self.is_failing = noted.is_err();
        }
    }
}

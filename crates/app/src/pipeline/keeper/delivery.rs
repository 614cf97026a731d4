//! One destination's way through the kept log: what is its own and not done, in order.
//!
//! Only places are remembered, and bytes are read back from the log when the destination has room:
//! one that is down costs 40 bytes a request, and nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use spanwise_otlp::exporter::NotQueued;
use spanwise_wal::{Committed, Disk, Log, Position, Reader};
use tracing::{error, warn};

use super::SNAPSHOT;
use super::message::KeptPack;
use super::record;
use super::way::{Place, Way};
use crate::pipeline::outlets::Outlet;

/// Nothing is cached: each request is read once.
const CACHE_BYTES: usize = 0;
/// What a destination's queue is filled to; the rest is for requests that are just decided.
const QUEUED_BYTES_MAX: usize = 8 << 20;

/// The way of one destination.
#[derive(Debug)]
pub(super) struct Delivery<D: Disk> {
    /// Whether traces say why they were kept.
    stamp: bool,
    /// Its queue, and what is in it.
    way: Arc<Way>,
    reader: Reader<D>,
    /// Not offered yet.
    pending: VecDeque<Place>,
    /// Spans that are done, and of which it is not on disk that they are.
    n_unsettled: u64,
}

/// A way for each destination; consumers of the log that are no destinations any more are
/// forgotten, new ones begin with what comes.
pub(super) fn follow<D: Disk>(outlets: &[Outlet], kept: &mut Log<D>) -> Result<Vec<Delivery<D>>> {
    let last_seq = kept.next_seq() - 1;
    let gone: Vec<String> = kept
        .cursors()
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != SNAPSHOT && outlets.iter().all(|outlet| outlet.name != *name))
        .collect();
    for name in gone {
        warn!(destination = name, "destination is gone from the configuration; its backlog too");
        kept.remove_cursor(&name);
    }
    if kept.cursor(SNAPSHOT).is_none() {
        kept.set_cursor(SNAPSHOT, 0)?;
    }
    for outlet in outlets {
        if kept.cursor(&outlet.name).is_none() {
            kept.set_cursor(&outlet.name, last_seq)?;
        }
    }
    let way = |outlet: &Outlet| Delivery {
        stamp: outlet.stamp,
        way: Arc::new(Way::new(outlet)),
        reader: kept.reader(CACHE_BYTES),
        pending: VecDeque::new(),
        n_unsettled: 0,
    };
    Ok(outlets.iter().map(way).collect())
}

impl<D: Disk> Delivery<D> {
    pub(super) fn name(&self) -> &str {
        self.way.name()
    }

    pub(super) fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way)
    }

    /// A request that was just appended.
    pub(super) fn add(&mut self, seq: u64, pack: &KeptPack) {
        if pack.is_stamped == self.stamp {
            let request = Some(pack.request.clone());
            self.pending.push_back(Place { seq, n_spans: pack.n_spans, position: None, request });
        }
    }

    /// A request that was found in the log.
    pub(super) fn found(&mut self, seq: u64, position: Position, kept: &record::Kept) {
        if kept.is_stamped == self.stamp {
            let position = Some(position);
            self.pending.push_back(Place { seq, n_spans: kept.n_spans, position, request: None });
        }
    }

    /// Appended requests have their places on disk.
    pub(super) fn committed(&mut self, committed: &Committed) {
        for place in self.pending.iter_mut().rev().take_while(|place| place.position.is_none()) {
            place.position = committed.position(place.seq);
        }
    }

    /// Number up to which everything is done; `None` = everything there is.
    pub(super) fn done_seq(&self) -> Option<u64> {
        let first = || self.pending.front().map(|place| place.seq);
        self.way.first_seq().or_else(first).map(|seq| seq - 1)
    }

    /// Notes what the destination has, and offers it what it has room for.
    pub(super) fn pump(&mut self) {
        self.n_unsettled += self.way.take_done();
        let mut again = self.way.take_lost();
        if !again.is_empty() {
            again.append(&mut self.pending);
            self.pending = again;
        }
        let mut n_bytes = self.way.queue().stats().n_queued_bytes;
        while let Some(place) = self.pending.front_mut() {
            let Some(position) = place.position else { break };
            let ready = place.request.take();
            if ready.is_none() && n_bytes > QUEUED_BYTES_MAX {
                break;
            }
            let Some(request) = ready.or_else(|| self.read(position)) else {
                self.pending.pop_front();
                continue;
            };
            n_bytes += request.len();
            if !self.offer(request) {
                break;
            }
        }
    }

    /// Offers the first request that is pending; whether it was taken, or never will be.
    fn offer(&mut self, request: Bytes) -> bool {
        let Some(place) = self.pending.front() else { return false };
        let is_idle = self.way.is_empty();
        match self.way.offer(place, request) {
            Ok(()) => {}
            Err(NotQueued::Full) if !is_idle => return false,
            Err(NotQueued::Stopped) => return false,
            Err(problem) => {
                let (destination, n_spans) = (self.way.name(), place.n_spans);
                error!(destination, %problem, n_spans, "request dropped");
            }
        }
        self.pending.pop_front();
        true
    }

    fn read(&mut self, position: Position) -> Option<Bytes> {
        match self.reader.read(position) {
            Ok(unpacked) => record::read_kept(&unpacked.bytes).map(|kept| kept.request),
            Err(error) => {
                let destination = self.way.name();
                error!(destination, %error, "kept traces cannot be read back; dropped");
                None
            }
        }
    }

    /// Spans that are not done, or of which it is not on disk that they are. Cost: the number of
    /// requests.
    pub(super) fn n_spans(&self) -> u64 {
        let pending: u64 = self.pending.iter().map(|place| place.n_spans).sum();
        self.way.n_spans() + pending + self.n_unsettled
    }

    /// How far it is is on disk.
    pub(super) const fn settled(&mut self) {
        self.n_unsettled = 0;
    }

    /// Whether everything was offered, or will not be taken now: it stays in the log.
    pub(super) fn is_taken(&self) -> bool {
        self.pending.is_empty() || self.way.queue().stats().failing.is_some()
    }

    /// Whether nothing more will be done.
    pub(super) fn has_ended(&self) -> bool {
        self.way.queue().stats().is_stopped || (self.pending.is_empty() && self.way.is_empty())
    }

    /// Gives up what stands in the oldest part of a log that is full; how many spans.
    pub(super) fn give_up(&mut self, first_seq: u64) -> u64 {
        /// Places given up at once: about what a segment of the log holds.
        const N: usize = 64;
        let mut n_spans = 0;
        for _ in 0..N {
            let Some(place) = self.pending.pop_front() else { break };
            n_spans += place.n_spans;
        }
        if n_spans > 0 {
            let destination = self.way.name();
            warn!(
                destination,
                n_spans, first_seq, "log is full; the oldest kept traces are given up"
            );
        }
        n_spans
    }
}

//! The thread that brings received archives back and sends the spans on.
//!
//! An archive is done when every destination has acknowledged the last request of it. One that was
//! interrupted is sent on again from its start: the same file gives the same spans with the same ids
//! again, which stores take for what they are.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use spanwise_archive::Archive;
use spanwise_otlp::transport::{Phase, Shutdown};
use tracing::{error, info};

use super::allowance::{Allowance, held_bytes};
use super::folder::{ARCHIVE, Folder, Place, RECORD};
use super::guarded;
use super::priority::give_way;
use super::record::Received;
use super::showing::Shown;
use super::signal::Signal;
use crate::clock::Clock;
use crate::pipeline::outlets::Outlet;

/// How often a destination is looked at that does not keep up.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for a signal, so that the end is noticed.
const IDLE: Duration = Duration::from_millis(250);
/// Text of an end that is no failure.
const STOPPING: &str = "stopping";

/// The thread's part.
#[derive(Debug)]
pub struct Emitter {
    /// Where archives wait.
    pub folder: Arc<Folder>,
    /// Where the spans go, with the bytes that may wait for each.
    pub destinations: Vec<(Outlet, u64)>,
    /// What an archive may take of memory.
    pub allowance: Allowance,
    /// Set when there is one more.
    pub stored: Arc<Signal>,
    /// Where it is shown.
    pub shown: Shown,
    /// The clock.
    pub clock: Clock,
    /// Ends it.
    pub shutdown: Shutdown,
}

/// How far a destination was when an archive was begun.
struct Mark {
    n_done: u64,
    n_losses: u64,
}

impl Emitter {
    /// Sends on until the shutdown begins. Blocks: run it on a thread of its own.
    pub fn run(self) {
        give_way();
        while self.shutdown.phase() == Phase::Serving {
            match self.next() {
                None => self.stored.wait(IDLE),
                Some(received) => self.archive(received),
            }
        }
    }

    /// The archive that was received first.
    fn next(&self) -> Option<Received> {
        let names = self.folder.names(Place::Inbox, ARCHIVE).unwrap_or_default();
        self.shown.update(|showing| showing.n_inbox = names.len() as u64);
        let record = |name: String| {
            let json = fs::read(self.folder.path(Place::Inbox, &name, RECORD)).ok();
            let known = json.and_then(|json| serde_json::from_slice::<Received>(&json).ok());
            Received { archive: name, ..known.unwrap_or_default() }
        };
        names.into_iter().map(record).min_by_key(|received| (received.received_ns, received.window))
    }

    fn archive(&self, mut received: Received) {
        let name = received.archive.clone();
        let emitted = guarded("sending it on", || self.emit(&name, &mut received));
        self.shown.update(|showing| showing.emitting_bytes = 0);
        match emitted {
            Ok(()) => self.done(&name, &received),
            Err(error) if self.shutdown.phase() != Phase::Serving => {
                info!(
                    archive = name,
                    reason = format!("{error:#}"),
                    "archive is sent on again later"
                );
            }
            Err(error) => {
                error!(
                    archive = name,
                    error = format!("{error:#}"),
                    "an archive cannot be sent on"
                );
                self.shown.update(|showing| showing.n_unusable += 1);
                let moved = self.folder.move_archive(Place::Inbox, Place::Refused, &name, &name);
                if moved.is_err() {
                    // Not in a circle without a rest.
                    self.stored.wait(IDLE);
                }
            }
        }
    }

    /// Generates and queues, then waits for the acknowledgements.
    fn emit(&self, name: &str, received: &mut Received) -> Result<()> {
        let bytes = fs::read(self.folder.path(Place::Inbox, name, ARCHIVE))?;
        let n_bytes = bytes.len() as u64;
        let archive = Archive::open(bytes.into(), &self.allowance.limits())?;
        let n_held = held_bytes(n_bytes, archive.info().header.n_spans);
        self.shown.update(|showing| showing.emitting_bytes = n_held);
        loop {
            let marks = self.marks();
            let mut n_requests = 0;
            received.spans = 0;
            archive.generate(&mut |request: Bytes| {
                let n_spans = n_spans(&request)?;
                received.spans += n_spans;
                n_requests += 1;
                self.destinations.iter().try_for_each(|to| self.send(to, &request, n_spans))
            })?;
            if self.settled(&marks, n_requests)? {
                return Ok(());
            }
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mark = |(outlet, _): &(Outlet, u64)| {
            let (n_done, n_losses) =
                (outlet.queue.stats().n_done_requests, outlet.queue.n_losses());
            Mark { n_done, n_losses }
        };
        self.destinations.iter().map(mark).collect()
    }

    /// Queues a request once there is room for it.
    fn send(&self, (to, n_bytes_max): &(Outlet, u64), request: &Bytes, n: u64) -> io::Result<()> {
        loop {
            let n_queued = to.queue.stats().n_queued_bytes as u64;
            if n_queued == 0 || n_queued + request.len() as u64 <= *n_bytes_max {
                return to.queue.send(request.clone(), n).map_err(io::Error::other);
            }
            self.rest()?;
        }
    }

    /// Waits until every destination is done with all requests; false if one has lost some.
    fn settled(&self, marks: &[Mark], n_requests: u64) -> Result<bool> {
        loop {
            let mut is_done = true;
            for ((to, _), mark) in self.destinations.iter().zip(marks) {
                if to.queue.n_losses() != mark.n_losses {
                    return Ok(false);
                }
                is_done &= to.queue.stats().n_done_requests >= mark.n_done + n_requests;
            }
            if is_done {
                return Ok(true);
            }
            self.rest()?;
        }
    }

    /// A short rest; an error if it is the last.
    fn rest(&self) -> io::Result<()> {
        if self.shutdown.phase() != Phase::Serving {
            return Err(io::Error::other(STOPPING));
        }
        self.stored.wait(LOOK);
        Ok(())
    }

    fn done(&self, name: &str, received: &Received) {
        let received = Received { emitted_ns: self.clock.now().as_ns(), ..received.clone() };
        let kept = (|| {
            let json = serde_json::to_vec(&received)?;
            self.folder.write(Place::Inbox, name, RECORD, &json)?;
            self.folder.move_archive(Place::Inbox, Place::Stored, name, name)?;
            self.folder.retain(Place::Stored).context("cannot make room")
        })();
        match kept {
            Ok(n_removed) => self.shown.update(|showing| showing.n_removed += n_removed),
            Err(error) => {
                error!(
                    error = format!("{error:#}"),
                    "an archive that was sent on cannot be put away"
                );
            }
        }
        self.shown.emitted(&received);
        info!(
            archive = name,
            source = received.source,
            window = received.window,
            n_traces = received.traces,
            n_spans = received.spans,
            latency_s = received.latency_s(),
            "archive sent on"
        );
    }
}

fn n_spans(request: &Bytes) -> io::Result<u64> {
    let limits = spanwise_otlp::Limits {
        request_bytes: u64::from(u32::MAX),
        decoded_cost_bytes: u64::MAX,
        n_items: u32::MAX,
        ..spanwise_otlp::Limits::default()
    };
    let decoded = spanwise_otlp::decode(request.clone(), &limits).map_err(io::Error::other)?;
    Ok(decoded.report.n_spans.into())
}

//! The receiver's side: pieces are put together on disk, an archive that is whole is checked, and
//! only then its sender is told that it is stored.
//!
//! Pieces come from outside and are not believed: an archive has to have the id it was announced
//! under, computed anew from what it holds; what is unfinished is bounded in number and bytes.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use futures_util::future::{BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use spanwise_archive::Archive;
use spanwise_otlp::archives::{Chunk, Progress, Receive, Refused};
use tracing::{info, warn};

use super::allowance::Allowance;
use super::folder::{ARCHIVE, Folder, Place, RECORD};
use super::record::{Received, hex};
use super::showing::Shown;
use super::signal::Signal;
use crate::clock::Clock;

/// What an unfinished archive ends with.
const PART: &str = "part";
/// Unfinished archives.
const PARTS_MAX: usize = 64;
/// Bytes of them.
const PARTS_BYTES_MAX: u64 = 256 << 20;
/// An unfinished archive that got nothing for this long makes room for others.
const PART_IDLE: Duration = Duration::from_mins(10);
/// What a sender is told to wait that finds no room.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Takes archives.
#[derive(Debug)]
pub struct Inbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Arc<Folder>,
    stored: Arc<Signal>,
    shown: Shown,
    clock: Clock,
    allowance: Allowance,
    /// One piece at a time: pieces of one archive may come from several calls.
    turn: Mutex<()>,
}

impl Inbox {
    /// Takes archives into a folder; `stored` is set for each. `allowance` is what one may take of
    /// memory once it is brought back.
    pub fn new(
        folder: Arc<Folder>,
        stored: Arc<Signal>,
        shown: Shown,
        clock: Clock,
        allowance: Allowance,
    ) -> Self {
        let turn = Mutex::new(());
        Self { inner: Arc::new(Inner { folder, stored, shown, clock, allowance, turn }) }
    }

    /// Takes one piece. Blocks: it writes and syncs files, and waits for its turn.
    pub fn take(&self, chunk: &Chunk) -> Result<Progress, Refused> {
        self.inner.push(chunk)
    }
}

impl Receive for Inbox {
    fn push(&self, chunk: Chunk) -> BoxFuture<'_, Result<Progress, Refused>> {
        let inner = Arc::clone(&self.inner);
        async move {
            // It writes and syncs files.
            let job = tokio::task::spawn_blocking(move || inner.push(&chunk));
            job.await.unwrap_or_else(|error| Err(Refused::Failed(error.to_string())))
        }
        .boxed()
    }
}

impl Inner {
    fn push(&self, chunk: &Chunk) -> Result<Progress, Refused> {
        let _turn = self.turn.lock();
        let taken = self.take(chunk);
        if let Err(refused) = &taken {
            self.shown.update(|showing| showing.n_refused += 1);
            let archive = hex(&chunk.archive_id);
            warn!(archive, source = chunk.source, %refused, "a piece of an archive is refused");
        }
        taken
    }

    fn take(&self, chunk: &Chunk) -> Result<Progress, Refused> {
        let name = hex(&chunk.archive_id);
        if self.is_known(&name) {
            return Ok(Progress { n_received: chunk.n_bytes, is_stored: true });
        }
        let n_bytes_max = self.allowance.file_bytes();
        if chunk.n_bytes > n_bytes_max {
            let n_bytes = chunk.n_bytes;
            return Err(Refused::Invalid(format!(
                "archive of {n_bytes} bytes, more than the {n_bytes_max} that there is memory for; \
                 raise `memory_limit` here or make windows smaller"
            )));
        }
        let part = self.folder.path(Place::Incoming, &name, PART);
        let n_received = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        if n_received > chunk.n_bytes {
            self.folder.remove(Place::Incoming, &name, PART);
            return Err(Refused::Invalid("is longer than it was said to be".to_owned()));
        }
        if chunk.offset != n_received || (chunk.bytes.is_empty() && n_received < chunk.n_bytes) {
            return Ok(Progress { n_received, is_stored: false });
        }
        self.make_room(&name, chunk)?;
        append(&part, &chunk.bytes).map_err(|error| failed(&error))?;
        let n_received = n_received + chunk.bytes.len() as u64;
        if n_received < chunk.n_bytes {
            return Ok(Progress { n_received, is_stored: false });
        }
        self.store(&name, chunk)?;
        Ok(Progress { n_received, is_stored: true })
    }

    /// Whether the archive has been stored before: its sender did not hear of it.
    fn is_known(&self, name: &str) -> bool {
        let places = [Place::Inbox, Place::Stored];
        places.iter().any(|place| self.folder.path(*place, name, ARCHIVE).exists())
    }

    fn make_room(&self, name: &str, chunk: &Chunk) -> Result<(), Refused> {
        let full = |what: &str| Refused::Full {
            message: format!("no room for more {what}"),
            retry_after: RETRY_AFTER,
        };
        if !self.folder.has_room(Place::Inbox, chunk.n_bytes) {
            return Err(full("archives that were not sent on yet"));
        }
        let n_bytes = chunk.bytes.len() as u64;
        let has_room = || {
            let parts = self.folder.names(Place::Incoming, PART).unwrap_or_default();
            let n_others = parts.iter().filter(|part| *part != name).count();
            n_others < PARTS_MAX
                && self.folder.n_bytes(Place::Incoming) + n_bytes <= PARTS_BYTES_MAX
        };
        if !has_room() {
            self.forget_idle();
        }
        if has_room() { Ok(()) } else { Err(full("unfinished archives")) }
    }

    /// Removes unfinished archives that nobody sends any more.
    fn forget_idle(&self) {
        for name in self.folder.names(Place::Incoming, PART).unwrap_or_default() {
            let metadata = fs::metadata(self.folder.path(Place::Incoming, &name, PART));
            let written = metadata.and_then(|metadata| metadata.modified());
            let is_idle = written.is_ok_and(|written| {
                SystemTime::now().duration_since(written).is_ok_and(|idle| idle > PART_IDLE)
            });
            if is_idle {
                self.folder.remove(Place::Incoming, &name, PART);
            }
        }
    }

    /// Checks what is whole, and gives it its name.
    fn store(&self, name: &str, chunk: &Chunk) -> Result<(), Refused> {
        let part = self.folder.path(Place::Incoming, name, PART);
        let archive = match self.check(&part, chunk) {
            Ok(archive) => archive,
            Err(error) => {
                self.folder.remove(Place::Incoming, name, PART);
                return Err(Refused::Invalid(format!("{error:#}")));
            }
        };
        let header = archive.info().header;
        let received = Received {
            archive: name.to_owned(),
            source: chunk.source.clone(),
            window: chunk.sequence,
            opened_ns: chunk.opened_ns,
            closed_ns: chunk.closed_ns,
            received_ns: self.clock.now().as_ns(),
            level: header.level.name().to_owned(),
            bytes: chunk.n_bytes,
            traces: header.n_traces,
            spans: header.n_spans,
            emitted_ns: 0,
        };
        self.keep(name, &received).map_err(|error| failed(&error))?;
        self.shown.update(|showing| showing.n_received += 1);
        self.stored.set();
        info!(
            archive = name,
            source = chunk.source,
            window = chunk.sequence,
            n_traces = header.n_traces,
            n_bytes = chunk.n_bytes,
            level = %header.level,
            "archive received"
        );
        Ok(())
    }

    /// Opens an archive and reads all of it. It has to be the one it was announced as, and to fit into
    /// our memory when it is brought back.
    fn check(&self, part: &std::path::Path, chunk: &Chunk) -> Result<Archive> {
        let archive = Archive::open(fs::read(part)?.into(), &self.allowance.limits())?;
        archive.check()?;
        anyhow::ensure!(archive.info().archive_id == chunk.archive_id, "is another archive");
        Ok(archive)
    }

    fn keep(&self, name: &str, received: &Received) -> Result<()> {
        let part = self.folder.path(Place::Incoming, name, PART);
        File::open(&part)?.sync_all()?;
        self.folder.write(Place::Inbox, name, RECORD, &serde_json::to_vec(received)?)?;
        self.folder.rename(&part, Place::Inbox, name, ARCHIVE)
    }
}

fn append(part: &std::path::Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(part)?;
    file.write_all(bytes).with_context(|| part.display().to_string())
}

fn failed(error: &anyhow::Error) -> Refused {
    Refused::Failed(format!("{error:#}"))
}

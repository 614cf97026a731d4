//! The task that sends archives to another spanwise: oldest first, piece by piece, again until each
//! has arrived.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use spanwise_archive::{Archive, Limits};
use spanwise_model::Timestamp;
use spanwise_otlp::archives::{CHUNK_BYTES_MAX, Chunk, Client, PushError};
use spanwise_otlp::exporter::Backoff;
use spanwise_otlp::transport::{Phase, Shutdown};
use tracing::{error, info, warn};

use super::folder::{ARCHIVE, Folder, Place, RECORD};
use super::news::News;
use super::record::{Record, seconds};
use super::showing::{Lost, Shown};
use crate::clock::Clock;

/// Refusals of one archive after which it is put aside.
const REFUSALS_MAX: u32 = 3;

/// The task's part.
#[derive(Debug)]
pub struct Pusher {
    /// Where archives wait.
    pub folder: Arc<Folder>,
    /// The way to the receiver.
    pub client: Client,
    /// Our name there.
    pub source: String,
    /// Told when there is one more.
    pub fitted: Arc<News>,
    /// How often the receiver has refused which archive.
    pub refusals: (String, u32),
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Where it is shown.
    pub shown: Shown,
    /// The clock.
    pub clock: Clock,
}

/// An archive that waits.
struct Parcel {
    name: String,
    bytes: Bytes,
    archive_id: [u8; 16],
    record: Record,
}

impl Pusher {
    /// Sends until the shutdown begins, no more archives come, and none waits or the receiver cannot
    /// be reached. What is left waits on disk.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut abort = shutdown.clone();
        tokio::select! {
            () = self.work(shutdown) => {}
            () = abort.reached(Phase::Aborting) => {}
        }
    }

    async fn work(&mut self, mut shutdown: Shutdown) {
        loop {
            // Asked first: what comes after the answer is told.
            let is_last = self.fitted.is_last();
            match self.next().await {
                Ok(None) if is_last => return,
                Ok(None) => self.fitted.wait().await,
                Ok(Some(parcel)) => {
                    let Err(error) = self.push(&parcel).await else { continue };
                    if error.is_about_the_archive() && self.is_refused_for_good(&parcel) {
                        self.refused(&parcel, &error);
                    } else if !self.pause(&error, is_last, &mut shutdown).await {
                        return;
                    }
                }
                Err(error) => {
                    error!(error = format!("{error:#}"), "archives cannot be read");
                    self.fitted.wait().await;
                }
            }
        }
    }

    /// The oldest archive. One that cannot be read is put aside.
    async fn next(&self) -> Result<Option<Parcel>> {
        let folder = Arc::clone(&self.folder);
        let shown = self.shown.clone();
        tokio::task::spawn_blocking(move || {
            let names = folder.names(Place::Outbox, ARCHIVE)?;
            let mut n_waiting = names.len() as u64;
            for name in names {
                match read(&folder, &name) {
                    Ok(parcel) => {
                        shown.update(|showing| showing.n_outbox = n_waiting);
                        return Ok(Some(parcel));
                    }
                    Err(error) => {
                        let error = format!("{error:#}");
                        error!(window = name, error, "an archive cannot be read and is put aside");
                        shown.lost(Lost::Disk);
                        folder.move_archive(Place::Outbox, Place::Refused, &name, &name)?;
                        n_waiting -= 1;
                    }
                }
            }
            shown.update(|showing| showing.n_outbox = n_waiting);
            Ok(None)
        })
        .await?
    }

    async fn push(&mut self, parcel: &Parcel) -> Result<(), PushError> {
        // A piece of no bytes asks where to go on.
        let mut progress = self.client.push(self.chunk(parcel, 0, 0)).await?;
        while !progress.is_stored {
            let offset = progress.n_received.min(parcel.bytes.len() as u64) as usize;
            let end = parcel.bytes.len().min(offset + CHUNK_BYTES_MAX);
            progress = self.client.push(self.chunk(parcel, offset, end)).await?;
        }
        self.backoff.reset();
        let now = self.clock.now();
        self.shown.pushed(parcel.record.window, now.as_ns());
        self.folder.remove(Place::Outbox, &parcel.name, ARCHIVE);
        self.folder.remove(Place::Outbox, &parcel.name, RECORD);
        let after_s = seconds(Timestamp(parcel.record.closed_ns), now);
        info!(window = parcel.record.window, n_bytes = parcel.bytes.len(), after_s, "window sent");
        Ok(())
    }

    fn chunk(&self, parcel: &Parcel, offset: usize, end: usize) -> Chunk {
        Chunk {
            archive_id: parcel.archive_id,
            n_bytes: parcel.bytes.len() as u64,
            offset: offset as u64,
            bytes: parcel.bytes.slice(offset..end),
            source: self.source.clone(),
            sequence: parcel.record.window,
            opened_ns: parcel.record.opened_ns,
            closed_ns: parcel.record.closed_ns,
        }
    }

    /// What arrived may have been spoilt on the way or on the receiver's disk: only an archive that is
    /// refused again and again is bad.
    fn is_refused_for_good(&mut self, parcel: &Parcel) -> bool {
        if self.refusals.0 != parcel.name {
            self.refusals = (parcel.name.clone(), 0);
        }
        self.refusals.1 += 1;
        self.refusals.1 >= REFUSALS_MAX
    }

    fn refused(&self, parcel: &Parcel, refused: &PushError) {
        error!(window = parcel.record.window, error = %refused, "the receiver refuses a window");
        self.shown.lost(Lost::Refused);
        let moved =
            self.folder.move_archive(Place::Outbox, Place::Refused, &parcel.name, &parcel.name);
        if let Err(error) = moved {
            error!(error = format!("{error:#}"), "a refused archive cannot be put aside");
        }
    }

    /// Waits before the next attempt; false if there is none.
    async fn pause(&mut self, error: &PushError, is_last: bool, shutdown: &mut Shutdown) -> bool {
        let is_new = self.shown.get().push_problem.is_none();
        self.shown.update(|showing| {
            showing.n_push_retries += 1;
            showing.push_problem = Some(error.to_string());
        });
        if is_new {
            warn!(%error, "the receiver of archives cannot be reached; they wait on disk");
        }
        if is_last && shutdown.phase() != Phase::Serving {
            return false;
        }
        let pause = self.backoff.next(error.retry_after());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // One more attempt, and then the end.
            () = shutdown.reached(Phase::Draining), if shutdown_is_news(shutdown) => {}
        }
        true
    }
}

fn shutdown_is_news(shutdown: &Shutdown) -> bool {
    shutdown.phase() == Phase::Serving
}

fn read(folder: &Folder, name: &str) -> Result<Parcel> {
    let path = folder.path(Place::Outbox, name, ARCHIVE);
    let bytes = Bytes::from(fs::read(&path).with_context(|| path.display().to_string())?);
    let archive = Archive::open(bytes.clone(), &Limits::default())?;
    archive.check()?;
    let record = fs::read(folder.path(Place::Outbox, name, RECORD));
    let record =
        record.map_or_else(|_| Ok(Record::default()), |json| serde_json::from_slice(&json));
    let archive_id = archive.info().archive_id;
    Ok(Parcel { name: name.to_owned(), bytes, archive_id, record: record? })
}

//! Rotated files `.otlp.pb.zst` in a folder. A file has its name when it is complete and on disk,
//! and not before: what is being written ends in `.unfinished`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use spanwise_source::{RequestWriter, write_requests};

use super::writer::Sink;
use crate::clock::Clock;

/// Files in a folder.
#[derive(Debug)]
pub struct Rotated {
    dir: PathBuf,
    every: Duration,
    n_bytes_max: u64,
    clock: Clock,
    current: Option<Current>,
    n_files: u64,
}

#[derive(Debug)]
struct Current {
    writer: RequestWriter,
    due: Instant,
    n_bytes: u64,
}

impl Rotated {
    /// Files in `dir`, which is made if it is not there. What an earlier process left unfinished is
    /// removed.
    pub fn open(dir: PathBuf, every: Duration, n_bytes_max: u64, clock: Clock) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.to_string_lossy().ends_with(".otlp.pb.zst.unfinished") {
                // Nobody reads it, so that it stays is no harm.
                drop(fs::remove_file(path));
            }
        }
        Ok(Self { dir, every, n_bytes_max, clock, current: None, n_files: 0 })
    }

    fn begin(&mut self) -> Result<&mut Current> {
        if self.current.is_none() {
            // The time makes names of one process differ from those of another.
            let name =
                format!("traces-{}-{:06}.otlp.pb.zst", self.clock.now().as_ns(), self.n_files);
            self.n_files += 1;
            let writer = write_requests(&self.dir.join(name))?;
            let due = self.clock.instant() + self.every;
            self.current = Some(Current { writer, due, n_bytes: 0 });
        }
        self.current.as_mut().context("a file was just begun")
    }
}

impl Sink for Rotated {
    fn write(&mut self, request: &[u8]) -> Result<bool> {
        let current = self.begin()?;
        current.writer.push(request)?;
        current.n_bytes += request.len() as u64;
        Ok(false)
    }

    fn finish(&mut self, now: bool) -> Result<bool> {
        let instant = self.clock.instant();
        let is_due = |current: &Current| {
            now || instant >= current.due || current.n_bytes >= self.n_bytes_max
        };
        if !self.current.as_ref().is_some_and(is_due) {
            return Ok(false);
        }
        let Some(current) = self.current.take() else { return Ok(false) };
        current.writer.finish()?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.with_context(|| format!("cannot sync {}", self.dir.display()))?;
        Ok(true)
    }

    fn due(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.due)
    }

    fn abandon(&mut self) {
        self.current = None;
    }
}

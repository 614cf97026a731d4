//! The thread that writes windows as they are recorded.
//!
//! An open window is a file that grows; when it closes, the file is synced and named, and only then
//! counts as closed. So an open window takes no memory, and one that has closed is fitted by whoever
//! is there after a kill.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use spanwise_model::Timestamp;
use tracing::{error, info, warn};

use super::fitter::Waiting;
use super::folder::{Folder, IDS, OPEN, Place, RECORD, WINDOW};
use super::record::{Record, hex};
use super::showing::{Lost, Shown};
use crate::clock::Clock;
use crate::pipeline::windows::{Closed, Piece, TapStats};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes before each request of a window: its length.
const FRAME_BYTES: usize = 4;

/// The thread's part.
#[derive(Debug)]
pub struct Writer {
    /// Where windows are written.
    pub folder: Arc<Folder>,
    /// Who fits them.
    pub waiting: Arc<Waiting>,
    /// Where they come from.
    pub pieces: Receiver<Piece>,
    /// Counts what is taken from there.
    pub tap: Arc<TapStats>,
    /// Where losses are counted.
    pub shown: Shown,
    /// Numbers windows.
    pub clock: Clock,
    /// The window that is open.
    pub window: Option<Window>,
    /// Number of the last window.
    pub last: u64,
}

/// A window that is written to.
#[derive(Debug)]
pub struct Window {
    number: u64,
    file: BufWriter<File>,
    /// Why something of it could not be written.
    failed: Option<std::io::Error>,
}

/// The name of a window.
pub(super) fn name(number: u64) -> String {
    format!("{number:015}")
}

/// The requests of a window, as far as they are whole: of one that was open when the power went the
/// end may be missing.
pub(super) fn requests(bytes: &Bytes) -> Vec<Bytes> {
    let mut requests = Vec::new();
    let mut at = 0;
    while let Some(frame) = bytes.get(at..at + FRAME_BYTES) {
        let len = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        let begin = at + FRAME_BYTES;
        if len == 0 || bytes.len() - begin < len {
            break;
        }
        requests.push(bytes.slice(begin..begin + len));
        at = begin + len;
    }
    requests
}

impl Writer {
    /// Takes up what an earlier process left: windows that closed, and what there is of one that did
    /// not.
    pub fn recover(&mut self) -> Result<()> {
        for name in self.folder.names(Place::Windows, OPEN)? {
            let opened = Timestamp::from_millis(name.parse().unwrap_or_default());
            let closed = Closed { opened, closed: self.clock.now(), ..Closed::default() };
            let mut record = Record::new(opened.as_ns() / 1_000_000, &closed);
            "found".clone_into(&mut record.reason);
            let path = self.folder.path(Place::Windows, &name, OPEN);
            record.bytes_otlp = std::fs::metadata(&path)?.len();
            File::open(&path)?.sync_all()?;
            self.folder.write(Place::Windows, &name, RECORD, &serde_json::to_vec(&record)?)?;
            self.folder.rename(&path, Place::Windows, &name, WINDOW)?;
            info!(window = record.window, "an open window was found and is closed as it is");
        }
        for name in self.folder.names(Place::Windows, WINDOW)? {
            self.last = self.last.max(name.parse().unwrap_or_default());
            self.wait(&name);
        }
        Ok(())
    }

    /// Writes until the worker has ended. Blocks: run it on a thread of its own.
    pub fn run(mut self) {
        while let Ok(piece) = self.pieces.recv() {
            self.tap.taken(&piece);
            match piece {
                Piece::Spans { request, .. } => self.append(&request),
                Piece::Close(closed) => self.close(&closed),
            }
        }
        self.waiting.close();
    }

    fn append(&mut self, request: &[u8]) {
        if self.window.is_none() {
            self.window = self.open().inspect_err(log).ok();
        }
        // Without a file the window is counted as lost when it closes.
        let Some(window) = &mut self.window else { return };
        if window.failed.is_some() {
            return;
        }
        // A piece is about a mebibyte.
        let len = (request.len() as u32).to_le_bytes();
        let written = window.file.write_all(&len).and_then(|()| window.file.write_all(request));
        window.failed = written.err();
    }

    fn open(&mut self) -> Result<Window> {
        // Milliseconds tell a person when it was, and no counter has to be kept.
        let number = (self.clock.now().as_ns() / 1_000_000).max(self.last + 1);
        self.last = number;
        let path = self.folder.path(Place::Windows, &name(number), OPEN);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Window { number, file, failed: None })
    }

    fn close(&mut self, closed: &Closed) {
        let Some(window) = self.window.take() else {
            self.shown.lost(Lost::Disk);
            return;
        };
        let name = name(window.number);
        match self.finish(window, &name, closed) {
            Ok(()) => self.wait(&name),
            Err(error) => {
                log(&error);
                self.shown.lost(Lost::Disk);
                self.remove(&name);
            }
        }
    }

    fn finish(&self, mut window: Window, name: &str, closed: &Closed) -> Result<()> {
        if let Some(error) = window.failed {
            return Err(error).context("the window is incomplete");
        }
        window.file.flush()?;
        window.file.get_ref().sync_all()?;
        let ids: String = closed.verbatim.iter().map(|id| hex(&id.0) + "\n").collect();
        let record = Record::new(window.number, closed);
        self.folder.write(Place::Windows, name, IDS, ids.as_bytes())?;
        self.folder.write(Place::Windows, name, RECORD, &serde_json::to_vec(&record)?)?;
        let path = self.folder.path(Place::Windows, name, OPEN);
        self.folder.rename(&path, Place::Windows, name, WINDOW)
    }

    /// Lets a closed window wait to be fitted. If too many wait, the oldest is lost.
    fn wait(&self, name: &str) {
        if let Some(oldest) = self.waiting.push(name.to_owned()) {
            error!(window = oldest, "too many windows wait to be fitted; the oldest is lost");
            self.shown.lost(Lost::Waiting);
            self.remove(&oldest);
        }
        let n_waiting = self.waiting.len() as u64;
        self.shown.update(|showing| showing.n_waiting = n_waiting);
    }

    fn remove(&self, name: &str) {
        for ending in [OPEN, WINDOW, IDS, RECORD] {
            self.folder.remove(Place::Windows, name, ending);
        }
    }
}

fn log(error: &anyhow::Error) {
    warn!(error = format!("{error:#}"), "a window cannot be written");
}

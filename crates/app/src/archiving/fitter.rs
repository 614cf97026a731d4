//! The thread that turns windows into archives: at most one core, and one window at a time.

use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use spanwise_archive::fidelity::{Fidelity, Scorer};
use spanwise_archive::traces::{Builder, Window};
use spanwise_archive::{Archive, Compressed, KeepVerbatim, Level, Limits, Options, compress};
use spanwise_model::{Timestamp, TraceId};
use spanwise_otlp::transport::{Phase, Shutdown};
use tracing::{error, info, warn};

use super::folder::{ARCHIVE, Folder, IDS, Place, RECORD, WINDOW};
use super::guarded;
use super::ladder::Ladder;
use super::news::News;
use super::priority::give_way;
use super::record::{Record, hex, seconds};
use super::showing::{Lost, Shown};
use super::writer::requests;
use crate::clock::Clock;

/// Windows that may wait to be fitted. They wait on disk.
const WAITING_MAX: usize = 8;

/// Bytes of memory that a byte of a window's requests takes while it is fitted: `archive compress`
/// of 86 MB held 392 MB.
pub const MEMORY_FACTOR: u64 = 5;
/// Once the process stops, windows are begun for this long.
const ENDING_NS: u64 = 5 * 1_000_000_000;

/// Windows that wait to be fitted, by name.
#[derive(Debug, Default)]
pub struct Waiting {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    names: VecDeque<String>,
    is_closed: bool,
}

/// The thread's part.
#[derive(Debug)]
pub struct Fitter {
    /// Where windows are, and archives go.
    pub folder: Arc<Folder>,
    /// What is to be fitted.
    pub waiting: Arc<Waiting>,
    /// Which level.
    pub ladder: Ladder,
    /// Time of a window: a fit that takes longer cannot keep up.
    pub window_s: f64,
    /// Whether archives are for another spanwise.
    pub is_pushed: bool,
    /// Told when there is one more, and when there are no more.
    pub fitted: Arc<News>,
    /// Once it begins, what is not fitted soon waits for the next start.
    pub shutdown: Shutdown,
    /// Where it is shown.
    pub shown: Shown,
    /// The clock.
    pub clock: Clock,
}

/// An archive that will do.
struct Fit {
    bytes: Vec<u8>,
    level: Level,
}

impl Waiting {
    /// Adds a window. If that is one too many, the oldest goes.
    pub fn push(&self, name: String) -> Option<String> {
        let mut state = self.state.lock();
        state.names.push_back(name);
        let oldest = (state.names.len() > WAITING_MAX).then(|| state.names.pop_front()).flatten();
        drop(state);
        self.wake.notify_one();
        oldest
    }

    /// Windows that wait.
    pub fn len(&self) -> usize {
        self.state.lock().names.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No further window comes.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_all();
    }

    /// The next window; `None` at the end.
    fn next(&self) -> Option<String> {
        let mut state = self.state.lock();
        loop {
            if let Some(name) = state.names.pop_front() {
                return Some(name);
            }
            if state.is_closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }
}

impl Fitter {
    /// Fits until no window comes and none waits. Blocks: run it on a thread of its own.
    pub fn run(mut self) {
        give_way();
        let mut ending = None;
        while let Some(name) = self.waiting.next() {
            if self.shutdown.phase() != Phase::Serving {
                let began = *ending.get_or_insert(self.clock.now());
                if self.clock.now().since(began) > ENDING_NS {
                    info!(n_windows = self.waiting.len() + 1, "windows wait for the next start");
                    break;
                }
            }
            if let Err(error) = self.window(&name) {
                let error = format!("{error:#}");
                error!(window = name, error, "a window cannot be archived and is lost");
                self.shown.lost(Lost::Unfit);
                let window = self.folder.path(Place::Windows, &name, WINDOW);
                // It is lost as an archive; what was recorded may still be of use to a person.
                drop(self.folder.rename(&window, Place::Refused, &name, WINDOW));
            }
            for ending in [WINDOW, IDS, RECORD] {
                self.folder.remove(Place::Windows, &name, ending);
            }
            let n_waiting = self.waiting.len() as u64;
            self.shown.update(|showing| {
                showing.n_waiting = n_waiting;
                showing.fitting_bytes = 0;
            });
        }
        self.fitted.last();
    }

    fn window(&mut self, name: &str) -> Result<()> {
        let began = self.clock.now();
        let record = fs::read(self.folder.path(Place::Windows, name, RECORD));
        let mut record: Record = serde_json::from_slice(&record.context("its record")?)?;
        let bytes = fs::read(self.folder.path(Place::Windows, name, WINDOW));
        let requests = requests(&bytes.context("its spans")?.into());
        self.shown.update(|showing| showing.fitting_bytes = record.bytes_otlp);
        record.waited_s = seconds(Timestamp(record.closed_ns), began);
        let verbatim = self.verbatim(name);
        let Fit { bytes, level } = self.fit(&requests, &verbatim, &mut record)?;
        drop(requests);
        let ended = self.clock.now();
        record.fit_s = seconds(began, ended);
        record.fitted_ns = ended.as_ns();
        record.bytes = bytes.len() as u64;
        level.name().clone_into(&mut record.level);
        let place = if self.is_pushed { Place::Outbox } else { Place::Stored };
        self.folder.write(place, name, RECORD, &serde_json::to_vec(&record)?)?;
        self.folder.write(place, name, ARCHIVE, &bytes)?;
        self.tell(&record, level);
        self.make_room(place);
        self.fitted.one();
        Ok(())
    }

    /// Ids of the traces that go as they are.
    fn verbatim(&self, name: &str) -> KeepVerbatim {
        let ids = fs::read_to_string(self.folder.path(Place::Windows, name, IDS));
        let ids = ids.unwrap_or_default();
        KeepVerbatim::Traces(ids.lines().filter_map(TraceId::from_hex).collect())
    }

    /// Tries one level after the other until one will do.
    fn fit(
        &mut self,
        requests: &[Bytes],
        verbatim: &KeepVerbatim,
        record: &mut Record,
    ) -> Result<Fit> {
        let is_behind = !self.waiting.is_empty();
        let first = self.ladder.begin(record.spans, self.window_s, is_behind);
        for level in self.ladder.levels().take_while(|level| *level != first) {
            record.step(level, "windows wait, and it would take too long".to_owned());
            self.shown.update(|showing| showing.n_out_of_time += 1);
        }
        let options = Options {
            seed: record.window,
            keep_verbatim: verbatim.clone(),
            // They were chosen within their share already.
            verbatim_share: 1.0,
            ..Options::default()
        };
        let levels: Vec<Level> = self.ladder.levels().filter(|level| *level <= first).collect();
        for level in levels {
            let began = self.clock.now();
            let options = Options { level, ..options.clone() };
            let tried = guarded("the fit", || self.try_level(requests, &options, record));
            self.ladder.took(level, record.spans, seconds(began, self.clock.now()));
            match tried {
                Ok(None) => {}
                Ok(Some(bytes)) => return Ok(Fit { bytes, level }),
                Err(error) if level == Level::Lossless => return Err(error),
                Err(error) => record.step(level, format!("{error:#}")),
            }
        }
        anyhow::bail!("no level would do")
    }

    /// The archive at a level; `None` if its score is below the floor.
    fn try_level(
        &self,
        requests: &[Bytes],
        options: &Options,
        record: &mut Record,
    ) -> Result<Option<Vec<u8>>> {
        let Compressed { bytes, summary } = compress(requests.iter().cloned(), options)?;
        let bytes = Bytes::from(bytes);
        let archive = Archive::open(bytes.clone(), &Limits::default())?;
        let fidelity = score(&archive, options.level, requests)?;
        let lacks = fidelity.as_ref().and_then(|fidelity| self.ladder.shortfall(fidelity));
        if let Some(lacks) = lacks {
            warn!(window = record.window, level = %options.level, lacks, "below the floor");
            record.step(options.level, format!("below the floor: {lacks}"));
            self.shown.update(|showing| showing.n_below_floor += 1);
            return Ok(None);
        }
        record.score(fidelity.as_ref());
        record.archive = hex(&archive.info().archive_id);
        (record.traces, record.spans) = (summary.header.n_traces, summary.header.n_spans);
        record.traces_verbatim = match options.level {
            Level::Lossless => summary.header.n_traces,
            _ => summary.n_traces_verbatim,
        };
        Ok(Some(bytes.into()))
    }

    fn tell(&self, record: &Record, level: Level) {
        self.shown.written(record, level);
        let (waited_s, fit_s) = (record.waited_s, record.fit_s);
        let below = record.steps.last().map(|step| format!("{}: {}", step.level, step.why));
        info!(
            window = record.window,
            n_traces = record.traces,
            n_spans = record.spans,
            n_bytes = record.bytes,
            %level,
            n_verbatim = record.traces_verbatim,
            waited_s,
            fit_s,
            below,
            "window archived"
        );
    }

    fn make_room(&self, place: Place) {
        let n_removed = self.folder.retain(place).unwrap_or_default();
        if n_removed == 0 {
            return;
        }
        self.shown.update(|showing| showing.n_removed += n_removed);
        if place == Place::Outbox {
            error!(n_removed, "the outbox is full; its oldest archives are lost");
            (0..n_removed).for_each(|_| self.shown.lost(Lost::Outbox));
        }
    }
}

/// How well an archive answers what its window answers: its own score, or one made now where it has
/// none. `None` for what is lossless.
fn score(archive: &Archive, level: Level, requests: &[Bytes]) -> Result<Option<Fidelity>> {
    if level == Level::Lossless {
        return Ok(None);
    }
    if let Some(fidelity) = archive.fidelity()? {
        return Ok(Some(fidelity));
    }
    let mut real = Builder::new();
    for request in requests {
        real.push(request.clone())?;
    }
    let mut made = Builder::new();
    archive.generate(&mut |request| made.push(request).map_err(std::io::Error::other))?;
    let whole = |builder: Builder| -> Result<Window> { Ok(builder.finish(|_| false)?) };
    let mut scorer = Scorer::new(&whole(real)?.traces);
    Ok(Some(scorer.score(&whole(made)?.traces, 1.0)))
}

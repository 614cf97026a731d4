//! How the story is told: line by line for people, or as one JSON document at its end.

use anyhow::Result;
use parking_lot::Mutex;
use serde::Serialize;

use crate::cli::Format;
use crate::cli::output::Output;

/// What is told, and what of it is kept for the document.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    output: &'a Output,
    seed: u64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    events: Vec<Moment>,
    n_acted: u64,
    n_held: u64,
    drained: Option<bool>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
struct Moment {
    /// Since the start.
    at_s: u64,
    event: String,
    text: String,
}

/// The whole story.
#[derive(Debug, Serialize)]
struct Document<'a> {
    seed: u64,
    events: &'a [Moment],
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct Summary {
    /// Whether the story came to its end.
    complete: bool,
    scaled: u64,
    held_back: u64,
    /// Whether everything was drained; `null` if that was not tried.
    drained: Option<bool>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(output: &'a Output, seed: u64) -> Self {
        Self { output, seed, told: Mutex::default() }
    }

    /// A line that belongs to no moment.
    pub(super) fn line(&self, text: &str) -> Result<()> {
        match self.output.format {
            Format::Text => self.output.line(text),
            Format::Json => Ok(()),
        }
    }

    /// Something that happened `at_s` seconds after the start.
    pub(super) fn event(&self, at_s: u64, event: &str, text: &str) -> Result<()> {
        let (event, text) = (event.to_owned(), text.to_owned());
        let (minutes, seconds) = (at_s / 60, at_s % 60);
        self.line(&format!(" {minutes:02}:{seconds:02}  {event:<10} {text}"))?;
        self.told.lock().events.push(Moment { at_s, event, text });
        Ok(())
    }

    /// A decision that was told.
    pub(super) fn decided(&self, acted: bool) {
        let mut told = self.told.lock();
        if acted {
            told.n_acted += 1;
        } else {
            told.n_held += 1;
        }
    }

    /// Decisions told: carried out, and held back.
    pub(super) fn n_decided(&self) -> (u64, u64) {
        let told = self.told.lock();
        (told.n_acted, told.n_held)
    }

    /// The story came to its end.
    pub(super) fn closed(&self, drained: bool) {
        self.told.lock().drained = Some(drained);
    }

    /// Prints the document, if that is what was asked for.
    pub(super) fn finish(&self, complete: bool) -> Result<()> {
        let told = self.told.lock();
        let summary = Summary {
            complete,
            scaled: told.n_acted,
            held_back: told.n_held,
            drained: told.drained,
        };
        let document = Document { seed: self.seed, events: &told.events, summary };
        match self.output.format {
            Format::Json => self.output.line(&serde_json::to_string_pretty(&document)?),
            Format::Text => Ok(()),
        }
    }
}

//! Where results and notes go: data to stdout, the rest to stderr, progress only on a terminal.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Format, Global};

/// Writes results the way the user asked.
#[derive(Clone, Debug)]
pub struct Output {
    /// Format of what goes to stdout.
    pub format: Format,
    file: Option<PathBuf>,
    progress: bool,
}

impl Output {
    /// The output of a command.
    pub fn new(global: &Global) -> Self {
        Self {
            format: global.format(),
            file: global.file().map(Path::to_owned),
            progress: !global.no_progress,
        }
    }

    /// The file to write that `-o` names.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Prints one JSON document, or the text of `render`.
    pub fn result<T: Serialize>(&self, value: &T, render: impl FnOnce(&T) -> String) -> Result<()> {
        match self.format {
            Format::Json => self.line(&serde_json::to_string_pretty(value)?),
            Format::Text => self.line(render(value).trim_end()),
        }
    }

    /// Prints a line to stdout. A closed pipe is not an error.
    pub fn line(&self, text: &str) -> Result<()> {
        match writeln!(std::io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Prints a note to stderr. Failing to is not worth failing for.
    pub fn note(&self, text: &str) {
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }

    /// A progress bar of `len` steps on a terminal, else one that shows nothing.
    pub fn progress(&self, len: u64, what: &'static str) -> ProgressBar {
        if !self.progress || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template("{msg:<12} {wide_bar} {human_pos}/{human_len} {eta}");
        let bar = ProgressBar::new(len).with_message(what);
        match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

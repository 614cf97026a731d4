//! From a file to validated settings, or to a report of everything that is wrong with it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use spanwise_model::{Problem, Severity};

use super::built::{self, Config};
use super::raw::RawConfig;
use super::yaml::{self, Positions};

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "spanwise.yaml";

/// A file's settings, with what was remarked on them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The settings as written.
    pub raw: RawConfig,
    /// Warnings, rendered; empty if there are none.
    pub warnings: String,
}

/// Reads a text file of at most 1 MiB. What is no file, such as a device, is read no further either.
pub fn read(path: &Path) -> Result<String> {
    let named = || path.display().to_string();
    let mut bytes = Vec::new();
    let limit = yaml::FILE_BYTES_MAX as u64;
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .with_context(named)?;
    if bytes.len() as u64 > limit {
        bail!(
            "{}: more than {limit} bytes, the limit of a configuration\n  fix: split it, or remove what is not configuration",
            path.display()
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{}: not text: no UTF-8 at byte {at}\n  fix: save it as UTF-8", path.display())
    })
}

/// Loads the file, or `./spanwise.yaml` if it is there, or the defaults; `overrides` is applied to
/// what was read before it is validated. The error is ready to be shown.
pub fn load(file: Option<&Path>, overrides: impl FnOnce(&mut RawConfig)) -> Result<Loaded> {
    let default = PathBuf::from(DEFAULT_FILE);
    let file = match file {
        Some(file) => Some(file),
        None => default.is_file().then_some(default.as_path()),
    };
    let (name, text) = match file {
        Some(file) => (file.display().to_string(), read(file)?),
        None => ("defaults".to_owned(), String::new()),
    };
    parse(&name, &text, overrides)
}

/// The same for text already read.
pub fn parse(name: &str, text: &str, overrides: impl FnOnce(&mut RawConfig)) -> Result<Loaded> {
    let mut raw = if text.trim().is_empty() {
        RawConfig::default()
    } else {
        yaml::parse(text, name).map_err(anyhow::Error::msg)?
    };
    overrides(&mut raw);
    let (config, problems) = built::build(&raw);
    let rendered = render(&problems, text, name);
    match config {
        Some(config) if !problems.iter().any(is_error) => {
            Ok(Loaded { config, raw, warnings: rendered })
        }
        _ => bail!("{rendered}"),
    }
}

/// Every problem with its place, its remedy, and the line it stands on.
pub fn render(problems: &[Problem], text: &str, name: &str) -> String {
    let positions = Positions::of(text);
    let mut out = String::new();
    for problem in problems {
        let level = if is_error(problem) { "error" } else { "warning" };
        let path = yaml::one_line(&problem.path);
        let message = yaml::one_line(&problem.message);
        let _ = writeln!(out, "{level}: {} {path}: {message}", problem.code);
        if let Some((line, column)) = positions.find(&problem.path) {
            let _ = writeln!(out, "{}", yaml::snippet(text, name, line, column));
        }
        let _ = writeln!(out, "  fix: {}", yaml::one_line(&problem.fix));
    }
    let n_errors = problems.iter().filter(|problem| is_error(problem)).count();
    if !problems.is_empty() {
        let n_warnings = problems.len() - n_errors;
        let (errors, warnings) = (counted(n_errors, "error"), counted(n_warnings, "warning"));
        let _ = write!(out, "{name}: {errors}, {warnings}");
    }
    out
}

/// A number with its noun: `1 rule`, `2 rules`.
pub fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

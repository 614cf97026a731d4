//! `cargo xtask`: the checks of this repository that cargo and clippy cannot express, the figures of
//! the style guide, and the one command that runs every check.
//!
//! It uses the standard library alone, so that it builds in a second on a fresh clone and no
//! dependency of the product can break the tool that watches over dependencies.

mod check;
mod fault;
mod manifest;
mod numbers;
mod rust;
mod tidy;
mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::tree::Tree;

const USAGE: &str = "\
usage: cargo xtask <command>

  tidy               layers, module cycles, file shape, manifests, formats, documents, words
  numbers            the figures of STYLE.md section 5
  check [STEP ...]   fmt typos tidy clippy test doc deny; all of them without an argument
  help               this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    match run(&arguments, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            // Nothing is left to tell if even this cannot be written.
            writeln!(std::io::stderr(), "error: {message}").unwrap_or_default();
            ExitCode::from(2)
        }
    }
}

/// `Ok(false)` when a check found something; `Err` when it could not run.
fn run(arguments: &[String], out: &mut dyn Write) -> Result<bool, String> {
    let root = repository_root()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&Tree::load(&root)?, out).map_err(|e| e.to_string()),
        ["numbers"] => {
            numbers::print(&Tree::load(&root)?, out).map_err(|e| e.to_string())?;
            Ok(true)
        }
        ["check", steps @ ..] => check::run(&root, steps, out),
        ["help" | "--help" | "-h"] => {
            out.write_all(USAGE.as_bytes()).map_err(|e| e.to_string())?;
            Ok(true)
        }
        _ => Err(format!("unknown command `{}`\n\n{USAGE}", words.join(" "))),
    }
}

/// Cargo tells where this package lies; the repository is the folder above it.
fn repository_root() -> Result<PathBuf, String> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| "xtask has no parent folder".to_owned())
}

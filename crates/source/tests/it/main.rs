//! What the crate reads and writes, seen from outside.
#![cfg(test)]

mod columns;
mod corpus;
mod hostile;
mod mapping;
mod otlp;
mod recorded;

use std::path::{Path, PathBuf};

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

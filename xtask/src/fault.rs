//! What a check found, and where.

use std::fmt;

/// One fault. Printed as `path:line: check: message`, which editors turn into a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// Path from the root.
    pub(crate) path: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// Name of the check, as exceptions spell it.
    pub(crate) check: &'static str,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// What an exception's number is held against: lines of a file that is too long, else 1 for
    /// each fault of the check in the file.
    pub(crate) weight: usize,
}

impl Fault {
    /// A fault of weight 1.
    pub(crate) fn new(
        check: &'static str,
        path: &str,
        line: usize,
        message: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line, check, message: message.into(), weight: 1 }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.check, self.message)
    }
}

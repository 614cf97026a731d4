//! How a command ended.

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// Done.
pub const OK: Exit = Exit(0);
/// Ran, and the answer is no: a check found errors, a test failed, nothing was found.
pub const NEGATIVE: Exit = Exit(1);
/// Could not run: usage, configuration, a port, a file.
pub const FAILED: Exit = Exit(2);
/// A stage of `serve` panicked. A supervisor should start it again.
pub const PANICKED: Exit = Exit(70);
/// `serve` cannot write its log any more: the disk failed twice. A supervisor should start it again, so
/// that it sees what the disk really holds.
pub const DISK_FAILED: Exit = Exit(74);
/// `serve` did not finish draining in time; a supervisor should start it again.
pub const DRAIN_TIMEOUT: Exit = Exit(124);

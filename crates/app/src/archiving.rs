//! Windows of traces as archives, and archives as traces again: the streaming half of the archive.
//!
//! ```text
//! worker ─ pieces ─► writer ─► windows/ ─► fitter ─► stored/   or   outbox/ ─► pusher ═ Push ═►
//! ═ Push ═► inbox: incoming/ ─► inbox/ ─► emitter ─► destinations `send: archives` ─► stored/
//! ```
//!
//! Every arrow ends in a file that is there whole or not at all, and what is before it goes only
//! then: a window that has closed survives the end of any process, and a receiver that is away finds
//! everything when it is back. What is done again after a kill gives the same spans with the same
//! ids. Each part runs on a thread or task of its own; none of them is waited for by the worker.

mod allowance;
mod emitter;
mod fitter;
mod folder;
mod inbox;
mod ladder;
mod news;
mod priority;
mod pusher;
mod record;
mod showing;
mod signal;
mod writer;

use anyhow::{Result, bail};

pub use allowance::Allowance;
pub use emitter::Emitter;
pub use fitter::{Fitter, MEMORY_FACTOR, Waiting};
pub use folder::{Folder, Place};
pub use inbox::Inbox;
pub use ladder::Ladder;
pub use news::News;
pub use pusher::Pusher;
pub use record::{Received, Record, Step};
pub use showing::{Lost, Showing, Shown};
pub use signal::Signal;
pub use writer::Writer;

/// A fault in how one archive is worked on costs that archive, or that level of it, not what comes after.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let work = std::panic::AssertUnwindSafe(work);
    std::panic::catch_unwind(work).unwrap_or_else(|_| bail!("{what} panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_error_of_what_was_worked_on() {
        let fault = guarded("the fit", || -> Result<()> { panic!("index out of bounds") });
        assert_eq!(fault.unwrap_err().to_string(), "the fit panicked");
        assert_eq!(guarded("the fit", || Ok(7)).unwrap(), 7);
    }
}

//! What the tests share: spanwise in this process and as a process of its own, a client that believes
//! nothing, requests, and waiting.

use std::time::{Duration, Instant};

pub(crate) mod clients;
pub(crate) mod config_text;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod sdk;
pub(crate) mod server;
pub(crate) mod sink;

/// Longest wait for anything. Generous, because a busy machine is no reason to fail.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// Polls until there is a value.
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", PATIENCE.as_secs());
        #[expect(
            clippy::disallowed_methods,
            reason = "a pause between polls, not a wait for an event"
        )]
        std::thread::sleep(POLL);
    }
}

/// Polls until a condition holds.
pub(crate) fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

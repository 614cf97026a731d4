//! Wakes a thread that waits for something to do.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Set by anybody, taken by one.
#[derive(Debug, Default)]
pub struct Signal {
    is_set: Mutex<bool>,
    wake: Condvar,
}

impl Signal {
    /// Wakes whoever waits, or will.
    pub fn set(&self) {
        *self.is_set.lock() = true;
        self.wake.notify_one();
    }

    /// Waits until it is set, at most this long; it is not set afterwards.
    pub fn wait(&self, at_most: Duration) {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.wake.wait_for(&mut is_set, at_most);
        }
        *is_set = false;
    }
}

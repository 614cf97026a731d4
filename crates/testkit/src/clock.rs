//! Time that passes when a test says so.

use std::time::Duration;

use spanwise_model::Timestamp;

use crate::span::EPOCH;

/// A now that starts at [`EPOCH`] and never goes backwards.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    now: Timestamp,
}

impl VirtualClock {
    /// The present time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass and returns the new present.
    pub fn advance(&mut self, by: Duration) -> Timestamp {
        self.now = self.now.plus(by);
        self.now
    }

    /// Goes to a moment, or stays if it has passed.
    pub fn advance_to(&mut self, moment: Timestamp) -> Timestamp {
        self.now = self.now.max(moment);
        self.now
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self { now: EPOCH }
    }
}

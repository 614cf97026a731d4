//! The one clock. *Now* starts at the wall clock's time and advances with the monotonic clock, so
//! that a stepped wall clock neither fires a rule nor closes a window, and now never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use spanwise_model::Timestamp;

/// Reads *now*. Cheap to copy; every copy agrees.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that starts at the wall clock's time.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Timestamp::default().plus(wall), started: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.wall.plus(self.started.elapsed())
    }

    /// The monotonic clock, for waiting.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// When the clock started.
    pub fn started_at(&self) -> Timestamp {
        self.wall
    }
}

//! Tells a task of a thread's work.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Told by a thread, waited for by one task.
#[derive(Debug, Default)]
pub struct News {
    notify: Notify,
    is_last: AtomicBool,
}

impl News {
    /// There is one more.
    pub fn one(&self) {
        self.notify.notify_one();
    }

    /// There are no more.
    pub fn last(&self) {
        self.is_last.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether there are no more. Ask before looking for what is there.
    pub fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Acquire)
    }

    /// Waits until something is told that was not waited for.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }
}

//! How the application tells every connection to finish, and later to stop.

use tokio::sync::watch;

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Business as usual.
    Serving,
    /// Nothing new is accepted; what is in flight is finished.
    Draining,
    /// The deadline has passed; connections are closed as they are.
    Aborting,
}

/// The application's end.
#[derive(Debug)]
pub struct ShutdownHandle {
    phase: watch::Sender<Phase>,
}

/// A listener's, a connection's or an exporter's end. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Receiver<Phase>,
}

/// Both ends. Dropping the handle aborts.
pub fn shutdown_channel() -> (ShutdownHandle, Shutdown) {
    let (send, receive) = watch::channel(Phase::Serving);
    (ShutdownHandle { phase: send }, Shutdown { phase: receive })
}

impl ShutdownHandle {
    /// Stop accepting, finish what is in flight.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Close everything now.
    pub fn abort(&self) {
        self.advance(Phase::Aborting);
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let changed = *phase < to;
            *phase = to.max(*phase);
            changed
        });
    }
}

impl Shutdown {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        if self.phase.has_changed().is_err() {
            return Phase::Aborting;
        }
        *self.phase.borrow()
    }

    /// Waits until the shutdown has reached `phase`. Returns at once if it has. May be dropped and
    /// called again.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the handle is gone, which is the end as well.
        drop(self.phase.wait_for(|now| *now >= phase).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward_and_a_lost_handle_aborts() {
        let (handle, shutdown) = shutdown_channel();
        assert_eq!(shutdown.phase(), Phase::Serving);
        handle.abort();
        handle.drain();
        assert_eq!(shutdown.phase(), Phase::Aborting);

        let (handle, shutdown) = shutdown_channel();
        drop(handle);
        assert_eq!(shutdown.phase(), Phase::Aborting);
    }
}

//! Runs what the network side wants run, and knows when all of it has ended.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use spanwise_otlp::transport::Spawn;
use tokio::sync::watch;

/// Spawns onto the runtime it was made in, and counts.
#[derive(Debug)]
pub struct Spawner {
    running: watch::Sender<u64>,
    runtime: tokio::runtime::Handle,
}

/// Counts a task down however it ends.
struct Running(watch::Sender<u64>);

impl Spawner {
    /// A spawner onto the current runtime.
    pub fn new() -> Self {
        Self { running: watch::Sender::new(0), runtime: tokio::runtime::Handle::current() }
    }

    /// Waits until nothing runs.
    pub async fn finished(&self) {
        // The sender is in this struct, so the wait cannot fail.
        drop(self.running.subscribe().wait_for(|running| *running == 0).await);
    }

    fn enter(&self) -> Running {
        self.running.send_modify(|running| *running += 1);
        Running(self.running.clone())
    }
}

impl Default for Spawner {
    fn default() -> Self {
        Self::new()
    }
}

impl Spawn for Spawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let running = self.enter();
        self.runtime.spawn(async move {
            task.await;
            drop(running);
        });
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) {
        let running = self.enter();
        self.runtime.spawn_blocking(move || {
            job();
            drop(running);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// A shared spawner as the network side takes it.
pub(super) fn shared(spawner: &Arc<Spawner>) -> Arc<dyn Spawn> {
    Arc::clone(spawner) as Arc<dyn Spawn>
}

//! The port through which work is handed to the application: this crate never spawns.

use futures_util::future::BoxFuture;

/// Runs what the network side needs run beside the future it returned. The application implements
/// it and joins everything at shutdown; each task ends by itself once its connection is closed.
pub trait Spawn: Send + Sync {
    /// Runs a future to its end.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a job that may compute for many milliseconds, away from the threads that serve
    /// connections.
    fn offload(&self, job: Box<dyn FnOnce() + Send>);
}

/// Runs `job` through [`Spawn::offload`] and waits for its result. `None` if the application
/// dropped the job, which it does only while it stops.
pub(crate) async fn offload<T: Send + 'static>(
    spawn: &dyn Spawn,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, receive) = tokio::sync::oneshot::channel();
    spawn.offload(Box::new(move || {
        // The receiver is gone only when the request was abandoned; then nobody wants the result.
        drop(send.send(job()));
    }));
    receive.await.ok()
}

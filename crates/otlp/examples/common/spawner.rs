//! An example is its own application: what the library wants run, tokio runs.

use futures_util::future::BoxFuture;
use spanwise_otlp::transport::Spawn;

/// The tokio runtime as the application.
pub(crate) struct Tokio;

impl Spawn for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(job);
    }
}

//! What every request may read.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, watch};

use crate::feed::Feed;
use crate::snapshot::Snapshot;

/// Streams served at once; a browser tab takes one.
const N_STREAMS_MAX: usize = 64;

/// What the API reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(crate) feed: Feed,
    pub(crate) registry: Arc<Registry>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) render: Render,
}

/// Writes the spans of a kept trace as JSON; `None` if they cannot be read.
pub type Render = fn(&[u8]) -> Option<String>;

impl ApiState {
    /// The state behind a router. When the sending half of `snapshot` is dropped, `/livez` fails.
    pub fn new(
        snapshot: watch::Receiver<Arc<Snapshot>>,
        feed: Feed,
        registry: Arc<Registry>,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(N_STREAMS_MAX));
        Self { snapshot, feed, registry, streams, render: |_| None }
    }

    /// The same, with somebody who writes kept traces.
    #[must_use]
    pub fn rendering(self, render: Render) -> Self {
        Self { render, ..self }
    }
}

//! One destination, one request at a time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::exporter::config::{Config, Protocol};
use crate::exporter::grpc::GrpcClient;
use crate::exporter::http::HttpClient;
use crate::status::PartialSuccess;
use crate::transport::{Compression, Spawn, offload};

/// Largest request sent, before compression: what OTLP asks every server to take.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Largest reply read.
pub(super) const REPLY_BYTES_MAX: u64 = 4 << 20;
/// Requests above this are compressed away from the threads that serve connections.
const OFFLOAD_BYTES: usize = 64 << 10;

/// A request was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// What the server had to say: spans it rejected, which are not to be sent again, or a warning.
    pub partial: Option<PartialSuccess>,
}

/// A request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Sending it again later may help.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// When to try again, if the server said so.
        after: Option<Duration>,
    },
    /// Sending it again does not help.
    #[error("{message}")]
    Permanent {
        /// What happened.
        message: String,
    },
}

/// Sends requests to one destination; connects when needed, and anew after a connection broke.
pub struct Client {
    config: Arc<Config>,
    spawn: Arc<dyn Spawn>,
    transport: Transport,
}

enum Transport {
    Grpc(GrpcClient),
    Http(HttpClient),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(config: Config, spawn: Arc<dyn Spawn>) -> Self {
        Self::with(Arc::new(config), spawn)
    }

    /// One more client of the same destination, to have several requests under way. gRPC clients
    /// share the connection that is open now; otherwise it opens its own.
    #[must_use]
    pub fn another(&self) -> Self {
        let mut other = Self::with(Arc::clone(&self.config), Arc::clone(&self.spawn));
        if let (Transport::Grpc(ours), Transport::Grpc(theirs)) =
            (&self.transport, &mut other.transport)
        {
            theirs.share(ours);
        }
        other
    }

    /// Sends one `ExportTraceServiceRequest` and waits for the answer. Tries once.
    pub async fn export(&mut self, request: Bytes) -> Result<Exported, ExportError> {
        if request.len() > REQUEST_BYTES_MAX {
            let message = format!(
                "request of {} bytes exceeds the {REQUEST_BYTES_MAX} a server must take",
                request.len()
            );
            return Err(ExportError::Permanent { message });
        }
        let timeout = self.config.timeout;
        let payload = compress(self.config.compression, request, &*self.spawn).await?;
        let sent = async {
            match &mut self.transport {
                Transport::Grpc(client) => client.export(&self.config, &*self.spawn, payload).await,
                Transport::Http(client) => client.export(&self.config, &*self.spawn, payload).await,
            }
        };
        if let Ok(result) = tokio::time::timeout(timeout, sent).await {
            return result;
        }
        // What is under way on it is abandoned.
        self.disconnect();
        let message = format!("no answer from {} within {timeout:?}", self.config.endpoint);
        Err(ExportError::Retryable { message, after: None })
    }

    /// Closes the connection; the next request opens a new one.
    pub fn disconnect(&mut self) {
        match &mut self.transport {
            Transport::Grpc(client) => client.disconnect(),
            Transport::Http(client) => client.disconnect(),
        }
    }

    fn with(config: Arc<Config>, spawn: Arc<dyn Spawn>) -> Self {
        let transport = match config.protocol {
            Protocol::Grpc => Transport::Grpc(GrpcClient::default()),
            Protocol::HttpProtobuf => Transport::Http(HttpClient::default()),
        };
        Self { config, spawn, transport }
    }
}

impl ExportError {
    /// Whether the request may be sent again.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable { .. })
    }
}

async fn compress(
    compression: Compression,
    request: Bytes,
    spawn: &dyn Spawn,
) -> Result<Bytes, ExportError> {
    if compression == Compression::Identity {
        return Ok(request);
    }
    let compressed = if request.len() > OFFLOAD_BYTES {
        offload(spawn, move || compress_now(compression, &request)).await
    } else {
        Some(compress_now(compression, &request))
    };
    compressed.and_then(Result::ok).ok_or_else(|| ExportError::Retryable {
        message: "request was not compressed: out of memory, or stopping".to_owned(),
        after: None,
    })
}

/// The fastest levels: what is saved beyond them on spans is not worth four times the work.
fn compress_now(compression: Compression, bytes: &[u8]) -> std::io::Result<Bytes> {
    match compression {
        Compression::Identity => Ok(Bytes::copy_from_slice(bytes)),
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes)?;
            encoder.finish().map(Bytes::from)
        }
        Compression::Zstd => zstd::stream::encode_all(bytes, 1).map(Bytes::from),
    }
}

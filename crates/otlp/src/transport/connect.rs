//! A byte stream to a server.

use std::io;

use tokio::net::TcpStream;

use crate::transport::endpoint::{Endpoint, Scheme};

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The system could not connect.
    #[error("cannot connect to {endpoint}: {source}")]
    Io {
        /// Where to.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS was asked for.
    #[error("{endpoint}: https is not built in; use http, or a local proxy for tls")]
    TlsUnsupported {
        /// Where to.
        endpoint: String,
    },
}

impl ConnectError {
    /// Whether trying again cannot help.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::TlsUnsupported { .. })
    }
}

/// Connects. The caller sets the deadline.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
    if endpoint.scheme() == Scheme::Https {
        return Err(ConnectError::TlsUnsupported { endpoint: endpoint.to_string() });
    }
    let failed = |source| ConnectError::Io { endpoint: endpoint.to_string(), source };
    let io = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(failed)?;
    io.set_nodelay(true).map_err(failed)?;
    Ok(io)
}

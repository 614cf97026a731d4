//! A byte stream to a server, in the clear or over TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::transport::endpoint::{Endpoint, Scheme};
use crate::transport::spawn::Spawn;
use crate::transport::tls::{Alpn, Tls};

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The system could not connect.
    #[error("cannot connect to {endpoint}: {source}")]
    Io {
        /// Where to.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS failed: most often the certificate is not trusted.
    #[error(
        "no tls with {endpoint}: {source}; is its certificate trusted? (SSL_CERT_FILE, or the \
         destination's ca_file)"
    )]
    Tls {
        /// Where to.
        endpoint: String,
        /// What TLS said.
        source: io::Error,
    },
    /// The certificates to trust could not be read.
    #[error("cannot connect to {endpoint}: {reason}")]
    Trust {
        /// Where to.
        endpoint: String,
        /// What is wrong with them.
        reason: String,
    },
    /// TLS was asked for and is not in this build.
    #[error(
        "{endpoint}: https is not built in (feature `tls`); use http, or a local proxy for tls"
    )]
    TlsUnsupported {
        /// Where to.
        endpoint: String,
    },
}

impl ConnectError {
    /// Whether trying again cannot help.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::TlsUnsupported { .. } | Self::Trust { .. })
    }
}

/// What both kinds of stream can do.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects. The caller sets the deadline.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    alpn: Alpn,
    tls: &Tls,
    spawn: &dyn Spawn,
) -> Result<Box<dyn Io>, ConnectError> {
    let failed = |source| ConnectError::Io { endpoint: endpoint.to_string(), source };
    let tls = match endpoint.scheme() {
        Scheme::Http => None,
        // Before connecting: it may fail for good.
        Scheme::Https => Some(tls.prepare(endpoint, alpn, spawn).await?),
    };
    let io = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(failed)?;
    io.set_nodelay(true).map_err(failed)?;
    match tls {
        None => Ok(Box::new(io)),
        Some(tls) => tls.handshake(endpoint, io).await,
    }
}

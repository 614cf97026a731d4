//! TLS towards servers: rustls with the system's certificates, or none at all in a build without
//! the feature `tls`.

use bytes::Bytes;

/// What is spoken over the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    Http1,
    Http2,
}

/// Whom to trust. The default is what the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` replace
/// that.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates of authorities trusted as well, in PEM.
    pub ca_pem: Option<Bytes>,
}

#[cfg(feature = "tls")]
mod with_rustls {
    use std::sync::Arc;

    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::{Alpn, Tls};
    use crate::transport::connect::{ConnectError, Io};
    use crate::transport::endpoint::Endpoint;
    use crate::transport::spawn::{Spawn, offload};

    /// Ready to shake hands.
    pub(crate) struct Prepared {
        connector: TlsConnector,
        name: ServerName<'static>,
    }

    impl Tls {
        /// Checks that the certificates can be used; the error says what is wrong with them.
        pub fn check(&self) -> Result<(), String> {
            let Some(pem) = &self.ca_pem else { return Ok(()) };
            let mut roots = RootCertStore::empty();
            add(&mut roots, pem)?;
            if roots.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(()) }
        }

        /// Reads the certificates; from files, so not here.
        pub(crate) async fn prepare(
            &self,
            endpoint: &Endpoint,
            alpn: Alpn,
            spawn: &dyn Spawn,
        ) -> Result<Prepared, ConnectError> {
            let untrusted = |reason| ConnectError::Trust { endpoint: endpoint.to_string(), reason };
            let name = ServerName::try_from(endpoint.host().to_owned())
                .map_err(|_| untrusted("host name cannot stand in a certificate".to_owned()))?;
            let tls = self.clone();
            let config = offload(spawn, move || client_config(&tls, alpn)).await;
            let config = config.unwrap_or_else(|| Err("stopping".to_owned())).map_err(untrusted)?;
            Ok(Prepared { connector: TlsConnector::from(Arc::new(config)), name })
        }
    }

    impl Prepared {
        pub(crate) async fn handshake(
            self,
            endpoint: &Endpoint,
            io: TcpStream,
        ) -> Result<Box<dyn Io>, ConnectError> {
            let io = self.connector.connect(self.name, io).await;
            let failed = |source| ConnectError::Tls { endpoint: endpoint.to_string(), source };
            Ok(Box::new(io.map_err(failed)?))
        }
    }

    fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn client_config(tls: &Tls, alpn: Alpn) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if let Some(pem) = &tls.ca_pem {
            add(&mut roots, pem).map_err(|error| format!("ca_file: {error}"))?;
        }
        if roots.is_empty() {
            return Err("no certificates to trust; set SSL_CERT_FILE or ca_file".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = match alpn {
            Alpn::Http1 => &b"http/1.1"[..],
            Alpn::Http2 => b"h2",
        };
        config.alpn_protocols = vec![name.to_vec()];
        Ok(config)
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use tokio::net::TcpStream;

    use super::{Alpn, Tls};
    use crate::transport::connect::{ConnectError, Io};
    use crate::transport::endpoint::Endpoint;
    use crate::transport::spawn::Spawn;

    /// Never made.
    pub(crate) enum Prepared {}

    impl Tls {
        /// Nothing can be used in a build without TLS.
        pub fn check(&self) -> Result<(), String> {
            match self.ca_pem {
                None => Ok(()),
                Some(_) => Err("this build has no TLS".to_owned()),
            }
        }

        #[expect(clippy::unused_async, reason = "the twin with TLS waits")]
        pub(crate) async fn prepare(
            &self,
            endpoint: &Endpoint,
            _: Alpn,
            _: &dyn Spawn,
        ) -> Result<Prepared, ConnectError> {
            Err(ConnectError::TlsUnsupported { endpoint: endpoint.to_string() })
        }
    }

    impl Prepared {
        #[expect(clippy::unused_async, reason = "the twin with TLS waits")]
        pub(crate) async fn handshake(
            self,
            _: &Endpoint,
            _: TcpStream,
        ) -> Result<Box<dyn Io>, ConnectError> {
            match self {}
        }
    }
}

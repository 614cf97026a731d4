//! Exporting over TLS, to our receivers behind a terminating proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use spanwise_otlp::exporter::{Client, Config, Exported, Protocol};
use spanwise_otlp::receiver::Outcome;
use spanwise_otlp::transport::{Endpoint, Tls};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::requests::rich;
use crate::shell::start;

const CA: &[u8] = include_bytes!("tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");

/// Takes TLS off and passes on to `to`.
async fn terminate(to: SocketAddr) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let proxy = async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes away here.
            let Ok(mut io) = acceptor.accept(io).await else { continue };
            let mut onwards = TcpStream::connect(to).await.unwrap();
            let pass =
                async move { drop(tokio::io::copy_bidirectional(&mut io, &mut onwards).await) };
            #[expect(clippy::disallowed_methods, reason = "a test is its own application")]
            tokio::spawn(pass);
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a test is its own application")]
    tokio::spawn(proxy);
    addr
}

#[tokio::test]
async fn a_trusted_certificate_lets_spans_through_and_another_does_not() {
    let receivers = start().await;
    for (to, protocol) in
        [(receivers.grpc, Protocol::Grpc), (receivers.http, Protocol::HttpProtobuf)]
    {
        let addr = terminate(to).await;
        for host in ["localhost", "127.0.0.1"] {
            let endpoint = Endpoint::parse(&format!("https://{host}:{}", addr.port()), 1).unwrap();
            let request = Bytes::from(rich(100).encode_to_vec());
            let untrusting = Config::new(endpoint, protocol);
            let tls = Tls { ca_pem: Some(Bytes::from_static(CA)) };
            let trusting = Config { tls, ..untrusting.clone() };

            let mut client = Client::new(trusting, Arc::clone(&receivers.tasks) as _);
            assert_eq!(client.export(request.clone()).await, Ok(Exported::default()), "{host}");
            let mut client = Client::new(untrusting, Arc::clone(&receivers.tasks) as _);
            let error = client.export(request).await.unwrap_err().to_string();
            assert!(error.contains("certificate"), "{error}");
        }
    }
    assert_eq!(receivers.notes.n_spans(Outcome::Accepted), 400);
    receivers.stop().await;
}

#[tokio::test]
async fn a_broken_ca_file_is_told_and_not_tried_again() {
    let receivers = start().await;
    let endpoint = Endpoint::parse("https://localhost:1", 1).unwrap();
    let broken = &b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"[..];
    let tls = Tls { ca_pem: Some(Bytes::from_static(broken)) };
    let config = Config { tls, ..Config::new(endpoint, Protocol::Grpc) };
    let mut client = Client::new(config, Arc::clone(&receivers.tasks) as _);
    let error = client.export(Bytes::new()).await.unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("ca_file"), "{error}");
    receivers.stop().await;
}

//! Kept spans over TLS to a destination whose certificate a CA of one's own has signed, and what
//! becomes of spans that no destination takes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use spanwise::serve::Role;
use spanwise_otlp::receiver::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::http::{get_json, metric};
use crate::support::requests::rich;
use crate::support::server::Running;
use crate::support::sink::Sink;
use crate::support::until_true;

const CERTIFICATE: &[u8] = include_bytes!("../../../otlp/tests/it/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../../otlp/tests/it/tls/server.key");
/// Spans in each of the four scopes of a request.
const N: u64 = 5;

fn ca_file() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../otlp/tests/it/tls/ca.pem");
    file.display().to_string()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Takes TLS off and passes on to `to`.
fn terminate(runtime: &Runtime, to: SocketAddr) -> SocketAddr {
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
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes away here.
            let Ok(mut io) = acceptor.accept(io).await else { continue };
            let mut onwards = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut io, &mut onwards).await);
            });
        }
    });
    addr
}

fn send(server: &Running, first_id: u64) {
    server.send(Bytes::from(rich(first_id, N).encode_to_vec()));
}

fn forwarded(server: &Running, destination: &str, outcome: &str) -> u64 {
    let sample = format!(
        "spanwise_forward_spans_total{{destination=\"{destination}\",outcome=\"{outcome}\"}}"
    );
    metric(server.api(), &sample)
}

fn missed(server: &Running) -> u64 {
    get_json(server.api(), "/api/v1/status").unwrap()["spans"]["missed"].as_u64().unwrap()
}

#[test]
fn a_ca_of_ones_own_lets_spans_through_over_tls() {
    let runtime = runtime();
    let sink = Sink::start(&runtime);
    let grpc = terminate(&runtime, sink.grpc);
    let http = terminate(&runtime, sink.http);
    let ca = ca_file();
    let yaml = format!(
        "sampler: {{budget: 100%}}
forward:
  - {{endpoint: 'https://localhost:{}', ca_file: {ca}}}
  - {{endpoint: 'https://{http}', protocol: http/protobuf, ca_file: {ca}}}
",
        grpc.port()
    );
    let server = Running::start(&yaml, Role::All);
    send(&server, 1);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let count = || sink.batches(protocol).iter().map(|b| b.spans.len() as u64).sum::<u64>();
        until_true("the spans over TLS", || count() >= 4 * N);
    }
    let grpc = format!("https://localhost:{}", grpc.port());
    until_true("the count of spans sent", || forwarded(&server, &grpc, "sent") == 4 * N);
    assert_eq!(missed(&server), 0);
    assert!(server.stop());
}

/// Guarantees: a certificate nobody vouches for is not accepted.
#[test]
fn without_the_ca_nothing_is_sent() {
    let runtime = runtime();
    let sink = Sink::start(&runtime);
    let addr = terminate(&runtime, sink.grpc);
    let destination = format!("https://localhost:{}", addr.port());
    let yaml = format!("sampler: {{budget: 100%}}\nforward: [{{endpoint: '{destination}'}}]\n");
    let server = Running::start(&yaml, Role::All);
    send(&server, 1);
    // It is told as an error of the destination: refused, or tried again and again.
    until_true("the spans to be kept", || {
        let status = get_json(server.api(), "/api/v1/status").unwrap();
        status["spans"]["kept"].as_u64() == Some(4 * N)
    });
    assert_eq!(sink.batches(Protocol::Grpc).len(), 0);
    assert_eq!(forwarded(&server, &destination, "sent"), 0);
}

/// Scenario: a destination is away, and more is kept than its queue holds.
/// Guarantees: what does not fit is counted by destination, and as missed in the status.
#[test]
fn what_a_destination_does_not_get_is_counted() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let destination = format!("http://{closed}");
    let yaml = format!(
        "sampler: {{budget: 100%}}\nforward: [{{endpoint: '{destination}', queue: 1MiB}}]\n"
    );
    let server = Running::start(&yaml, Role::All);
    let mut first_id = 1;
    until_true("the queue to overflow", || {
        for _ in 0..20 {
            server.send(Bytes::from(rich(first_id, 100).encode_to_vec()));
            first_id += 1_000;
        }
        forwarded(&server, &destination, "not_queued") > 0
    });
    until_true("the status to follow", || {
        let lost = forwarded(&server, &destination, "not_queued");
        lost > 0 && missed(&server) >= lost
    });
    let queued = format!("spanwise_forward_queue_bytes{{destination=\"{destination}\"}}");
    assert!((1..=1 << 20).contains(&metric(server.api(), &queued)));
    assert_eq!(forwarded(&server, &destination, "sent"), 0);
}

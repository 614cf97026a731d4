//! Destinations of kept spans.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use spanwise_analyzer::units::SizeBytes;
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::{Endpoint, Scheme, Tls};

use super::{Forward, ForwardProtocol, Listen, Problems, listen};
use crate::config::raw::RawForward;

/// Bytes that may wait for one destination.
const QUEUE_DEFAULT: u64 = 32 << 20;
/// Room for one request.
const QUEUE_MIN: u64 = 1 << 20;
/// The queue is part of the memory limit: at most half of it.
const QUEUE_SHARE: u64 = 2;
/// Most destinations.
const DESTINATIONS_MAX: usize = 16;
/// Largest file of certificates.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Destinations; those with a mistake are left out.
pub(super) fn forward(
    raw: &[RawForward],
    listen: Option<&Listen>,
    memory_limit: Option<u64>,
    problems: &mut Problems,
) -> Vec<Forward> {
    if raw.len() > DESTINATIONS_MAX {
        let message = format!("{} destinations, more than {DESTINATIONS_MAX}", raw.len());
        problems.error("forward", "C005", message, "let a Collector fan out to more");
    }
    let mut built: Vec<Forward> = Vec::new();
    for (idx, raw) in raw.iter().enumerate().take(DESTINATIONS_MAX) {
        let path = format!("forward[{idx}]");
        let Some(forward) = destination(&path, raw, listen, memory_limit, problems) else {
            continue;
        };
        let same = |other: &Forward| {
            (&other.endpoint, other.protocol) == (&forward.endpoint, forward.protocol)
        };
        if built.iter().any(same) {
            let message = format!("{} stands twice and would get everything twice", raw.endpoint);
            problems.error(format!("{path}.endpoint"), "C005", message, "remove one of them");
        }
        built.push(forward);
    }
    built
}

fn destination(
    path: &str,
    raw: &RawForward,
    listen: Option<&Listen>,
    memory_limit: Option<u64>,
    problems: &mut Problems,
) -> Option<Forward> {
    let n_before = problems.n_errors();
    let mut fault = |key: &str, message: String, fix: &str| {
        problems.error(format!("{path}.{key}"), "C005", message, fix);
    };
    let protocol = match raw.protocol.as_deref() {
        None | Some("grpc") => ForwardProtocol::Grpc,
        Some("http/protobuf") => ForwardProtocol::HttpProtobuf,
        Some(other) => {
            let fix = "write grpc or http/protobuf";
            fault("protocol", format!("unknown protocol `{other}`"), fix);
            ForwardProtocol::Grpc
        }
    };
    let gzip = match raw.compression.as_deref() {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(other) => {
            fault("compression", format!("unknown compression `{other}`"), "write gzip or none");
            false
        }
    };
    let queue_bytes = match raw.queue.as_deref().map(SizeBytes::parse).transpose() {
        Ok(bytes) => bytes.map_or(QUEUE_DEFAULT, |SizeBytes(bytes)| bytes),
        Err(error) => {
            fault("queue", error.to_string(), "write a size such as 32MiB");
            QUEUE_DEFAULT
        }
    };
    let queue_max = memory_limit.map_or(u64::MAX, |limit| limit / QUEUE_SHARE);
    if !(QUEUE_MIN..=queue_max).contains(&queue_bytes) {
        let message = "is not from 1MiB to half of memory_limit".to_owned();
        fault("queue", message, "write a size such as 32MiB, or leave it out");
    }
    let endpoint = match endpoint(&raw.endpoint, protocol) {
        Ok(endpoint) => Some(endpoint),
        Err(message) => {
            fault("endpoint", message, "write http://host:4317");
            None
        }
    };
    let own = endpoint
        .as_ref()
        .zip(listen)
        .and_then(|(endpoint, listen)| listen::own_listener(listen, endpoint));
    let ca_pem = raw.ca_file.as_deref().and_then(|file| match certificates(file) {
        Ok(pem) => Some(pem),
        Err(message) => {
            fault("ca_file", message, "name a file with certificates in PEM");
            None
        }
    });
    let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == Scheme::Http);
    if ca_pem.is_some() && is_plain {
        fault("ca_file", "has no use without TLS".to_owned(), "write endpoint: https://…");
    }
    if let Some(own) = own {
        let message = format!("is the listener {own} of this process: spans would go in circles");
        let fix = "name another process, or move the listener to another port";
        problems.error(format!("{path}.endpoint"), "C013", message, fix);
    }
    let endpoint = endpoint.filter(|_| problems.n_errors() == n_before)?;
    Some(Forward { endpoint, protocol, gzip, queue_bytes, stamp: raw.stamp, ca_pem })
}

fn endpoint(text: &str, protocol: ForwardProtocol) -> Result<Endpoint, String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("`{text}` is not a url"));
    }
    let port = match protocol {
        ForwardProtocol::Grpc => Protocol::Grpc.default_port(),
        ForwardProtocol::HttpProtobuf => Protocol::HttpProtobuf.default_port(),
    };
    let endpoint = Endpoint::parse(text, port).map_err(|error| error.to_string())?;
    if endpoint.port() == 0 {
        return Err(format!("`{text}` names port 0"));
    }
    if protocol == ForwardProtocol::Grpc && !endpoint.path().is_empty() {
        return Err(format!("`{text}` has a path, which grpc does not"));
    }
    Ok(endpoint)
}

/// Reads certificates, and makes sure that they are.
fn certificates(file: &Path) -> Result<Bytes, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(|error| named(&error))?;
    let mut pem = Vec::new();
    opened.take(CA_BYTES_MAX + 1).read_to_end(&mut pem).map_err(|error| named(&error))?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(named(&"more than 1 MiB"));
    }
    let pem = Bytes::from(pem);
    let tls = Tls { ca_pem: Some(pem.clone()) };
    tls.check().map_err(|error| named(&error))?;
    Ok(pem)
}

//! Destinations of what is kept.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use spanwise_analyzer::units::{DurationNs, SizeBytes};
use spanwise_otlp::exporter::Protocol;
use spanwise_otlp::transport::{Endpoint, Scheme, Tls};

use super::{Listen, Problems, listen};
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

/// A file is complete after this time.
const ROTATE_EVERY_NS_DEFAULT: u64 = 60 * 1_000_000_000;
/// A file is complete with so many bytes of requests.
const ROTATE_BYTES_DEFAULT: u64 = 256 << 20;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where to.
    pub to: Destination,
    /// What is sent there.
    pub send: Sent,
    /// Bytes that may wait.
    pub queue_bytes: u64,
    /// Whether `spanwise.sampling.*` attributes are appended.
    pub stamp: bool,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An OTLP receiver.
    Otlp(Otlp),
    /// Files in a folder.
    File {
        /// The folder.
        dir: PathBuf,
        /// A file is complete after this time.
        every_ns: u64,
        /// A file is complete with so many bytes, before compression.
        n_bytes: u64,
    },
    /// Standard output.
    Stdout,
}

/// An OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Endpoint.
    pub endpoint: Endpoint,
    /// Protocol.
    pub protocol: ForwardProtocol,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Certificates of authorities trusted beside the system's, in PEM; only under https.
    pub ca_pem: Option<Bytes>,
}

/// What is sent to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Sampled spans.
    Spans,
    /// Kept traces, whole.
    Traces,
    /// Traces from archives that are received.
    Archives,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP with protobuf.
    HttpProtobuf,
}

impl Forward {
    /// Its name in metrics and in the log: unique, and the same after a restart.
    pub fn name(&self) -> String {
        match &self.to {
            Destination::Otlp(otlp) => match self.send {
                Sent::Spans => otlp.endpoint.to_string(),
                Sent::Traces => format!("{} traces", otlp.endpoint),
                Sent::Archives => format!("{} archives", otlp.endpoint),
            },
            Destination::File { dir, .. } => format!("file:{}", dir.display()),
            Destination::Stdout => "stdout".to_owned(),
        }
    }
}

impl Forward {
    /// Writes the settings in force into what was written.
    pub(super) fn fill_in(&self, raw: &mut RawForward) {
        raw.send = Some(
            match self.send {
                Sent::Spans => "spans",
                Sent::Traces => "traces",
                Sent::Archives => "archives",
            }
            .to_owned(),
        );
        raw.queue = Some(SizeBytes(self.queue_bytes).to_string());
        raw.stamp = Some(self.stamp);
        match &self.to {
            Destination::Otlp(otlp) => {
                let protocol = match otlp.protocol {
                    ForwardProtocol::Grpc => "grpc",
                    ForwardProtocol::HttpProtobuf => "http/protobuf",
                };
                raw.protocol = Some(protocol.to_owned());
                raw.compression = Some(if otlp.gzip { "gzip" } else { "none" }.to_owned());
            }
            Destination::File { every_ns, n_bytes, .. } => {
                raw.rotate.every = Some(DurationNs(*every_ns).to_string());
                raw.rotate.size = Some(SizeBytes(*n_bytes).to_string());
            }
            Destination::Stdout => {}
        }
    }
}

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
        if built.iter().any(|other| is_same(other, &forward)) {
            let name = forward.name();
            let message = format!("{name} stands twice and would get everything twice");
            let key = if raw.endpoint.is_empty() { "" } else { ".endpoint" };
            problems.error(format!("{path}{key}"), "C005", message, "remove one of them");
        }
        built.push(forward);
    }
    built
}

/// Whether two destinations would get the same.
fn is_same(one: &Forward, other: &Forward) -> bool {
    let is_same_place = match (&one.to, &other.to) {
        (Destination::Otlp(one), Destination::Otlp(other)) => {
            (&one.endpoint, one.protocol) == (&other.endpoint, other.protocol)
        }
        _ => one.name() == other.name(),
    };
    is_same_place && one.send == other.send
}

/// Whole traces are sent nowhere while none are sampled.
pub(super) fn check_spans_only(forward: &[Forward], problems: &mut Problems) {
    let is_whole = |(_, forward): &(usize, &Forward)| forward.send == Sent::Traces;
    for (idx, _) in forward.iter().enumerate().filter(is_whole) {
        let message = "whole traces are not sampled".to_owned();
        let fix = "write `traces: {budget: 5%}` under `sampler`, or `send: spans`";
        problems.error(format!("forward[{idx}]"), "C019", message, fix);
    }
}

fn destination(
    path: &str,
    raw: &RawForward,
    listen: Option<&Listen>,
    memory_limit: Option<u64>,
    problems: &mut Problems,
) -> Option<Forward> {
    let n_before = problems.n_errors();
    let is_otlp = raw.file.is_none() && !raw.stdout;
    let n_named = usize::from(raw.file.is_some()) + usize::from(raw.stdout);
    if n_named > 1 || (n_named == 1 && !raw.endpoint.is_empty()) {
        let message = "names more than one of endpoint, file and stdout".to_owned();
        problems.error(path, "C005", message, "make an entry of each");
        return None;
    }
    let to = match &raw.file {
        _ if raw.stdout => Some(Destination::Stdout),
        Some(dir) => file(path, dir.clone(), raw, problems),
        None => otlp(path, raw, listen, problems).map(Destination::Otlp),
    };
    let queue_bytes = queue_bytes(path, raw, memory_limit, problems);
    let send = sent(path, raw, is_otlp, problems);
    let to = to.filter(|_| problems.n_errors() == n_before)?;
    let stamp = raw.stamp.unwrap_or(send == Sent::Traces);
    if stamp && send == Sent::Archives {
        let message = "has no effect on what comes from archives".to_owned();
        problems.warning(format!("{path}.stamp"), "C005", message, "leave it out");
    }
    Some(Forward { to, send, queue_bytes, stamp })
}

fn sent(path: &str, raw: &RawForward, is_otlp: bool, problems: &mut Problems) -> Sent {
    let default = if is_otlp { Sent::Spans } else { Sent::Traces };
    let (message, fix) = match raw.send.as_deref() {
        None => return default,
        Some("traces") => return Sent::Traces,
        Some("archives") => return Sent::Archives,
        Some("spans") if is_otlp => return Sent::Spans,
        Some("spans") => ("single spans go to endpoints only".to_owned(), "write `send: traces`"),
        Some(other) => {
            (format!("`{other}` is nothing that can be sent"), "write spans, traces or archives")
        }
    };
    problems.error(format!("{path}.send"), "C005", message, fix);
    default
}

fn queue_bytes(
    path: &str,
    raw: &RawForward,
    memory_limit: Option<u64>,
    problems: &mut Problems,
) -> u64 {
    let queue_bytes = size(&format!("{path}.queue"), raw.queue.as_deref(), QUEUE_DEFAULT, problems);
    let queue_max = memory_limit.map_or(u64::MAX, |limit| limit / QUEUE_SHARE);
    if !(QUEUE_MIN..=queue_max).contains(&queue_bytes) {
        let message = "is not from 1MiB to half of memory_limit".to_owned();
        let fix = "write a size such as 32MiB, or leave it out";
        problems.error(format!("{path}.queue"), "C005", message, fix);
    }
    queue_bytes
}

fn file(
    path: &str,
    dir: PathBuf,
    raw: &RawForward,
    problems: &mut Problems,
) -> Option<Destination> {
    let every = raw.rotate.every.as_deref().map(DurationNs::parse).transpose();
    let every_ns = match every {
        Ok(every) => every.map_or(ROTATE_EVERY_NS_DEFAULT, |DurationNs(ns)| ns.max(1)),
        Err(error) => {
            let path = format!("{path}.rotate.every");
            problems.error(path, "C005", error.to_string(), "write a duration such as 60s");
            return None;
        }
    };
    if dir.as_os_str().is_empty() || dir.is_file() {
        let message = format!("`{}` is no folder", dir.display());
        let fix = "name a folder; it is created if it is missing";
        problems.error(format!("{path}.file"), "C005", message, fix);
        return None;
    }
    let rotate_size = format!("{path}.rotate.size");
    let n_bytes = size(&rotate_size, raw.rotate.size.as_deref(), ROTATE_BYTES_DEFAULT, problems);
    Some(Destination::File { dir, every_ns, n_bytes: n_bytes.max(1) })
}

fn size(path: &str, text: Option<&str>, default: u64, problems: &mut Problems) -> u64 {
    match text.map(SizeBytes::parse).transpose() {
        Ok(size) => size.map_or(default, |SizeBytes(bytes)| bytes),
        Err(error) => {
            problems.error(path, "C005", error.to_string(), "write a size such as 32MiB");
            default
        }
    }
}

fn otlp(
    path: &str,
    raw: &RawForward,
    listen: Option<&Listen>,
    problems: &mut Problems,
) -> Option<Otlp> {
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
    Some(Otlp { endpoint, protocol, gzip, ca_pem })
}

pub(super) fn endpoint(text: &str, protocol: ForwardProtocol) -> Result<Endpoint, String> {
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
pub(super) fn certificates(file: &Path) -> Result<Bytes, String> {
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

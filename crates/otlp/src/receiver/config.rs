//! Limits of the listeners. Constants with their sources rather than settings: nobody has asked to
//! change them yet.

use std::time::Duration;

use crate::limits::Limits;
use crate::transport::pace::PaceLimits;

/// What a receiver may use. Everything else about it is fixed.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Limits of each request.
    pub limits: Limits,
    /// Most open connections of one listener. Default 1,024.
    pub n_connections_max: u32,
    /// Most open connections from one address, loopback excepted: behind it stand all processes of
    /// the machine. Default 64.
    pub n_connections_per_peer_max: u32,
    /// Longest wait for the headers of a request, or for the start of a connection. Default 10 s.
    pub header_timeout: Duration,
    /// Longest wait for a body. Default 30 s; within it at least 8 KiB/s must come.
    pub body_timeout: Duration,
    /// A connection without requests is closed after this long. Default 60 s.
    pub idle_timeout: Duration,
    /// Ports of both listeners, for who came to the wrong one. Default 4317 and 4318.
    pub ports: Ports,
}

/// Where OTLP is taken, as told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Over gRPC.
    pub grpc: u16,
    /// Over HTTP.
    pub http: u16,
}

impl Ports {
    /// For OTLP/HTTP that came to the gRPC listener.
    pub(super) fn not_grpc(self) -> String {
        format!(
            "this is the OTLP/gRPC port: send OTLP/HTTP to port {} (/v1/traces), or set \
             OTEL_EXPORTER_OTLP_PROTOCOL=grpc\n",
            self.http
        )
    }

    /// For OTLP/gRPC that came to the HTTP listener.
    pub(super) fn not_http(self) -> String {
        format!(
            "this is the OTLP/HTTP port: send OTLP/gRPC to port {}, or set \
             OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            self.grpc
        )
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            n_connections_max: 1_024,
            n_connections_per_peer_max: 64,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            ports: Ports { grpc: 4317, http: 4318 },
        }
    }
}

/// Least rate of a body in bytes per second.
const BODY_RATE_MIN: u64 = 8 << 10;
/// The body deadline is cut into this many slices, and the rate is looked at in each.
const N_BODY_SLICES: u32 = 6;

impl Config {
    pub(super) fn pace(&self) -> PaceLimits {
        let slice = self.body_timeout / N_BODY_SLICES;
        let bytes_per_slice = (slice.as_secs_f64() * BODY_RATE_MIN as f64) as u64;
        PaceLimits { slice, bytes_per_slice, n_slices: N_BODY_SLICES }
    }
}

/// HTTP/2 limits, all of them set: a framework's "no value" means "no limit".
pub(super) mod http2 {
    use std::time::Duration;

    use crate::transport::frame::WINDOW_BYTES;

    /// What a client may send on one stream before we have read it.
    pub(in crate::receiver) const STREAM_WINDOW_BYTES: u32 = WINDOW_BYTES as u32;
    /// What a client may send on all streams before we have read it.
    pub(in crate::receiver) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
    /// Largest frame: a request of 512 spans fits into one, where the default would cut it into 18.
    pub(in crate::receiver) const FRAME_BYTES_MAX: u32 = 1 << 20;
    /// Requests at once on one connection.
    pub(in crate::receiver) const N_STREAMS_MAX: u32 = 100;
    /// Headers of one request, uncompressed.
    pub(in crate::receiver) const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
    /// Streams reset by the client before we looked at them (rapid reset, CVE-2023-44487).
    pub(in crate::receiver) const N_PENDING_RESETS_MAX: usize = 20;
    /// Streams we reset because of the client's errors (RUSTSEC-2024-0003).
    pub(in crate::receiver) const N_ERROR_RESETS_MAX: usize = 1_024;
    /// Reset streams remembered, so that frames still under way are ignored, not errors.
    pub(in crate::receiver) const N_REMEMBERED_RESETS: usize = 64;
    /// Bytes of replies buffered on one stream.
    pub(in crate::receiver) const SEND_BUFFER_BYTES: usize = 256 << 10;
    /// Ping interval.
    pub(in crate::receiver) const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
    /// Longest wait for the answer to a ping.
    pub(in crate::receiver) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
}

//! The port between the receivers and the application, and the words both use.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use spanwise_model::Batch;

use crate::admission::Charge;
use crate::transport::Compression;

/// Where decoded batches and counts go. The application implements it.
pub trait Ingest: Send + Sync {
    /// Takes a batch of at least one span. The reply to the client waits for this: `Ok` is the
    /// acknowledgement, so it must come only when the batch is as safe as the configuration
    /// promises. `charge` pays for the batch's memory; drop it when the batch has left the queue.
    ///
    /// A full queue should answer [`Overloaded`] rather than wait for long.
    fn submit(
        &self,
        batch: Batch,
        meta: RequestMeta,
        charge: Charge,
    ) -> BoxFuture<'_, Result<(), NotTaken>>;

    /// An empty batch whose tables a request may be decoded into, if there is a used one.
    fn spare(&self) -> Batch {
        Batch::default()
    }

    /// Counts something. Called from the threads that serve connections: must not block.
    fn record(&self, event: ReceiverEvent);

    /// Whether new requests should be refused right away, before anything of them is read.
    fn overloaded(&self) -> Option<Overloaded> {
        None
    }
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Not now.
    Overloaded(Overloaded),
    /// Never: the client is told not to send it again.
    TooLarge {
        /// Bytes it would take where it is stored.
        n_bytes: u64,
        /// Bytes it may take there.
        limit: u64,
    },
}

/// A batch was not taken; the client keeps it and sends it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded {
    /// When the client may come again: `RetryInfo` or `Retry-After` (in whole seconds, rounded up).
    pub retry_after: Duration,
}

impl From<Overloaded> for NotTaken {
    fn from(overloaded: Overloaded) -> Self {
        Self::Overloaded(overloaded)
    }
}

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    HttpProtobuf,
    /// OTLP/HTTP with JSON.
    HttpJson,
}

/// What is known about a request beside its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// Protocol.
    pub protocol: Protocol,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Compression.
    pub compression: Compression,
    /// Bytes of the message on the wire, before decompression.
    pub wire_bytes: u64,
}

/// What became of spans that were read from a request. Each span counts for exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Taken.
    Accepted,
    /// Taken, but its times are never judged.
    InvalidTime,
    /// Refused alone, for a bad id; reported as `rejected_spans`.
    Rejected,
    /// Refused with its whole request because the application was overloaded.
    Refused,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestOutcome {
    /// Acknowledged, possibly with single spans rejected.
    Accepted,
    /// Over a limit of size: refused for good.
    TooLarge,
    /// Not OTLP: refused for good.
    Undecodable,
    /// No memory or no room in the queue: refused, to be sent again.
    Overloaded,
    /// A content type, compression or method this server does not take.
    Unsupported,
    /// Metrics, logs or profiles: not taken here.
    OtherSignal,
    /// The body came too slowly or broke off.
    Incomplete,
}

/// Why a connection ended that did not simply close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionEnd {
    /// Refused: too many connections.
    TooMany,
    /// Refused: too many connections from one address.
    TooManyFromPeer,
    /// Headers did not come in time.
    SlowHeaders,
    /// Nobody answered a ping.
    Dead,
    /// Broke the protocol, or reset so many streams that it counts as abuse.
    Violation,
    /// HTTP/1 or OTLP/HTTP on the gRPC port, or gRPC on the HTTP port.
    WrongProtocol,
    /// Closed by the server because nothing was asked for a minute.
    Idle,
    /// Still open when the drain deadline passed.
    Aborted,
}

/// Something to count. Spans by outcome make `spanwise_receiver_spans_total{protocol,outcome}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// Spans of one request that share an outcome; at least one.
    Spans {
        /// Protocol.
        protocol: Protocol,
        /// What became of them.
        outcome: Outcome,
        /// How many.
        n_spans: u64,
    },
    /// A request was answered.
    Request {
        /// Protocol.
        protocol: Protocol,
        /// Compression.
        compression: Compression,
        /// How it was answered.
        outcome: RequestOutcome,
        /// Bytes of it on the wire, as far as they were read.
        wire_bytes: u64,
        /// Spans in it; 0 if it could not be decoded.
        n_spans: u64,
        /// Links with invalid ids in it.
        n_bad_links: u64,
    },
    /// A connection ended in a way worth counting. `WrongProtocol` is worth a warning that names
    /// both ports.
    Connection {
        /// The listener's protocol; [`Protocol::HttpProtobuf`] for the HTTP port.
        protocol: Protocol,
        /// Who it was.
        peer: SocketAddr,
        /// Why it ended.
        end: ConnectionEnd,
    },
}

impl Protocol {
    /// As in metric labels: `grpc`, `http_protobuf`, `http_json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http_protobuf",
            Self::HttpJson => "http_json",
        }
    }
}

impl Outcome {
    /// As in metric labels: `accepted`, `invalid_time`, `rejected`, `refused`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::InvalidTime => "invalid_time",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
        }
    }
}

impl RequestOutcome {
    /// As in metric labels: `accepted`, `too_large`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::TooLarge => "too_large",
            Self::Undecodable => "undecodable",
            Self::Overloaded => "overloaded",
            Self::Unsupported => "unsupported",
            Self::OtherSignal => "other_signal",
            Self::Incomplete => "incomplete",
        }
    }
}

impl ConnectionEnd {
    /// As in metric labels: `too_many`, `slow_headers`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooManyFromPeer => "too_many_from_peer",
            Self::SlowHeaders => "slow_headers",
            Self::Dead => "dead",
            Self::Violation => "violation",
            Self::WrongProtocol => "wrong_protocol",
            Self::Idle => "idle",
            Self::Aborted => "aborted",
        }
    }
}

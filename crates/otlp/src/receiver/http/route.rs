//! What a request is for.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;

use crate::receiver::http::{body, reply};
use crate::receiver::intake::{Body, Intake};
use crate::receiver::port::{ConnectionEnd, Protocol, ReceiverEvent, RequestOutcome};
use crate::receiver::refusal::{Refusal, RefusalKind, TRACES_ONLY};
use crate::status::Encoding;
use crate::transport::{Code, Compression, RpcStatus};

/// A reply is complete before it is sent.
pub(super) type Response = http::Response<Full<Bytes>>;

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    intake: &Intake,
) -> Response {
    let encoding = encoding_of(request.headers());
    if encoding == Err(Unknown::Grpc) {
        let end = ConnectionEnd::WrongProtocol;
        let event = ReceiverEvent::Connection { protocol: Protocol::HttpProtobuf, peer, end };
        intake.ingest.record(event);
        return reply::grpc_hint(intake.config.ports.not_http());
    }
    match (request.uri().path(), request.method()) {
        ("/v1/traces", &Method::POST) => match encoding {
            Ok(encoding) => traces(request, encoding, peer, intake).await,
            Err(_) => unsupported(request, intake).await,
        },
        ("/v1/traces", _) => reply::method_not_allowed(),
        ("/v1/metrics" | "/v1/logs" | "/v1/profiles" | "/v1development/profiles", _) => {
            other_signal(encoding, intake)
        }
        _ => {
            let status = RpcStatus::new(Code::NotFound, "not found; traces go to POST /v1/traces");
            reply::error(StatusCode::NOT_FOUND, &status, encoding.unwrap_or(Encoding::Json))
        }
    }
}

async fn traces(
    request: Request<Incoming>,
    encoding: Encoding,
    peer: SocketAddr,
    intake: &Intake,
) -> Response {
    let protocol = match encoding {
        Encoding::Protobuf => Protocol::HttpProtobuf,
        Encoding::Json => Protocol::HttpJson,
    };
    let (head, incoming) = request.into_parts();
    let mut body = body::Reader::new(incoming, &head.headers, intake);
    let compression =
        match compression_of(&head.headers).and_then(|c| intake.check_door().map(|()| c)) {
            Ok(compression) => compression,
            Err(refusal) => return refuse(&refusal, protocol, encoding, body, intake).await,
        };
    let (bytes, charge) = match body.read().await {
        Ok(read) => read,
        Err(refusal) => return refuse(&refusal, protocol, encoding, body, intake).await,
    };
    match intake.take(Body { protocol, compression, peer, bytes, charge }).await {
        Ok(accepted) => reply::accepted(accepted, encoding),
        Err(refusal) => reply::refused(&refusal, encoding),
    }
}

async fn refuse(
    refusal: &Refusal,
    protocol: Protocol,
    encoding: Encoding,
    mut body: body::Reader<'_>,
    intake: &Intake,
) -> Response {
    body.discard().await;
    intake.count_refused(protocol, refusal, body.n_bytes());
    reply::refused(refusal, encoding)
}

async fn unsupported(request: Request<Incoming>, intake: &Intake) -> Response {
    let text = "content type not supported; send application/x-protobuf or application/json";
    let refusal = Refusal::new(RefusalKind::Unsupported, text);
    let (head, incoming) = request.into_parts();
    let body = body::Reader::new(incoming, &head.headers, intake);
    refuse(&refusal, Protocol::HttpProtobuf, Encoding::Json, body, intake).await
}

fn other_signal(encoding: Result<Encoding, Unknown>, intake: &Intake) -> Response {
    let encoding = encoding.unwrap_or(Encoding::Json);
    intake.ingest.record(ReceiverEvent::Request {
        protocol: match encoding {
            Encoding::Protobuf => Protocol::HttpProtobuf,
            Encoding::Json => Protocol::HttpJson,
        },
        compression: Compression::Identity,
        outcome: RequestOutcome::OtherSignal,
        wire_bytes: 0,
        n_spans: 0,
        n_bad_links: 0,
    });
    let status = RpcStatus::new(Code::Unimplemented, TRACES_ONLY);
    reply::error(StatusCode::NOT_FOUND, &status, encoding)
}

/// A content type that is not OTLP/HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Grpc,
    Other,
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Unknown> {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/x-protobuf") {
        Ok(Encoding::Protobuf)
    } else if kind.eq_ignore_ascii_case(b"application/json") {
        Ok(Encoding::Json)
    } else if kind.starts_with(b"application/grpc") {
        Err(Unknown::Grpc)
    } else {
        Err(Unknown::Other)
    }
}

/// The one compression of the body. More than one layer is refused like an unknown one.
fn compression_of(headers: &HeaderMap) -> Result<Compression, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let name = values.next().map_or(&b""[..], HeaderValue::as_bytes);
    match Compression::from_name(name) {
        Some(compression) if values.next().is_none() => Ok(compression),
        _ => {
            let text = "content encoding not supported; use one layer of gzip or zstd, or none";
            Err(Refusal::new(RefusalKind::Unsupported, text))
        }
    }
}

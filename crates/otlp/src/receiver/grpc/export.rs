//! `TraceService/Export`.

use std::net::SocketAddr;

use h2::RecvStream;
use http::HeaderValue;

use crate::admission::Charge;
use crate::receiver::intake::{Accepted, Body, Intake};
use crate::receiver::port::Protocol;
use crate::receiver::refusal::{Refusal, RefusalKind};
use crate::status::{Encoding, PartialSuccess, export_response};
use crate::transport::Compression;
use crate::transport::call::Call;
use crate::transport::frame::{Message, Messages, ReadError};

/// Reads one request and answers it.
pub(super) async fn answer(call: Call, body: RecvStream, peer: SocketAddr, intake: &Intake) {
    let mut charge = intake.admission.charge();
    let compression = match compression_of(&call) {
        Ok(compression) => compression,
        Err(refusal) => return refuse(call, intake, &refusal, 0),
    };
    let message = match read(body, intake, &mut charge).await {
        Ok(message) => message,
        Err(Some(refusal)) => return refuse(call, intake, &refusal, charge.bytes()),
        Err(None) => {
            // The client is gone: nobody to tell, but to be counted.
            let gone = Refusal::new(RefusalKind::Truncated, "client went away");
            return intake.count_refused(Protocol::Grpc, &gone, charge.bytes());
        }
    };
    let compression = match (message.compressed, compression) {
        (false, _) => Compression::Identity,
        (true, Compression::Identity) => {
            let text = "message is flagged as compressed, but grpc-encoding names no compression";
            let refusal = Refusal::new(RefusalKind::Undecodable, text);
            return refuse(call, intake, &refusal, charge.bytes());
        }
        (true, compression) => compression,
    };
    let body = Body { protocol: Protocol::Grpc, compression, peer, bytes: message.payload, charge };
    match intake.take(body).await {
        Ok(accepted) => call.reply.message(&response(accepted)),
        Err(refusal) => call.reply.fail(&refusal.status()),
    }
}

fn compression_of(call: &Call) -> Result<Compression, Refusal> {
    let name = call.head.headers.get("grpc-encoding").map_or(&b""[..], HeaderValue::as_bytes);
    Compression::from_name(name).ok_or_else(|| {
        let text = "compression not supported; use gzip, zstd or none";
        Refusal::new(RefusalKind::Unsupported, text)
    })
}

/// The only message of the call. `None` in the error means that nobody waits for a reply.
async fn read(
    body: RecvStream,
    intake: &Intake,
    charge: &mut Charge,
) -> Result<Message, Option<Refusal>> {
    intake.check_door()?;
    let n_refused = intake.n_refused();
    let limit = intake.config.limits.request_bytes;
    let mut messages = Messages::new(body, limit, Some(intake.config.pace()));
    let refusal = |error| refusal_of(&error, n_refused, intake);
    let message = messages.next(Some(charge)).await.map_err(refusal)?;
    let more = messages.next(Some(charge)).await.map_err(refusal)?;
    if let (Some(message), None) = (message, more) {
        return Ok(message);
    }
    let text = "a request is exactly one message";
    Err(Some(Refusal::new(RefusalKind::Undecodable, text)))
}

fn refusal_of(error: &ReadError, n_refused: u64, intake: &Intake) -> Option<Refusal> {
    Some(match *error {
        ReadError::TooLarge { n_bytes, limit } => Refusal::too_large(n_bytes, limit),
        ReadError::BadFlags => {
            Refusal::new(RefusalKind::Undecodable, "message flags are not grpc's")
        }
        ReadError::Truncated => {
            Refusal::new(RefusalKind::Truncated, "request ends inside its message")
        }
        ReadError::Full(full) => Refusal::full(full, intake.retry_after()),
        ReadError::TooSlow => intake.too_slow(n_refused),
        ReadError::Broken(_) => return None,
    })
}

fn refuse(call: Call, intake: &Intake, refusal: &Refusal, wire_bytes: u64) {
    intake.count_refused(Protocol::Grpc, refusal, wire_bytes);
    call.reply.fail(&refusal.status());
}

fn response(accepted: Accepted) -> Vec<u8> {
    let Some(message) = accepted.message else { return Vec::new() };
    let partial = PartialSuccess { n_rejected: accepted.n_rejected.into(), message };
    export_response(Some(&partial), Encoding::Protobuf)
}

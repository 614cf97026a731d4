//! The server's side of `Push`.

use std::sync::Arc;

use h2::RecvStream;
use prost::Message as _;

use crate::admission::Charge;
use crate::archives::generated as wire;
use crate::archives::port::{Chunk, Progress, Receive, Refused};
use crate::archives::{ARCHIVE_BYTES_MAX, CHUNK_BYTES_MAX, SOURCE_BYTES_MAX};
use crate::transport::call::Call;
use crate::transport::frame::{Messages, ReadError};
use crate::transport::pace::PaceLimits;
use crate::transport::{Code, RpcStatus};

/// A piece, its sender's name, and the fields around them.
const REQUEST_BYTES_MAX: u64 = CHUNK_BYTES_MAX as u64 + (1 << 10);

/// The service before a [`Receive`], for [`grpc::Server`](crate::receiver::grpc::Server).
pub struct Service {
    receive: Arc<dyn Receive>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Hands what comes to `receive`.
    pub fn new(receive: Arc<dyn Receive>) -> Arc<Self> {
        Arc::new(Self { receive })
    }

    /// Answers one call. Its bytes are charged while they are held.
    pub(crate) async fn answer(
        &self,
        call: Call,
        body: RecvStream,
        pace: PaceLimits,
        mut charge: Charge,
    ) {
        let pushed = match chunk(body, pace, &mut charge).await {
            Ok(chunk) => self.receive.push(chunk).await.map_err(|refused| status_of(&refused)),
            Err(status) => Err(status),
        };
        match pushed {
            Ok(Progress { n_received, is_stored }) => {
                let response = wire::PushResponse { n_received, stored: is_stored };
                call.reply.message(&response.encode_to_vec());
            }
            Err(status) => call.reply.fail(&status),
        }
    }
}

async fn chunk(
    body: RecvStream,
    pace: PaceLimits,
    charge: &mut Charge,
) -> Result<Chunk, RpcStatus> {
    let mut messages = Messages::new(body, REQUEST_BYTES_MAX, Some(pace));
    let message = messages.next(Some(charge)).await.map_err(|error| unread(&error))?;
    let message = message.filter(|message| !message.compressed);
    let message = message.ok_or_else(|| invalid("expected one uncompressed PushRequest"))?;
    let request =
        wire::PushRequest::decode(message.payload).map_err(|_| invalid("not a PushRequest"))?;
    check(request)
}

fn check(request: wire::PushRequest) -> Result<Chunk, RpcStatus> {
    let archive_id = request.archive_id[..].try_into();
    let archive_id = archive_id.map_err(|_| invalid("archive_id is not 16 bytes"))?;
    if !(1..=ARCHIVE_BYTES_MAX).contains(&request.n_bytes) {
        return Err(invalid("n_bytes is not from 1 to 64 MiB"));
    }
    let end = request.offset.checked_add(request.chunk.len() as u64);
    if request.chunk.len() > CHUNK_BYTES_MAX || end.is_none_or(|end| end > request.n_bytes) {
        return Err(invalid("chunk exceeds 1 MiB, or ends behind the archive"));
    }
    if request.source.len() > SOURCE_BYTES_MAX {
        return Err(invalid("source exceeds 256 bytes"));
    }
    Ok(Chunk {
        archive_id,
        n_bytes: request.n_bytes,
        offset: request.offset,
        bytes: request.chunk,
        source: request.source,
        sequence: request.sequence,
        opened_ns: request.opened_unix_nano,
        closed_ns: request.closed_unix_nano,
    })
}

fn invalid(text: &'static str) -> RpcStatus {
    RpcStatus::new(Code::InvalidArgument, text)
}

fn unread(error: &ReadError) -> RpcStatus {
    match error {
        ReadError::TooLarge { .. } => invalid("PushRequest exceeds 1 MiB and what goes around it"),
        ReadError::Full(full) => RpcStatus::new(Code::Unavailable, full.to_string()),
        ReadError::TooSlow => RpcStatus::new(Code::DeadlineExceeded, "piece came too slowly"),
        ReadError::BadFlags | ReadError::Truncated | ReadError::Broken(_) => {
            invalid("expected one PushRequest")
        }
    }
}

fn status_of(refused: &Refused) -> RpcStatus {
    let text = refused.to_string();
    match refused {
        Refused::Invalid(_) => RpcStatus::new(Code::InvalidArgument, text),
        Refused::Full { retry_after, .. } => {
            RpcStatus::new(Code::ResourceExhausted, text).with_retry_after(*retry_after)
        }
        Refused::Failed(_) => RpcStatus::new(Code::Unavailable, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut wire::PushRequest);

    #[test]
    fn requests_outside_their_bounds_are_refused() {
        let good = || wire::PushRequest {
            archive_id: vec![7; 16].into(),
            n_bytes: 100,
            offset: 90,
            chunk: vec![1; 10].into(),
            source: "a".to_owned(),
            ..wire::PushRequest::default()
        };
        let chunk = check(good()).unwrap();
        assert_eq!((chunk.archive_id, chunk.offset, chunk.bytes.len()), ([7; 16], 90, 10));
        let spoils: [Spoil; 8] = [
            |request| request.archive_id = vec![7; 15].into(),
            |request| request.archive_id = vec![].into(),
            |request| request.n_bytes = 0,
            |request| request.n_bytes = ARCHIVE_BYTES_MAX + 1,
            |request| request.offset = 91,
            |request| request.offset = u64::MAX,
            |request| {
                request.n_bytes = ARCHIVE_BYTES_MAX;
                request.chunk = vec![0; CHUNK_BYTES_MAX + 1].into();
            },
            |request| request.source = "x".repeat(SOURCE_BYTES_MAX + 1),
        ];
        for spoil in spoils {
            let mut request = good();
            spoil(&mut request);
            assert_eq!(check(request).unwrap_err().code, Code::InvalidArgument);
        }
    }
}

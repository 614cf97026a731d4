//! The server's side of `Push`.

use std::sync::Arc;

use h2::RecvStream;
use prost::Message as _;

use crate::admission::Charge;
use crate::archives::CHUNK_BYTES_MAX;
use crate::archives::generated as wire;
use crate::archives::port::{Chunk, Progress, Receive, Refused};
use crate::archives::request::{invalid, read_push};
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
    read_push(message.payload)
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

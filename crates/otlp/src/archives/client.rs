//! The sender's side: one piece at a time, over a connection that is opened when needed.

use std::sync::Arc;

use http::HeaderMap;
use prost::Message as _;

use crate::archives::generated as wire;
use crate::archives::request::write_push;
use crate::archives::{Chunk, PUSH, Progress};
use crate::transport::frame::Message;
use crate::transport::{
    Channel, ChannelError, ChannelLimits, Code, Endpoint, RpcStatus, Spawn, Tls,
};

/// Sends pieces to one receiver.
pub struct Client {
    endpoint: Endpoint,
    tls: Tls,
    limits: ChannelLimits,
    spawn: Arc<dyn Spawn>,
    channel: Option<Channel>,
}

/// Why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ChannelError),
    /// The receiver said no.
    #[error("{endpoint} answered {status}")]
    Refused {
        /// The receiver.
        endpoint: String,
        /// Its answer.
        status: RpcStatus,
    },
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl PushError {
    /// Whether the archive itself was refused, so that sending it again is no use.
    pub fn is_about_the_archive(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.code == Code::InvalidArgument)
    }

    /// When to try again, if the receiver said so.
    pub const fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Connect(_) => None,
            Self::Refused { status, .. } => status.retry_after(),
        }
    }
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(endpoint: Endpoint, tls: Tls, limits: ChannelLimits, spawn: Arc<dyn Spawn>) -> Self {
        Self { endpoint, tls, limits, spawn, channel: None }
    }

    /// Sends one piece and waits for the answer. Tries once; after an error that may lie with the
    /// connection the next call opens another.
    pub async fn push(&mut self, chunk: Chunk) -> Result<Progress, PushError> {
        let channel = self.channel().await?;
        let message = Message { compressed: false, payload: write_push(chunk) };
        let reply = channel.unary(PUSH, HeaderMap::new(), message).await;
        let progress = reply.and_then(|reply| {
            let broken = |_| RpcStatus::new(Code::Internal, "not a PushResponse");
            wire::PushResponse::decode(reply).map_err(broken)
        });
        match progress {
            Ok(wire::PushResponse { n_received, stored }) => {
                Ok(Progress { n_received, is_stored: stored })
            }
            Err(status) => {
                if status.code != Code::InvalidArgument {
                    self.channel = None;
                }
                Err(PushError::Refused { endpoint: self.endpoint.to_string(), status })
            }
        }
    }

    /// The open connection, or a new one.
    async fn channel(&mut self) -> Result<Channel, ChannelError> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let connected = Channel::connect_with(&self.endpoint, self.limits, &self.tls, &*self.spawn);
        Ok(self.channel.insert(connected.await?).clone())
    }
}

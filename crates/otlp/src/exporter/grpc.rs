//! OTLP/gRPC, from the client's side.

use bytes::Bytes;
use http::HeaderValue;

use crate::exporter::client::{ExportError, Exported, REPLY_BYTES_MAX};
use crate::exporter::config::Config;
use crate::status::parse_export_response;
use crate::transport::frame::Message;
use crate::transport::{Channel, ChannelError, ChannelLimits, Code, Compression, RpcStatus, Spawn};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A connection that may be open.
#[derive(Debug, Default)]
pub(super) struct GrpcClient {
    channel: Option<Channel>,
}

impl GrpcClient {
    pub(super) fn share(&mut self, other: &Self) {
        self.channel.clone_from(&other.channel);
    }

    pub(super) fn disconnect(&mut self) {
        self.channel = None;
    }

    /// Sends one request, compressed as the configuration says.
    pub(super) async fn export(
        &mut self,
        config: &Config,
        spawn: &dyn Spawn,
        payload: Bytes,
    ) -> Result<Exported, ExportError> {
        let channel = self.channel(config, spawn).await?.clone();
        let mut headers = config.headers.clone();
        let compressed = config.compression != Compression::Identity;
        if compressed {
            let name = HeaderValue::from_static(config.compression.as_str());
            headers.insert("grpc-encoding", name);
        }
        let reply = channel.unary(EXPORT, headers, Message { compressed, payload }).await;
        match reply {
            Ok(reply) => Ok(Exported { partial: parse_export_response(&reply) }),
            Err(status) => {
                if matches!(status.code, Code::Unavailable | Code::Internal | Code::Cancelled) {
                    // The connection may be the reason; a new one is cheap beside a failed request.
                    self.disconnect();
                }
                Err(error_of(config, &status))
            }
        }
    }

    async fn channel(
        &mut self,
        config: &Config,
        spawn: &dyn Spawn,
    ) -> Result<&Channel, ExportError> {
        let limits = ChannelLimits { timeout: config.timeout, reply_bytes_max: REPLY_BYTES_MAX };
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => Channel::connect_with(&config.endpoint, limits, &config.tls, spawn)
                .await
                .map_err(|error| no_channel(&error))?,
        };
        Ok(self.channel.insert(channel))
    }
}

fn no_channel(error: &ChannelError) -> ExportError {
    let message = error.to_string();
    match error {
        ChannelError::Connect(error) if error.is_permanent() => ExportError::Permanent { message },
        // The other side may be starting, or being replaced.
        _ => ExportError::Retryable { message, after: None },
    }
}

fn error_of(config: &Config, status: &RpcStatus) -> ExportError {
    let message = format!("{} answered {status}", config.endpoint);
    let after = status.retry_after();
    if status.code.is_retryable(after.is_some()) {
        ExportError::Retryable { message, after }
    } else {
        ExportError::Permanent { message }
    }
}

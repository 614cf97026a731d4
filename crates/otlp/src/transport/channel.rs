//! A gRPC client's connection: opaque messages out, opaque messages in.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use crate::transport::code::Code;
use crate::transport::connect::{ConnectError, connect};
use crate::transport::endpoint::Endpoint;
use crate::transport::frame::{self, Message, Messages, ReadError};
use crate::transport::keepalive::{self, Keepalive};
use crate::transport::rpc_status::RpcStatus;
use crate::transport::spawn::Spawn;
use crate::transport::tls::{Alpn, Tls};

/// Window of the connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Largest header list we accept from a server.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Pings, so that a dead peer is noticed within half a minute.
const KEEPALIVE: Keepalive =
    Keepalive { every: Duration::from_secs(20), timeout: Duration::from_secs(10) };

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ChannelLimits {
    /// Longest wait for connecting and for the first headers of a reply.
    pub timeout: Duration,
    /// Largest message accepted from the server.
    pub reply_bytes_max: u64,
}

/// An open HTTP/2 connection that speaks gRPC. Any number of calls may be under way at once.
#[derive(Clone, Debug)]
pub struct Channel {
    send: h2::client::SendRequest<Bytes>,
    /// Scheme, host and port, before which the method's path is put.
    base: String,
    limits: ChannelLimits,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// No connection could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Nothing answered in time.
    #[error("no answer from {endpoint} within {timeout:?}")]
    Timeout {
        /// Where to.
        endpoint: String,
        /// How long it was tried.
        timeout: Duration,
    },
    /// The other side does not speak HTTP/2.
    #[error("{endpoint} does not answer as a grpc server: {source}; is it the http port?")]
    Protocol {
        /// Where to.
        endpoint: String,
        /// What HTTP/2 said.
        source: h2::Error,
    },
}

/// Messages of one streaming reply.
#[derive(Debug)]
pub(crate) struct Replies {
    messages: Messages,
    /// A status that came with the first headers, before any message.
    early: Option<RpcStatus>,
}

impl Channel {
    /// Connects, and hands the task that drives the connection to `spawn`; it ends when the last
    /// clone of the channel and the last reply are gone.
    pub async fn connect(
        endpoint: &Endpoint,
        limits: ChannelLimits,
        spawn: &dyn Spawn,
    ) -> Result<Self, ChannelError> {
        Self::connect_with(endpoint, limits, &Tls::default(), spawn).await
    }

    /// The same, trusting other certificates as well.
    pub async fn connect_with(
        endpoint: &Endpoint,
        limits: ChannelLimits,
        tls: &Tls,
        spawn: &dyn Spawn,
    ) -> Result<Self, ChannelError> {
        let shown = || endpoint.to_string();
        let timeout = limits.timeout;
        let opened = tokio::time::timeout(timeout, async {
            let io = connect(endpoint, Alpn::Http2, tls, spawn).await?;
            let mut builder = h2::client::Builder::new();
            builder
                .initial_window_size(frame::WINDOW_BYTES as u32)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(HEADER_LIST_BYTES_MAX)
                .enable_push(false);
            builder
                .handshake::<_, Bytes>(io)
                .await
                .map_err(|source| ChannelError::Protocol { endpoint: shown(), source })
        });
        let Ok(opened) = opened.await else {
            return Err(ChannelError::Timeout { endpoint: shown(), timeout });
        };
        let (send, mut connection) = opened?;
        let pings = connection.ping_pong();
        let alive = keepalive::watch(pings, KEEPALIVE);
        spawn.spawn(
            async move {
                // However the connection ends, the calls on it learn it from their streams.
                futures_util::future::select(Box::pin(connection), Box::pin(alive)).await;
            }
            .boxed(),
        );
        Ok(Self {
            send,
            base: format!("{}://{}", endpoint.scheme().as_str(), endpoint.authority()),
            limits,
        })
    }

    /// Calls a method with one message and one reply. `compressed` says whether `message` is, with
    /// the encoding named in `headers`.
    pub(crate) async fn unary(
        &self,
        path: &str,
        headers: HeaderMap,
        message: Message,
    ) -> Result<Bytes, RpcStatus> {
        let mut replies = self.call(path, headers, message).await?;
        let reply = replies.next().await?;
        let end = replies.next().await?;
        match (reply, end) {
            (Some(reply), None) => Ok(reply),
            _ => Err(RpcStatus::new(Code::Internal, "reply is not exactly one message")),
        }
    }

    /// Calls a method with one message and any number of replies.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: HeaderMap,
        message: Message,
    ) -> Result<Replies, RpcStatus> {
        let request = self.request(path, headers)?;
        let mut send = self.send.clone().ready().await.map_err(|error| broken(&error))?;
        let (response, mut body) =
            send.send_request(request, false).map_err(|error| broken(&error))?;
        // A server may answer before it has read everything, and then does not read on: whatever
        // comes first decides.
        let sending = frame::send_last(&mut body, message);
        let sending = std::pin::pin!(sending);
        let answered = tokio::time::timeout(self.limits.timeout, async {
            let mut response = std::pin::pin!(response);
            match futures_util::future::select(response.as_mut(), sending).await {
                futures_util::future::Either::Left((answer, _)) => answer,
                // If sending failed, the response tells why.
                futures_util::future::Either::Right((_, _)) => response.await,
            }
        });
        let Ok(answered) = answered.await else {
            return Err(RpcStatus::new(Code::DeadlineExceeded, "no answer in time"));
        };
        let (head, body) = answered.map_err(|error| broken(&error))?.into_parts();
        if head.status != http::StatusCode::OK {
            let code = Code::from_http(head.status.as_u16());
            return Err(RpcStatus::new(code, format!("http status {}", head.status)));
        }
        let early = RpcStatus::from_headers(&head.headers);
        match early {
            Some(status) if status.code != Code::Ok => Err(status),
            early => {
                let messages = Messages::new(body, self.limits.reply_bytes_max, None);
                Ok(Replies { messages, early })
            }
        }
    }

    fn request(&self, path: &str, headers: HeaderMap) -> Result<Request<()>, RpcStatus> {
        let uri: http::Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| RpcStatus::new(Code::Internal, "address is not a url"))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let fixed = [
            (http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (http::header::TE, HeaderValue::from_static("trailers")),
            (http::header::USER_AGENT, HeaderValue::from_static(super::USER_AGENT)),
        ];
        request
            .headers_mut()
            .extend(fixed.map(|(name, value): (HeaderName, _)| (Some(name), value)));
        Ok(request)
    }
}

impl Replies {
    /// The next message, `None` after a successful end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, RpcStatus> {
        match self.messages.next(None).await {
            Ok(Some(message)) if message.compressed => {
                Err(RpcStatus::new(Code::Internal, "reply is compressed, which was not offered"))
            }
            Ok(Some(message)) => Ok(Some(message.payload)),
            Ok(None) => self.end().await,
            Err(error) => Err(reply_error(error)),
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, RpcStatus> {
        let trailers = self.messages.trailers().await.map_err(|error| broken(&error))?;
        let status = trailers.as_ref().and_then(RpcStatus::from_headers);
        match status.or(self.early.take()) {
            Some(status) if status.code == Code::Ok => Ok(None),
            Some(status) => Err(status),
            None => Err(RpcStatus::new(Code::Unknown, "reply ended without a status")),
        }
    }
}

fn broken(error: &h2::Error) -> RpcStatus {
    // gRPC's table: a refused stream and a lost connection were not carried out.
    let code = match error.reason() {
        Some(h2::Reason::CANCEL) => Code::Cancelled,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        Some(h2::Reason::REFUSED_STREAM | h2::Reason::NO_ERROR) | None => Code::Unavailable,
        Some(_) => Code::Internal,
    };
    RpcStatus::new(code, format!("connection: {error}"))
}

fn reply_error(error: ReadError) -> RpcStatus {
    match error {
        ReadError::TooLarge { n_bytes, limit } => {
            let text = format!("reply of {n_bytes} bytes exceeds the limit of {limit}");
            // Sending the same again would bring the same reply.
            RpcStatus::new(Code::FailedPrecondition, text)
        }
        ReadError::BadFlags => RpcStatus::new(Code::Internal, "reply is not grpc"),
        ReadError::Truncated => RpcStatus::new(Code::Unavailable, "reply ended inside a message"),
        ReadError::Full(full) => RpcStatus::new(Code::ResourceExhausted, full.to_string()),
        ReadError::TooSlow => RpcStatus::new(Code::DeadlineExceeded, "reply came too slowly"),
        ReadError::Broken(error) => broken(&error),
    }
}

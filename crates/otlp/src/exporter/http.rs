//! OTLP/HTTP with protobuf, from the client's side, over HTTP/1.1.

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::exporter::client::{ExportError, Exported, REPLY_BYTES_MAX};
use crate::exporter::config::Config;
use crate::exporter::retry::retry_after;
use crate::status::parse_export_response;
use crate::transport::{self, Alpn, Compression, Spawn};

const TRACES: &str = "/v1/traces";

/// A connection that may be open.
#[derive(Debug, Default)]
pub(super) struct HttpClient {
    send: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    pub(super) fn disconnect(&mut self) {
        self.send = None;
    }

    /// Sends one request, compressed as the configuration says.
    pub(super) async fn export(
        &mut self,
        config: &Config,
        spawn: &dyn Spawn,
        payload: Bytes,
    ) -> Result<Exported, ExportError> {
        let was_open = self.is_open().await;
        if !was_open {
            self.connect(config, spawn).await?;
        }
        let retryable = |message| ExportError::Retryable { message, after: None };
        let Some(send) = &mut self.send else { return Err(retryable("not connected".to_owned())) };
        let request = request(config, payload)?;
        let answered = send.send_request(request).await;
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                // Disconnected without a reply: OTLP lets us send it again.
                self.disconnect();
                let message = format!("{} closed the connection: {error}", config.endpoint);
                return Err(retryable(message));
            }
        };
        let result = outcome(config, response).await;
        if result.is_err() {
            // The rest of the reply may not have been read.
            self.disconnect();
        }
        result
    }

    /// Whether the connection can take a request; a server may have closed it meanwhile.
    async fn is_open(&mut self) -> bool {
        match &mut self.send {
            Some(send) => send.ready().await.is_ok(),
            None => false,
        }
    }

    async fn connect(&mut self, config: &Config, spawn: &dyn Spawn) -> Result<(), ExportError> {
        let io = transport::connect(&config.endpoint, Alpn::Http1, &config.tls, spawn)
            .await
            .map_err(|error| {
                let message = error.to_string();
                if error.is_permanent() {
                    ExportError::Permanent { message }
                } else {
                    ExportError::Retryable { message, after: None }
                }
            })?;
        let opened = http1::handshake(TokioIo::new(io)).await;
        let (send, connection) = opened.map_err(|error| ExportError::Retryable {
            message: format!("cannot open {}: {error}", config.endpoint),
            after: None,
        })?;
        // Its errors reach us through the requests on it.
        spawn.spawn(connection.map(drop).boxed());
        self.send = Some(send);
        Ok(())
    }
}

fn request(config: &Config, payload: Bytes) -> Result<Request<Full<Bytes>>, ExportError> {
    let endpoint = &config.endpoint;
    let path = endpoint.path();
    let path = if path.ends_with(TRACES) { path.to_owned() } else { format!("{path}{TRACES}") };
    let mut request = Request::new(Full::new(payload));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = config.headers.clone();
    let bad = || ExportError::Permanent { message: format!("{endpoint} is not a valid address") };
    *request.uri_mut() = path.parse().map_err(|_| bad())?;
    let host = HeaderValue::from_str(&endpoint.authority()).map_err(|_| bad())?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(transport::USER_AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    if config.compression != Compression::Identity {
        let name = HeaderValue::from_static(config.compression.as_str());
        headers.insert(CONTENT_ENCODING, name);
    }
    Ok(request)
}

async fn outcome(config: &Config, response: Response<Incoming>) -> Result<Exported, ExportError> {
    let (head, body) = response.into_parts();
    let status = head.status;
    if status.is_success() {
        let body = read(config, body).await?;
        // We do not ask for a compressed reply; what comes so is success all the same.
        let is_plain = !head.headers.contains_key(CONTENT_ENCODING);
        let partial = is_plain.then(|| parse_export_response(&body)).flatten();
        return Ok(Exported { partial });
    }
    let message = format!("{} answered {status}", config.endpoint);
    if is_retryable(status) {
        Err(ExportError::Retryable { message, after: retry_after(&head.headers) })
    } else {
        Err(ExportError::Permanent { message: format!("{message}{}", hint(status, &head.headers)) })
    }
}

/// A reply, up to the limit.
async fn read(config: &Config, mut body: Incoming) -> Result<Bytes, ExportError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ExportError::Retryable {
            message: format!("reply of {} broke off: {error}", config.endpoint),
            after: None,
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if (whole.len() + data.len()) as u64 > REPLY_BYTES_MAX {
            let endpoint = &config.endpoint;
            let message = format!("reply of {endpoint} is larger than {REPLY_BYTES_MAX} bytes");
            return Err(ExportError::Permanent { message });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

const fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// What to look into. Redirects are not followed: they would carry headers to a stranger.
fn hint(status: StatusCode, headers: &HeaderMap) -> &'static str {
    match status.as_u16() {
        300..=399 if headers.contains_key("location") => "; redirects are not followed",
        401 | 403 => "; check the headers it needs",
        404 => "; check the path of the endpoint",
        _ => "",
    }
}

//! Where to send, and how.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::transport::{Compression, Endpoint, Tls};

/// How requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf.
    HttpProtobuf,
}

/// Settings of one destination.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to. For HTTP, `/v1/traces` is put behind a path that does not end with it.
    pub endpoint: Endpoint,
    /// How.
    pub protocol: Protocol,
    /// Compression of requests. Default none.
    pub compression: Compression,
    /// Headers (gRPC: metadata) sent with each request, such as an API key. Never logged.
    pub headers: HeaderMap,
    /// Longest wait for the answer to one request, connecting included. Default 10 s.
    pub timeout: Duration,
    /// Most bytes of requests waiting. Default 32 MiB.
    pub queue_bytes_max: usize,
    /// Seeds the jitter of retries.
    pub seed: u64,
    /// Whom to trust under `https`.
    pub tls: Tls,
}

/// Why a header cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a header name.
    #[error("`{0}` is not a header name; use letters, digits and `-`")]
    HeaderName(String),
    /// A value with control characters. The value itself is not shown: it may be a secret.
    #[error("the value of header `{0}` has characters that cannot be sent")]
    HeaderValue(String),
}

impl Config {
    /// The defaults for a destination.
    pub fn new(endpoint: Endpoint, protocol: Protocol) -> Self {
        Self {
            endpoint,
            protocol,
            compression: Compression::Identity,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            queue_bytes_max: 32 << 20,
            seed: 0,
            tls: Tls::default(),
        }
    }

    /// Adds a header. A later one of the same name wins.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let key: HeaderName = name
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| ConfigError::HeaderName(name.to_owned()))?;
        let mut value: HeaderValue =
            value.parse().map_err(|_| ConfigError::HeaderValue(name.to_owned()))?;
        value.set_sensitive(true);
        self.headers.insert(key, value);
        Ok(())
    }
}

impl Protocol {
    /// `grpc` or `http/protobuf`, as `OTEL_EXPORTER_OTLP_PROTOCOL` spells them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }

    /// The port it is usually served on.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf => 4318,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_errors_or_debug_output() {
        let endpoint = Endpoint::parse("http://localhost", 4317).unwrap();
        let mut config = Config::new(endpoint, Protocol::Grpc);
        config.header("Api-Key", "hunter2").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = config.header("api-key", "hunter2\n").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(config.header("api key", "x").is_err());
    }
}

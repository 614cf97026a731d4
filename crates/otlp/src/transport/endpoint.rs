//! The address of a server, from what a user wrote.

use std::fmt;

use http::Uri;

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Where to connect to, and the path below which a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    /// Host name or address; IPv6 without brackets.
    host: String,
    port: u16,
    /// Empty, or starting with `/` and not ending with it.
    path: String,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("`{0}` is not an address; write it as http://host:port")]
    Malformed(String),
    /// Neither `http` nor `https`.
    #[error("scheme `{0}` is not supported; use http:// or https://")]
    UnknownScheme(String),
    /// A user name or password in the URL.
    #[error("credentials do not belong in an address; send them as a header")]
    Credentials,
}

impl Endpoint {
    /// Reads `http://host:port/path`; scheme, port and path may be left out (`http`, and
    /// `default_port`).
    pub fn parse(text: &str, default_port: u16) -> Result<Self, EndpointError> {
        let malformed = || EndpointError::Malformed(text.to_owned());
        let has_scheme = text.contains("://");
        let full = if has_scheme { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = full.parse().map_err(|_| malformed())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            other => {
                return Err(EndpointError::UnknownScheme(other.unwrap_or_default().to_owned()));
            }
        };
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // `http` reads a port it cannot represent as none.
        let names_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if names_port => return Err(malformed()),
            None => default_port,
        };
        if host.is_empty() || uri.query().is_some() {
            return Err(malformed());
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, host: host.to_owned(), port, path })
    }

    /// Whether to encrypt.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address, as `connect` takes it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path, empty if there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host:port` as it stands in requests.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = Endpoint::parse(text, 4317)
            .map_or_else(|error| error.to_string(), |endpoint| endpoint.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn addresses_are_completed() {
        check("collector", "http://collector:4317");
        check("127.0.0.1:9", "http://127.0.0.1:9");
        check("[::1]:9", "http://[::1]:9");
        check("https://example.org/otlp/", "https://example.org:4317/otlp");
        check("http://host:4318/v1/traces", "http://host:4318/v1/traces");
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_the_remedy() {
        check("", "`` is not an address; write it as http://host:port");
        check("http://a b", "`http://a b` is not an address; write it as http://host:port");
        check("host:99999", "`host:99999` is not an address; write it as http://host:port");
        check(
            "http://host?x=1",
            "`http://host?x=1` is not an address; write it as http://host:port",
        );
        check("ftp://host", "scheme `ftp` is not supported; use http:// or https://");
        check(
            "http://me:secret@host",
            "credentials do not belong in an address; send them as a header",
        );
    }
}

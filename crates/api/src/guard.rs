//! What stands before every request: the host must be ours, and every reply tells the browser what
//! it may do with it.
//!
//! On loopback the host is checked against a list, because a page of anybody's can point a name of
//! its own at 127.0.0.1 and then read what we answer (DNS rebinding). There are no CORS headers and
//! no requests that change anything.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

use crate::problem::Problem;

/// Headers of every reply. Scripts and styles come from here alone, and nobody frames the page.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Which names a request may come under.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Lower-case names without port; `None` lets every name pass.
    allowed: Option<Arc<[String]>>,
}

impl Hosts {
    /// For a loopback listener: `localhost`, the loopback addresses, and `others`, names without
    /// port under which a proxy passes requests on.
    pub fn loopback(others: &[String]) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let others = others.iter().map(|name| name.to_ascii_lowercase());
        Self { allowed: Some(own.into_iter().chain(others).collect()) }
    }

    /// For a listener that is open by the user's wish: any name.
    pub const fn any() -> Self {
        Self { allowed: None }
    }

    fn allow(&self, host: &str) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let name = without_port(host).to_ascii_lowercase();
        allowed.contains(&name)
    }
}

/// Refuses foreign hosts and sets the headers of the reply.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = match host(&request) {
        Some(host) if hosts.allow(host) => next.run(request).await,
        host => Problem::foreign_host(host.unwrap_or_default()).into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The host as the client named it: HTTP/2 puts it into the address.
fn host(request: &Request) -> Option<&str> {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    request.uri().authority().map(http::uri::Authority::as_str).or(named)
}

/// `[::1]:7300` is `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_pass_on_loopback() {
        let hosts = Hosts::loopback(&["Trace.Example.com".to_owned()]);
        let check = |host: &str, expected: bool| assert_eq!(hosts.allow(host), expected, "{host}");
        check("localhost", true);
        check("LOCALHOST:7300", true);
        check("127.0.0.1:7300", true);
        check("[::1]:7300", true);
        check("[::1]", true);
        check("trace.example.com", true);
        check("evil.example.com:7300", false);
        check("127.0.0.1.evil.example.com", false);
        check("localhost:evil", false);
        check("", false);
        assert!(Hosts::any().allow("anything"));
    }
}

//! Addresses to listen on.

use std::net::SocketAddr;

use spanwise_otlp::transport::Endpoint;

use super::{Listen, Problems};
use crate::config::raw::RawListen;

pub(super) fn listen(raw: &RawListen, problems: &mut Problems) -> Option<Listen> {
    let mut address = |path: &str, text: &Option<String>, default: &str| {
        let text = text.as_deref().unwrap_or(default);
        let addr = match address_of(text) {
            Ok(addr) => addr,
            Err(error) => {
                problems.error(
                    path,
                    "C003",
                    error,
                    &format!("write {default}, with an ip address"),
                );
                return None;
            }
        };
        if let Err(error) = spanwise_otlp::receiver::check_bind(addr, raw.insecure) {
            problems.error(path, "C004", error.to_string(), "use 127.0.0.1, or write `insecure: true` under `listen` if something in front of it authenticates");
            return None;
        }
        Some(addr)
    };
    let otlp_grpc = address("listen.otlp_grpc", &raw.otlp_grpc, "127.0.0.1:4317");
    let otlp_http = address("listen.otlp_http", &raw.otlp_http, "127.0.0.1:4318");
    let http = address("listen.http", &raw.http, "127.0.0.1:7300");
    let listen = Listen {
        otlp_grpc: otlp_grpc?,
        otlp_http: otlp_http?,
        http: http?,
        insecure: raw.insecure,
    };
    for (path, addr, other, theirs) in [
        ("listen.otlp_http", listen.otlp_http, "otlp_grpc", listen.otlp_grpc),
        ("listen.http", listen.http, "otlp_grpc", listen.otlp_grpc),
        ("listen.http", listen.http, "otlp_http", listen.otlp_http),
    ] {
        if collide(addr, theirs) {
            let message = format!("{addr} is taken by listen.{other} ({theirs})");
            problems.error(path, "C013", message, "give each listener a port of its own");
            return None;
        }
    }
    Some(listen)
}

/// An address to listen on. Of names only `localhost` is known, as the address every system has for
/// it: what others resolve to may be reachable from outside.
pub fn address_of(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.split_once(':') {
        Some((name, port)) if name.eq_ignore_ascii_case("localhost") => format!("127.0.0.1:{port}"),
        _ => text.to_owned(),
    };
    numeric.parse().map_err(|_| format!("`{text}` is not an address with a port"))
}

/// The OTLP listener that an endpoint leads back to, if any.
pub(super) fn own_listener(listen: &Listen, endpoint: &Endpoint) -> Option<SocketAddr> {
    let leads_to = |addr: &SocketAddr| {
        let is_local =
            |local: bool| local && (addr.ip().is_loopback() || addr.ip().is_unspecified());
        let same_host = match endpoint.host().parse::<std::net::IpAddr>() {
            Ok(ip) => ip == addr.ip() || (addr.ip().is_unspecified() && ip.is_loopback()),
            Err(_) => is_local(endpoint.host().eq_ignore_ascii_case("localhost")),
        };
        addr.port() != 0 && addr.port() == endpoint.port() && same_host
    };
    [listen.otlp_grpc, listen.otlp_http].into_iter().find(leads_to)
}

/// Whether two listeners cannot be opened at once.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let one_is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || one_is_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_numeric_or_localhost() {
        for (text, expected) in [
            ("127.0.0.1:4317", Some("127.0.0.1:4317")),
            ("localhost:4317", Some("127.0.0.1:4317")),
            ("[::1]:1", Some("[::1]:1")),
            ("localhost", None),
            ("example.org:4317", None),
            (":4317", None),
        ] {
            let addr = address_of(text).ok().map(|addr| addr.to_string());
            assert_eq!(addr.as_deref(), expected, "{text}");
        }
    }
}

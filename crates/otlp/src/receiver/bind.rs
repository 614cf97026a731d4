//! Opening a listener, and refusing to open one to the world by accident.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a listener was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is reachable from other machines and nobody said that this is wanted.
    #[error(
        "{addr} is reachable from other machines, and this listener has neither tls nor \
         authentication; listen on 127.0.0.1, or set `insecure: true` under `listen` (flag \
         --insecure)"
    )]
    Exposed {
        /// The address.
        addr: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {addr}: {source}{}", remedy(source))]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}

/// Refuses an address other than loopback unless `insecure` says that it is wanted.
pub fn check_bind(addr: SocketAddr, insecure: bool) -> Result<(), BindError> {
    // An IPv4 address in IPv6 clothes is what it wears underneath.
    if insecure || addr.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(BindError::Exposed { addr })
    }
}

/// Checks the address and listens on it.
pub async fn bind(addr: SocketAddr, insecure: bool) -> Result<TcpListener, BindError> {
    check_bind(addr, insecure)?;
    TcpListener::bind(addr).await.map_err(|source| BindError::Io { addr, source })
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; is another spanwise or collector running? choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_without_being_asked_for() {
        for addr in ["127.0.0.1:4317", "127.9.9.9:1", "[::1]:4317", "[::ffff:127.0.0.1]:1"] {
            assert!(check_bind(addr.parse().unwrap(), false).is_ok(), "{addr}");
        }
        for addr in ["0.0.0.0:4317", "[::]:4317", "10.1.2.3:1", "[::ffff:10.1.2.3]:1"] {
            let error = check_bind(addr.parse().unwrap(), false).unwrap_err().to_string();
            assert!(error.contains("insecure: true") && error.contains("127.0.0.1"), "{error}");
            assert!(check_bind(addr.parse().unwrap(), true).is_ok(), "{addr}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_remedy() {
        let first = bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let error = bind(first.local_addr().unwrap(), false).await.unwrap_err().to_string();
        assert!(error.contains("choose another port"), "{error}");
    }
}

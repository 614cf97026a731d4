//! HTTP/2 pings: notices a peer that is gone without having closed the connection.

use std::time::Duration;

use h2::{Ping, PingPong};

/// How often to ping, and how long to wait for the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
}

/// Pings for ever; returns once the peer does not answer. Without a ping handle it never returns.
pub(crate) async fn watch(pings: Option<PingPong>, keepalive: Keepalive) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(keepalive.every).await;
        let answered = tokio::time::timeout(keepalive.timeout, pings.ping(Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_))) {
            return;
        }
    }
}

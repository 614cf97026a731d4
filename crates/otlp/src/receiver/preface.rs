//! Looks at the first bytes of a connection, so that OTLP/HTTP sent to the gRPC port is told so
//! instead of being cut off.

use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::transport::{Phase, Shutdown};

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// HTTP/2, or something only HTTP/2 can refuse properly.
    Http2,
    /// HTTP/1: an exporter with the wrong protocol or the wrong port.
    Http1,
    /// Nobody any more.
    Closed,
}

/// Pause before looking again when only one byte has come: it cannot be waited for the second
/// while the first is left unread.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for the first two bytes without reading them.
pub(super) async fn sniff(io: &TcpStream) -> Preface {
    loop {
        let mut start = [0; 2];
        match io.peek(&mut start).await {
            Ok(0) | Err(_) => return Preface::Closed,
            Ok(1) if start[0] == b'P' => tokio::time::sleep(PAUSE).await,
            // The HTTP/2 preface is "PRI * HTTP/2.0"; HTTP/1 methods are other capital letters.
            Ok(_) if start == *b"PR" || !start[0].is_ascii_uppercase() => return Preface::Http2,
            Ok(_) => return Preface::Http1,
        }
    }
}

/// Waits for the beginning of a connection, but not once the process stops: whoever has asked
/// nothing by then is not waited for. `None` if it stops.
pub(super) async fn unless_draining<T>(
    beginning: impl Future<Output = T>,
    shutdown: &Shutdown,
) -> Option<T> {
    let mut shutdown = shutdown.clone();
    let beginning = std::pin::pin!(beginning);
    let drain = std::pin::pin!(shutdown.reached(Phase::Draining));
    match select(beginning, drain).await {
        Either::Left((begun, _)) => Some(begun),
        Either::Right(_) => None,
    }
}

/// Answers an HTTP/1 request, whatever it was, with a hint, and closes.
pub(super) async fn answer_http1(mut io: TcpStream, hint: &str) {
    let n_bytes = hint.len();
    let reply = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {n_bytes}\r\nconnection: close\r\n\r\n{hint}"
    );
    // The client may be gone; then it misses the hint, which is counted anyway.
    if io.write_all(reply.as_bytes()).await.is_ok() {
        drop(io.shutdown().await);
    }
}

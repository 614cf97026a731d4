//! The HTTP listener: OTLP in protobuf and JSON on one port, over HTTP/1.1 and, without TLS, HTTP/2.

mod body;
mod connection;
mod reply;
mod route;

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::net::TcpListener;

use crate::receiver::connections;
use crate::receiver::intake::Intake;
use crate::receiver::port::Protocol;
use crate::transport::Shutdown;

/// Serves `POST /v1/traces` until the shutdown begins and the last connection has ended.
/// Connections run as tasks of their own.
pub async fn serve(listener: TcpListener, intake: Arc<Intake>, shutdown: Shutdown) {
    let shared = Arc::clone(&intake);
    let serve: connections::Serve = Arc::new(move |io, peer, shutdown| {
        connection::serve(io, peer, Arc::clone(&intake), shutdown).boxed()
    });
    connections::accept(listener, shared, Protocol::HttpProtobuf, shutdown, serve).await;
}

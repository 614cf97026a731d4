//! One HTTP/2 connection: its frames and its calls are driven by one task.
//!
//! Calls are not tasks of their own: a small request then costs no hand-over between threads, and
//! what a call may compute at length is handed to [`Spawn::offload`](crate::transport::Spawn).

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::net::TcpStream;

use crate::receiver::activity::{Activity, Counted, InFlight};
use crate::receiver::config::http2;
use crate::receiver::grpc::watchdog::{Alarm, Watchdog};
use crate::receiver::grpc::{Server, route};
use crate::receiver::port::{ConnectionEnd, Protocol, ReceiverEvent};
use crate::receiver::preface::{self, Preface};
use crate::transport::{Phase, Shutdown};

/// Serves one connection to its end.
pub(super) async fn serve(
    io: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    shutdown: Shutdown,
) {
    let ingest = Arc::clone(&server.intake.ingest);
    if let Some(end) = run(io, peer, server, shutdown).await {
        ingest.record(ReceiverEvent::Connection { protocol: Protocol::Grpc, peer, end });
    }
}

/// Why the connection ended, if that is worth counting.
async fn run(
    io: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    shutdown: Shutdown,
) -> Option<ConnectionEnd> {
    let config = server.intake.config;
    let activity = Arc::<Activity>::default();
    let opened = tokio::time::timeout(config.header_timeout, async {
        match preface::sniff(&io).await {
            Preface::Http2 => {
                let io = Counted::new(io, Arc::clone(&activity));
                Ok(builder().handshake::<_, Bytes>(io).await)
            }
            Preface::Http1 => {
                preface::answer_http1(io, &config.ports.not_grpc()).await;
                Err(Some(ConnectionEnd::WrongProtocol))
            }
            Preface::Closed => Err(None),
        }
    });
    let mut connection = match preface::unless_draining(opened, &shutdown).await? {
        Err(_) => return Some(ConnectionEnd::SlowHeaders),
        Ok(Err(end)) => return end,
        Ok(Ok(Err(error))) => return end_of(&error),
        Ok(Ok(Ok(connection))) => connection,
    };
    let watchdog =
        Watchdog::new(connection.ping_pong(), Arc::clone(&activity), config.idle_timeout);
    let mut drain = shutdown.clone();
    let drain = async move { drain.reached(Phase::Draining).await }.boxed();
    let mut driver = Driver {
        connection,
        calls: FuturesUnordered::new(),
        activity,
        watchdog,
        drain: Some(drain),
        end: None,
        server,
        peer,
        shutdown,
    };
    std::future::poll_fn(|cx| driver.poll(cx)).await
}

struct Driver {
    connection: h2::server::Connection<Counted, Bytes>,
    /// Calls under way: at most as many as the connection may have streams, plus those already
    /// answered or reset and not yet noticed.
    calls: FuturesUnordered<BoxFuture<'static, ()>>,
    activity: Arc<Activity>,
    watchdog: Watchdog,
    /// Ready once the shutdown begins; gone after that.
    drain: Option<BoxFuture<'static, ()>>,
    /// Why we are closing, if we are.
    end: Option<ConnectionEnd>,
    server: Arc<Server>,
    peer: SocketAddr,
    shutdown: Shutdown,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEnd>> {
        if let Some(drain) = &mut self.drain
            && drain.poll_unpin(cx).is_ready()
        {
            self.drain = None;
            self.connection.graceful_shutdown();
        }
        match self.watchdog.poll(cx) {
            Poll::Ready(Alarm::Dead) => return Poll::Ready(Some(ConnectionEnd::Dead)),
            Poll::Ready(Alarm::Idle) if self.end.is_none() => {
                self.end = Some(ConnectionEnd::Idle);
                self.connection.graceful_shutdown();
            }
            // Told to go long ago, and still here.
            Poll::Ready(Alarm::Idle) => return Poll::Ready(self.end),
            Poll::Pending => {}
        }
        loop {
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {}
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (server, shutdown) = (Arc::clone(&self.server), self.shutdown.clone());
                    let in_flight = InFlight::new(&self.activity);
                    let call = route::answer(request, respond, self.peer, server, shutdown);
                    self.calls.push(call.map(|()| drop(in_flight)).boxed());
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.end.or(end_of(&error))),
                Poll::Ready(None) => return Poll::Ready(self.end),
                // What was just read may have woken calls: they are polled in this turn, not in
                // another one.
                Poll::Pending => match self.calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

/// A broken connection is nothing to count; a peer that broke the rules is.
fn end_of(error: &h2::Error) -> Option<ConnectionEnd> {
    (!error.is_io() && !error.is_remote()).then_some(ConnectionEnd::Violation)
}

fn builder() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(http2::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(http2::CONNECTION_WINDOW_BYTES)
        .max_frame_size(http2::FRAME_BYTES_MAX)
        .max_header_list_size(http2::HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(http2::N_STREAMS_MAX)
        .max_concurrent_reset_streams(http2::N_REMEMBERED_RESETS)
        .max_pending_accept_reset_streams(http2::N_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(http2::N_ERROR_RESETS_MAX))
        .max_send_buffer_size(http2::SEND_BUFFER_BYTES);
    builder
}

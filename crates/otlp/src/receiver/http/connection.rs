//! One connection of the HTTP listener.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::receiver::activity::{Activity, Counted, InFlight};
use crate::receiver::config::http2 as limits;
use crate::receiver::http::route;
use crate::receiver::intake::Intake;
use crate::receiver::port::{ConnectionEnd, Protocol, ReceiverEvent};
use crate::receiver::preface::{self, Preface};
use crate::transport::{Phase, Shutdown, Spawn};

/// Read buffer of an HTTP/1 connection, and so the largest piece of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Most header fields of one request.
const N_HEADERS_MAX: usize = 100;

/// Serves one connection to its end.
pub(super) async fn serve(
    io: TcpStream,
    peer: SocketAddr,
    intake: Arc<Intake>,
    shutdown: Shutdown,
) {
    if let Some(end) = run(io, peer, &intake, shutdown).await {
        let protocol = Protocol::HttpProtobuf;
        intake.ingest.record(ReceiverEvent::Connection { protocol, peer, end });
    }
}

/// Why the connection ended, if that is worth counting.
async fn run(
    io: TcpStream,
    peer: SocketAddr,
    intake: &Arc<Intake>,
    shutdown: Shutdown,
) -> Option<ConnectionEnd> {
    let preface = tokio::time::timeout(intake.config.header_timeout, preface::sniff(&io));
    match preface::unless_draining(preface, &shutdown).await? {
        Err(_) => Some(ConnectionEnd::SlowHeaders),
        Ok(Preface::Closed) => None,
        Ok(Preface::Http1) => http1(io, peer, intake, shutdown).await,
        Ok(Preface::Http2) => http2(io, peer, intake, shutdown).await,
    }
}

async fn http1(
    io: TcpStream,
    peer: SocketAddr,
    intake: &Arc<Intake>,
    mut shutdown: Shutdown,
) -> Option<ConnectionEnd> {
    let activity = Arc::<Activity>::default();
    let io = TokioIo::new(Counted::new(io, Arc::clone(&activity)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(N_HEADERS_MAX)
        .max_header_size(limits::HEADER_LIST_BYTES_MAX as usize)
        .serve_connection(io, service_fn(service(peer, intake, &activity)));
    let mut connection = std::pin::pin!(connection);
    let config = &intake.config;
    let watch = activity.watch_http1(config.header_timeout, config.idle_timeout);
    let mut watch = std::pin::pin!(watch);
    let drain = std::pin::pin!(shutdown.reached(Phase::Draining));
    match select(select(connection.as_mut(), watch.as_mut()), drain).await {
        Either::Left((Either::Left((result, _)), _)) => end_of(&result),
        Either::Left((Either::Right((end, _)), _)) => Some(end),
        Either::Right(((), _)) => {
            connection.as_mut().graceful_shutdown();
            match select(connection, watch).await {
                Either::Left((result, _)) => end_of(&result),
                Either::Right((end, _)) => Some(end),
            }
        }
    }
}

async fn http2(
    io: TcpStream,
    peer: SocketAddr,
    intake: &Arc<Intake>,
    mut shutdown: Shutdown,
) -> Option<ConnectionEnd> {
    let activity = Arc::<Activity>::default();
    let connection = http2::Builder::new(Executor(Arc::clone(&intake.spawn)))
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(limits::N_STREAMS_MAX)
        .max_pending_accept_reset_streams(limits::N_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::N_ERROR_RESETS_MAX)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .keep_alive_interval(limits::KEEPALIVE_EVERY)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(io), service_fn(service(peer, intake, &activity)));
    let mut connection = std::pin::pin!(connection);
    let watch = std::pin::pin!(activity.watch_http2(intake.config.idle_timeout));
    let drain = std::pin::pin!(shutdown.reached(Phase::Draining));
    let end = match select(connection.as_mut(), select(watch, drain)).await {
        Either::Left((result, _)) => return end_of(&result),
        Either::Right((Either::Left((end, _)), _)) => Some(end),
        Either::Right((Either::Right(_), _)) => None,
    };
    connection.as_mut().graceful_shutdown();
    end.or(end_of(&connection.await))
}

type Request = hyper::Request<Incoming>;

fn service(
    peer: SocketAddr,
    intake: &Arc<Intake>,
    activity: &Arc<Activity>,
) -> impl Fn(Request) -> futures_util::future::BoxFuture<'static, Result<route::Response, Infallible>>
+ use<> {
    let (intake, activity) = (Arc::clone(intake), Arc::clone(activity));
    move |request| {
        let in_flight = InFlight::new(&activity);
        let intake = Arc::clone(&intake);
        async move {
            let response = route::answer(request, peer, &intake).await;
            drop(in_flight);
            Ok(response)
        }
        .boxed()
    }
}

/// A connection that broke is nothing to count; a peer that broke the rules is.
fn end_of(result: &hyper::Result<()>) -> Option<ConnectionEnd> {
    let error = result.as_ref().err()?;
    (error.is_parse() || error.is_parse_too_large()).then_some(ConnectionEnd::Violation)
}

/// Streams of an HTTP/2 connection, run by the application.
#[derive(Clone)]
struct Executor(Arc<dyn Spawn>);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.0.spawn(future.map(drop).boxed());
    }
}

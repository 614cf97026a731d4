//! What happens on one connection, counted where it happens and looked at by a slow clock: finds
//! clients that trickle headers, and connections nobody uses.
//!
//! hyper's own header timeout is not used, because it also runs between requests: it would close
//! idle connections long before the idle time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::receiver::port::ConnectionEnd;

/// Counts of one connection: requests under way, requests begun, bytes read.
#[derive(Debug, Default)]
pub(in crate::receiver) struct Activity {
    in_flight: AtomicU32,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A request under way.
pub(in crate::receiver) struct InFlight(Arc<Activity>);

/// A socket that counts what is read from it.
pub(in crate::receiver) struct Counted {
    io: TcpStream,
    activity: Arc<Activity>,
}

impl InFlight {
    pub(in crate::receiver) fn new(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// Returns once headers of an HTTP/1 request have been coming for `header_timeout` (precisely:
    /// for nine to ten tenths of it), or nothing has come for `idle_timeout`.
    pub(in crate::receiver) async fn watch_http1(
        &self,
        header_timeout: Duration,
        idle_timeout: Duration,
    ) -> ConnectionEnd {
        const N_TICKS: u32 = 10;
        let tick = header_timeout / N_TICKS;
        let n_idle_ticks_max = ticks(idle_timeout, tick);
        let (mut n_header_ticks, mut n_idle_ticks) = (0, 0);
        let mut seen = (0, 0);
        loop {
            tokio::time::sleep(tick).await;
            let n_bytes = self.n_bytes();
            let n_requests = self.n_requests();
            if self.is_busy() || n_requests != seen.0 {
                seen = (n_requests, n_bytes);
                (n_header_ticks, n_idle_ticks) = (0, 0);
            } else if n_bytes > seen.1 {
                n_header_ticks += 1;
                if n_header_ticks >= N_TICKS {
                    return ConnectionEnd::SlowHeaders;
                }
            } else {
                n_idle_ticks += 1;
                if n_idle_ticks >= n_idle_ticks_max {
                    return ConnectionEnd::Idle;
                }
            }
        }
    }

    /// Returns once there has been no request for `idle_timeout`. Headers of HTTP/2 come in frames,
    /// whose bounds hyper sets.
    pub(in crate::receiver) async fn watch_http2(&self, idle_timeout: Duration) -> ConnectionEnd {
        const N_TICKS: u32 = 6;
        let mut n_idle_ticks = 0;
        let mut seen = 0;
        while n_idle_ticks < N_TICKS {
            tokio::time::sleep(idle_timeout / N_TICKS).await;
            let n_requests = self.n_requests();
            let idle = !self.is_busy() && n_requests == seen;
            n_idle_ticks = if idle { n_idle_ticks + 1 } else { 0 };
            seen = n_requests;
        }
        ConnectionEnd::Idle
    }

    /// Whether a request is under way.
    pub(in crate::receiver) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Requests begun.
    pub(in crate::receiver) fn n_requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts what was read.
    pub(in crate::receiver) fn add_bytes(&self, n_bytes: usize) {
        self.bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    /// Bytes read.
    pub(in crate::receiver) fn n_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn ticks(length: Duration, tick: Duration) -> u32 {
    (length.as_secs_f64() / tick.as_secs_f64()).ceil().max(1.0) as u32
}

impl Counted {
    pub(in crate::receiver) const fn new(io: TcpStream, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        self.activity.add_bytes(n);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

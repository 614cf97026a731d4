//! Notices connections that are idle or dead.

use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Interval, MissedTickBehavior};

use crate::receiver::config::http2::{KEEPALIVE_EVERY, KEEPALIVE_TIMEOUT};

/// Looks every ten seconds: coarse, so that a connection costs one timer.
const TICK: Duration = KEEPALIVE_TIMEOUT;

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Nothing was asked for the idle time.
    Idle,
    /// A ping was not answered.
    Dead,
}

/// Watches one connection.
pub(super) struct Watchdog {
    timer: Interval,
    pings: Option<PingPong>,
    is_ping_out: bool,
    n_ticks: u32,
    n_idle_ticks: u32,
    n_idle_ticks_max: u32,
}

impl Watchdog {
    pub(super) fn new(pings: Option<PingPong>, idle_timeout: Duration) -> Self {
        let mut timer = tokio::time::interval(TICK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.reset();
        let n_idle_ticks_max = (idle_timeout.as_secs_f64() / TICK.as_secs_f64()).ceil().max(1.0);
        Self {
            timer,
            pings,
            is_ping_out: false,
            n_ticks: 0,
            n_idle_ticks: 0,
            n_idle_ticks_max: n_idle_ticks_max as u32,
        }
    }

    /// Ready once something is wrong. `is_busy` tells whether a call is under way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_busy: bool) -> Poll<Alarm> {
        self.take_pong(cx);
        while self.timer.poll_tick(cx).is_ready() {
            if self.is_ping_out {
                return Poll::Ready(Alarm::Dead);
            }
            self.n_idle_ticks = if is_busy { 0 } else { self.n_idle_ticks + 1 };
            if self.n_idle_ticks >= self.n_idle_ticks_max {
                self.n_idle_ticks = 0;
                return Poll::Ready(Alarm::Idle);
            }
            self.n_ticks += 1;
            if u64::from(self.n_ticks) * TICK.as_secs() >= KEEPALIVE_EVERY.as_secs() {
                self.n_ticks = 0;
                self.ping(cx);
            }
        }
        Poll::Pending
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        if let Some(pings) = &mut self.pings {
            self.is_ping_out = pings.send_ping(Ping::opaque()).is_ok();
            self.take_pong(cx);
        }
    }

    fn take_pong(&mut self, cx: &mut Context<'_>) {
        if let Some(pings) = self.pings.as_mut().filter(|_| self.is_ping_out) {
            // An error means that the connection is closing, which it tells by itself.
            self.is_ping_out = pings.poll_pong(cx).is_pending();
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the clock of these tests is virtual")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, DuplexStream};
    use tokio::time::{Instant, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    /// What a client says first, and its settings: none.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// The first alarm on a connection, and when it came.
    async fn alarm(io: DuplexStream, idle_timeout: Duration) -> (Alarm, Duration) {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let mut watchdog = Watchdog::new(connection.ping_pong(), idle_timeout);
        let start = Instant::now();
        let first = poll_fn(|cx| {
            let alarm = watchdog.poll(cx, false);
            // Sends the ping, reads the answer.
            assert!(connection.poll_accept(cx).is_pending(), "nobody asks and nobody goes");
            alarm
        });
        (first.await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_idle_and_who_is_at_work_is_not() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(None, Duration::from_mins(1));
        assert_eq!(poll_fn(|cx| watchdog.poll(cx, false)).await, Alarm::Idle);
        assert_eq!(start.elapsed(), Duration::from_mins(1));
        assert!(timeout(HOUR, poll_fn(|cx| watchdog.poll(cx, true))).await.is_err());
        assert_eq!(poll_fn(|cx| watchdog.poll(cx, false)).await, Alarm::Idle, "again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_is_dead() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(PREFACE).await.unwrap();
        let (first, after) = alarm(near, HOUR).await;
        assert_eq!((first, after), (Alarm::Dead, KEEPALIVE_EVERY + KEEPALIVE_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_pings_lives_until_it_is_idle() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = tokio::spawn(async move {
            let (_send, connection) = h2::client::handshake(far).await.unwrap();
            connection.await
        });
        let (first, after) = alarm(near, HOUR).await;
        assert_eq!((first, after), (Alarm::Idle, HOUR));
        client.abort();
    }
}

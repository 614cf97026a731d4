//! Notices connections that are idle or dead.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Interval, MissedTickBehavior};

use crate::receiver::activity::Activity;
use crate::receiver::config::http2::{KEEPALIVE_EVERY, KEEPALIVE_TIMEOUT};

/// Looks every ten seconds: coarse, so that a connection costs one timer.
const TICK: Duration = KEEPALIVE_TIMEOUT;

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Nothing was asked for the idle time.
    Idle,
    /// A ping was not answered, and nothing else came either.
    Dead,
}

/// Watches one connection.
pub(super) struct Watchdog {
    timer: Interval,
    pings: Option<PingPong>,
    activity: Arc<Activity>,
    is_ping_out: bool,
    /// The answer is overdue, and what lies in the socket is read once more before that counts.
    is_last_look: bool,
    n_ticks: u32,
    /// Bytes and requests at the last tick.
    n_bytes_seen: u64,
    n_requests_seen: u64,
    n_idle_ticks: u32,
    n_idle_ticks_max: u32,
}

impl Watchdog {
    pub(super) fn new(
        pings: Option<PingPong>,
        activity: Arc<Activity>,
        idle_timeout: Duration,
    ) -> Self {
        let mut timer = tokio::time::interval(TICK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.reset();
        let n_idle_ticks_max = (idle_timeout.as_secs_f64() / TICK.as_secs_f64()).ceil().max(1.0);
        Self {
            timer,
            pings,
            activity,
            is_ping_out: false,
            is_last_look: false,
            n_ticks: 0,
            n_bytes_seen: 0,
            n_requests_seen: 0,
            n_idle_ticks: 0,
            n_idle_ticks_max: n_idle_ticks_max as u32,
        }
    }

    /// Ready once something is wrong. To be called before the connection is polled.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Alarm> {
        self.take_pong(cx);
        if self.is_last_look {
            self.is_last_look = false;
            if self.is_ping_out && !self.was_heard() {
                return Poll::Ready(Alarm::Dead);
            }
        }
        let mut is_idle = false;
        // To the end: a timer that has fired wakes nobody until it was found pending.
        while self.timer.poll_tick(cx).is_ready() {
            if self.is_ping_out && !self.was_heard() {
                // The socket may hold more than this server had time to read.
                self.is_last_look = true;
                cx.waker().wake_by_ref();
            }
            self.n_idle_ticks = if self.was_asked() { 0 } else { self.n_idle_ticks + 1 };
            if self.n_idle_ticks >= self.n_idle_ticks_max {
                self.n_idle_ticks = 0;
                is_idle = true;
            }
            self.n_ticks += 1;
            if !self.is_ping_out
                && u64::from(self.n_ticks) * TICK.as_secs() >= KEEPALIVE_EVERY.as_secs()
            {
                self.n_ticks = 0;
                self.ping(cx);
            }
        }
        if is_idle { Poll::Ready(Alarm::Idle) } else { Poll::Pending }
    }

    /// Whether anything came since this was asked last.
    fn was_heard(&mut self) -> bool {
        let n_bytes = self.activity.n_bytes();
        std::mem::replace(&mut self.n_bytes_seen, n_bytes) != n_bytes
    }

    /// Whether a request is under way or was since this was asked last.
    fn was_asked(&mut self) -> bool {
        let n_requests = self.activity.n_requests();
        let n_before = std::mem::replace(&mut self.n_requests_seen, n_requests);
        self.activity.is_busy() || n_before != n_requests
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        if let Some(pings) = &mut self.pings {
            self.is_ping_out = pings.send_ping(Ping::opaque()).is_ok();
            self.n_bytes_seen = self.activity.n_bytes();
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
    use crate::receiver::activity::InFlight;

    const HOUR: Duration = Duration::from_hours(1);
    /// What a client says first, and its settings: none.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// The first alarm on a connection, and when it came.
    async fn alarm(io: DuplexStream, idle_timeout: Duration) -> (Alarm, Duration) {
        alarm_of(io, idle_timeout, Arc::default()).await
    }

    async fn alarm_of(
        io: DuplexStream,
        idle_timeout: Duration,
        activity: Arc<Activity>,
    ) -> (Alarm, Duration) {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let mut watchdog = Watchdog::new(connection.ping_pong(), activity, idle_timeout);
        let start = Instant::now();
        let first = poll_fn(|cx| {
            let alarm = watchdog.poll(cx);
            // Sends the ping, reads the answer.
            assert!(connection.poll_accept(cx).is_pending(), "nobody asks and nobody goes");
            alarm
        });
        (first.await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_idle_and_who_is_at_work_is_not() {
        let start = Instant::now();
        let activity = Arc::<Activity>::default();
        let mut watchdog = Watchdog::new(None, Arc::clone(&activity), Duration::from_mins(1));
        assert_eq!(poll_fn(|cx| watchdog.poll(cx)).await, Alarm::Idle);
        assert_eq!(start.elapsed(), Duration::from_mins(1));
        let call = InFlight::new(&activity);
        assert!(timeout(HOUR, poll_fn(|cx| watchdog.poll(cx))).await.is_err());
        drop(call);
        assert_eq!(poll_fn(|cx| watchdog.poll(cx)).await, Alarm::Idle, "again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_now_and_then_is_not_idle() {
        let activity = Arc::<Activity>::default();
        let mut watchdog = Watchdog::new(None, Arc::clone(&activity), Duration::from_mins(1));
        // Each call has ended long before anybody looks.
        for _ in 0..60 {
            let quiet = timeout(Duration::from_secs(45), poll_fn(|cx| watchdog.poll(cx)));
            assert!(quiet.await.is_err());
            drop(InFlight::new(&activity));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_whose_pong_is_stuck_behind_what_it_sends_is_not_dead() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(PREFACE).await.unwrap();
        let activity = Arc::<Activity>::default();
        let heard = Arc::clone(&activity);
        let sending = tokio::spawn(async move {
            for _ in 0..28 {
                tokio::time::sleep(Duration::from_secs(7)).await;
                heard.add_bytes(1);
            }
        });
        let (first, after) = alarm_of(near, HOUR, activity).await;
        sending.await.unwrap();
        // Its last byte came at 196 s: noticed at 200, missed at 210.
        assert_eq!((first, after.as_secs() / 10), (Alarm::Dead, 21));
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

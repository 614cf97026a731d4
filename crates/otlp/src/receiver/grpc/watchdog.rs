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

//! The door: a process-wide budget in bytes for requests that are being read, decoded or queued.
//!
//! Every request holds a [`Charge`] that grows with the bytes it brings, before they are kept, and
//! that travels with its batch until the batch has left the queue. A request that finds the budget
//! spent waits shortly, and those waiting have a budget of their own; beyond that it is refused in a
//! way the client may retry. A request that could never fit is refused for good, and at once.
//!
//! Not all of the budget is granted at all times. A request that needs more than is granted, and not
//! more than the whole, would be told to come again for ever: it gets the rest from what is withheld,
//! at once if it is alone, else when it has got half of what is granted, in its turn. So few of them are
//! under way at a time, and all together never hold more than the whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Longest wait for budget while a request is being read. Half of what SDKs wait between retries,
/// so that a short burst passes and a real overload is told soon.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// The wait is cut into so many, and what is withheld looked at after each.
const N_WAITS: u32 = 4;
/// Counts order nothing else.
const ORDER: Ordering = Ordering::Relaxed;

/// A budget in bytes. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    free: Semaphore,
    total: u64,
    /// Of the total, what is not granted now and nobody holds.
    withheld: AtomicU64,
    waiting: AtomicU64,
    waiting_max: u64,
}

/// Bytes taken from an [`Admission`]; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    shared: Arc<Shared>,
    bytes: u64,
}

/// Why budget was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Not now: the client should send the request again later.
    #[error("memory for requests in flight is used up; send again later")]
    Busy,
    /// Never: more than the whole budget.
    #[error("request needs {needed} bytes, all requests together may hold {total}; send less")]
    Never {
        /// Bytes the request would hold.
        needed: u64,
        /// The whole budget.
        total: u64,
    },
}

impl Admission {
    /// A budget of `total` bytes, with senders of at most `waiting_max` bytes waiting for it.
    pub fn new(total: u64, waiting_max: u64) -> Self {
        let permits = usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            free: Semaphore::new(permits),
            total: permits as u64,
            withheld: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            waiting_max,
        };
        Self { shared: Arc::new(shared) }
    }

    /// A charge of nothing, to be grown.
    pub fn charge(&self) -> Charge {
        Charge { shared: Arc::clone(&self.shared), bytes: 0 }
    }

    /// The whole budget in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.shared.total
    }

    /// Bytes held by requests now.
    pub fn in_flight_bytes(&self) -> u64 {
        let idle = self.shared.free.available_permits() as u64 + self.shared.withheld.load(ORDER);
        self.shared.total.saturating_sub(idle)
    }

    /// Grants only so much of the whole budget from now on. What is held already stays held: repeat
    /// the call until enough was given back. For one caller at a time.
    pub fn grant(&self, bytes: u64) {
        let Shared { free, total, withheld, .. } = &*self.shared;
        let wanted = total.saturating_sub(bytes);
        // Somebody may borrow meanwhile: what is given back is what was there.
        let before = withheld.fetch_min(wanted, ORDER);
        if wanted > before {
            let taken = free.forget_permits((wanted - before) as usize) as u64;
            withheld.fetch_add(taken, ORDER);
        } else {
            free.add_permits((before - wanted) as usize);
        }
    }

    /// Bytes requests are waiting for now.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.waiting.load(ORDER)
    }
}

impl Charge {
    /// Bytes held.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Refuses what could never be granted, whoever holds what now: `bytes` in all.
    pub fn check_possible(&self, bytes: u64) -> Result<(), Full> {
        let total = self.shared.total;
        if bytes > total { Err(Full::Never { needed: bytes, total }) } else { Ok(()) }
    }

    /// Takes `more` bytes, waiting at most two seconds. On error the charge stays as it was.
    pub async fn grow(&mut self, more: u64) -> Result<(), Full> {
        self.grow_from(more, more).await
    }

    /// The same for bytes that come from a sender who may send up to `seat_bytes` while he waits:
    /// those are what is held without being paid for, so they count against the waiting budget. No more
    /// than half of that budget, so that nobody is refused for his size alone.
    pub async fn grow_from(&mut self, more: u64, seat_bytes: u64) -> Result<(), Full> {
        let needed = self.bytes.saturating_add(more);
        self.check_possible(needed)?;
        let never = Full::Never { needed, total: self.shared.total };
        let Ok(permits) = u32::try_from(more) else { return Err(never) };
        if let Ok(taken) = self.shared.free.try_acquire_many(permits) {
            taken.forget();
        } else if !self.borrow(more) {
            self.wait(permits, seat_bytes.max(more)).await?;
        }
        self.bytes = needed;
        Ok(())
    }

    /// Takes what is missing to `bytes`, or gives back what is above it.
    pub async fn set(&mut self, bytes: u64) -> Result<(), Full> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes).await;
        }
        self.release(self.bytes - bytes);
        Ok(())
    }

    /// Gives back `fewer` bytes, at most what is held.
    pub fn release(&mut self, fewer: u64) {
        let fewer = fewer.min(self.bytes);
        self.bytes -= fewer;
        self.shared.free.add_permits(fewer as usize);
    }

    /// Takes what is free and what is withheld, if nobody else holds anything: who is alone gets
    /// through however little is granted. Beside others, what does not fit into what is granted waits.
    fn borrow(&self, bytes: u64) -> bool {
        let Shared { free, total, withheld, .. } = &*self.shared;
        let idle = free.available_permits() as u64 + withheld.load(ORDER);
        if idle + self.bytes < *total {
            return false;
        }
        let n_free = free.forget_permits(bytes as usize);
        let missing = bytes - n_free as u64;
        let taken = |withheld: u64| withheld.checked_sub(missing);
        let is_taken = withheld.fetch_update(ORDER, ORDER, taken).is_ok();
        if !is_taken {
            free.add_permits(n_free);
        }
        is_taken
    }

    async fn wait(&self, permits: u32, seat_bytes: u64) -> Result<(), Full> {
        let Some(_seat) = Seat::take(&self.shared, seat_bytes) else {
            return Err(Full::Busy);
        };
        for _ in 0..N_WAITS {
            let tried = tokio::time::timeout(WAIT_MAX / N_WAITS, self.take_turn(permits)).await;
            // Alone by now, maybe.
            if tried.is_ok() || self.borrow(permits.into()) {
                return Ok(());
            }
        }
        Err(Full::Busy)
    }

    /// Waits, behind those who came before, for what can be had of what is granted, and takes the rest
    /// from what is withheld.
    async fn take_turn(&self, permits: u32) {
        let Shared { free, total, withheld, .. } = &*self.shared;
        let granted = total.saturating_sub(withheld.load(ORDER));
        let is_fitting = self.bytes + u64::from(permits) <= granted;
        let half = u32::try_from((granted / 2).saturating_sub(self.bytes)).unwrap_or(u32::MAX);
        let n_free = if is_fitting { permits } else { permits.min(half) };
        let missing = u64::from(permits - n_free);
        let taken = |withheld: u64| withheld.checked_sub(missing);
        if let Ok(turn) = free.acquire_many(n_free).await
            && withheld.fetch_update(ORDER, ORDER, taken).is_ok()
        {
            turn.forget();
            return;
        }
        // Others have what is withheld: again after a while.
        std::future::pending::<()>().await;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.free.add_permits(self.bytes as usize);
    }
}

/// A place among those waiting; left when dropped, also when the request is abandoned.
struct Seat<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl<'a> Seat<'a> {
    fn take(shared: &'a Shared, bytes: u64) -> Option<Self> {
        let bytes = bytes.min(shared.waiting_max / 2);
        let fits = |waiting: u64| {
            let waiting = waiting.saturating_add(bytes);
            (waiting <= shared.waiting_max).then_some(waiting)
        };
        shared.waiting.fetch_update(ORDER, ORDER, fits).ok().map(|_| Self { shared, bytes })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(self.bytes, ORDER);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_can_be_taken_again() {
        let admission = Admission::new(100, 50);
        let mut first = admission.charge();
        first.grow(80).await.unwrap();
        let mut second = admission.charge();
        assert_eq!(second.grow(30).await, Err(Full::Busy));
        assert_eq!(second.bytes(), 0);
        first.set(60).await.unwrap();
        assert_eq!(second.grow(30).await, Ok(()));
        assert_eq!(admission.in_flight_bytes(), 90);
        drop(first);
        drop(second);
        assert_eq!(admission.in_flight_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_can_never_fit_does_not_wait() {
        let admission = Admission::new(100, 1_000);
        let mut charge = admission.charge();
        charge.grow(90).await.unwrap();
        assert_eq!(charge.grow(11).await, Err(Full::Never { needed: 101, total: 100 }));
        assert_eq!(charge.bytes(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_granted_is_withheld_as_it_becomes_free() {
        let admission = Admission::new(100, 50);
        let (mut charge, mut other) = (admission.charge(), admission.charge());
        charge.grow(75).await.unwrap();
        other.grow(5).await.unwrap();
        admission.grant(50);
        assert_eq!(admission.in_flight_bytes(), 80);
        assert_eq!(charge.grow(1).await, Err(Full::Busy));
        charge.set(15).await.unwrap();
        admission.grant(50);
        assert_eq!(admission.in_flight_bytes(), 20);
        assert_eq!(charge.grow(31).await, Err(Full::Busy));
        charge.grow(30).await.unwrap();
        admission.grant(100);
        charge.grow(50).await.unwrap();
        assert_eq!(charge.grow(6).await, Err(Full::Never { needed: 101, total: 100 }));
        drop((charge, other));
        assert_eq!(admission.in_flight_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_gets_what_is_withheld() {
        let admission = Admission::new(100, 50);
        admission.grant(25);
        let mut charge = admission.charge();
        charge.grow(20).await.unwrap();
        charge.grow(60).await.unwrap();
        assert_eq!(admission.in_flight_bytes(), 80);
        let mut other = admission.charge();
        charge.release(5);
        other.grow(5).await.unwrap();
        assert_eq!(other.grow(10).await, Err(Full::Busy), "not alone");
        drop(other);
        // Neither what is free nor what is withheld suffices alone.
        charge.set(10).await.unwrap();
        admission.grant(50);
        charge.grow(75).await.unwrap();
        drop(charge);
        admission.grant(25);
        assert_eq!(admission.in_flight_bytes(), 0);
        let (mut one, mut two) = (admission.charge(), admission.charge());
        one.grow(20).await.unwrap();
        assert_eq!(two.grow(10).await, Err(Full::Busy));
    }

    /// One small request after another.
    async fn small(admission: &Admission, idx: u64) {
        loop {
            let mut charge = admission.charge();
            // What is refused comes again.
            let _ = charge.grow(5).await;
            tokio::time::sleep(Duration::from_millis(100 + idx)).await;
        }
    }

    /// Sees to it that no more than a quarter is granted.
    async fn govern(admission: &Admission) {
        loop {
            admission.grant(25);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Scenario: a quarter is granted, and small requests hold and want all of it all the time; a request
    /// comes, in one piece or in many, that needs more than that.
    /// Guarantees: it gets through, and everything together never holds more than the whole.
    #[tokio::test(start_paused = true)]
    async fn who_needs_more_than_is_granted_gets_through_beside_others() {
        for piece in [60, 1] {
            let admission = Admission::new(100, 1_000);
            admission.grant(25);
            let others = futures_util::future::join_all((0..8).map(|idx| small(&admission, idx)));
            tokio::select! {
                _ = others => {}
                () = govern(&admission) => {}
                () = large(&admission, piece) => {}
            }
            assert_eq!(admission.in_flight_bytes(), 0);
        }
    }

    /// Five large requests, one after another, each taken in pieces of this size.
    async fn large(admission: &Admission, piece: u64) {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut charge = admission.charge();
            while charge.bytes() < 60 {
                charge.grow(piece).await.unwrap();
                assert!(admission.in_flight_bytes() <= 100);
            }
        }
    }

    /// Scenario: three requests need more than is granted, beside a small one.
    /// Guarantees: not all of them get it at a time, and each does in the end.
    #[tokio::test(start_paused = true)]
    async fn those_who_need_more_than_is_granted_take_turns() {
        let admission = Admission::new(100, 1_000);
        admission.grant(20);
        let mut small = admission.charge();
        small.grow(2).await.unwrap();
        let mut first = admission.charge();
        first.grow(50).await.unwrap();
        let (mut second, mut third) = (admission.charge(), admission.charge());
        assert_eq!(second.grow(50).await, Err(Full::Busy), "more than the whole together");
        assert_eq!(admission.in_flight_bytes(), 52);
        drop(first);
        admission.grant(20);
        second.grow(50).await.unwrap();
        let waiting = third.grow(50);
        let ending = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            drop(second);
            admission.grant(20);
        };
        let (got, ()) = tokio::join!(waiting, ending);
        got.unwrap();
        drop((third, small));
        admission.grant(20);
        assert_eq!(admission.in_flight_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_bytes_and_in_time() {
        let admission = Admission::new(100, 80);
        let mut holder = admission.charge();
        holder.grow(100).await.unwrap();
        let mut large = admission.charge();
        let mut others = admission.charge();

        let mut patient = admission.charge();
        {
            let mut waiting = std::pin::pin!(patient.grow(40));
            assert!(waiting.as_mut().now_or_never().is_none());
            assert_eq!(admission.waiting_bytes(), 40);
            {
                // Counted as half of what may wait, whatever its size.
                let mut waiting = std::pin::pin!(large.grow(70));
                assert!(waiting.as_mut().now_or_never().is_none());
                assert_eq!(admission.waiting_bytes(), 80);
                // No seat is left for 20 more bytes: refused without waiting.
                assert_eq!(others.grow(20).now_or_never(), Some(Err(Full::Busy)));
            }
            holder.release(40);
            waiting.await.unwrap();
        }
        assert_eq!(admission.waiting_bytes(), 0);
        assert_eq!(patient.bytes(), 40);
    }
}

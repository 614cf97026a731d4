//! Keeps the memory of the process within its limit, whatever the allocator makes of it.
//!
//! Each stage counts its bytes and stays within its share of the limit. The allocator needs more than
//! was asked of it: pages that are partly free, sizes that are rounded up, blocks that one thread
//! takes and another gives back. How much more depends on the load, so it is measured: ten times a
//! second the governor looks at what the kernel says is resident, and grants the two stages that grow
//! with the load, open traces and requests in flight, so much of their shares as still fits. What is
//! taken from them is taken in order: traces leave early with a verdict, and requests are told to
//! come again.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use spanwise_otlp::admission::Admission;

use super::core::Core;
use crate::resources::resident;

/// It is looked this often: at a gigabyte of spans a second, a tenth of it comes between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The resident memory that is aimed at. What comes between two looks fits into the rest.
const TARGET_PERCENT: u64 = 92;
/// Bytes that become resident for each ten that are counted, at worst: measured at 650,000 spans a
/// second from forty connections.
const RESIDENT_OF_TEN: u64 = 16;
/// Of its full share a stage is granted at least this much: with less nothing is decided well, and
/// memory that stays resident without being counted must not stop the process from working.
const LEAST: u64 = PARTS / 4;
/// A look grants at most so much more than the one before, so that the two stages do not swing.
const RISE: u64 = PARTS / 50;
/// Parts that a share is counted in.
const PARTS: u64 = 1 << 16;

/// What is granted, and what was used of it.
#[derive(Debug)]
pub struct Governor {
    limit: u64,
    /// The door of the receivers, and all it may let in.
    admission: Admission,
    in_flight_full: u64,
    /// What one shard's open traces may hold at most.
    window_full: u64,
    /// What they hold, by shard.
    windows: Box<[AtomicU64]>,
    /// Of the full shares, in [`PARTS`].
    granted: AtomicU64,
    resident: AtomicU64,
}

impl Governor {
    /// Governs the memory of `n_shards` windows of `window_full` bytes each and of what `admission`
    /// lets in, below `limit`.
    pub fn new(limit: u64, admission: Admission, window_full: u64, n_shards: usize) -> Self {
        Self {
            limit,
            in_flight_full: admission.total_bytes(),
            admission,
            window_full,
            windows: (0..n_shards).map(|_| AtomicU64::new(0)).collect(),
            granted: AtomicU64::new(PARTS),
            resident: AtomicU64::new(0),
        }
    }

    /// Looks again and again, for as long as it is used.
    pub async fn watch(governor: Weak<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(governor) = governor.upgrade() else { return };
            // Where the kernel does not tell, everything stays granted.
            if let Some(resident) = resident() {
                governor.look(resident);
            }
        }
    }

    /// Notes what a shard's open traces hold, and has them hold what is granted.
    pub fn bound(&self, shard: usize, core: &mut Core) {
        let window = core.assembler_mut();
        self.windows[shard].store(window.stats().bytes, Ordering::Relaxed);
        window.set_memory_bytes(of(self.window_full, self.granted.load(Ordering::Relaxed)));
    }

    /// Share of the full shares that is granted: 0.25 to 1.
    pub fn granted(&self) -> f64 {
        self.granted.load(Ordering::Relaxed) as f64 / PARTS as f64
    }

    /// Resident bytes at the last look; 0 where the kernel does not tell.
    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }

    fn look(&self, resident: u64) {
        self.resident.store(resident, Ordering::Relaxed);
        let windows: u64 = self.windows.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        let held = windows + self.admission.in_flight_bytes();
        let target = self.limit / 100 * TARGET_PERCENT;
        let room = target.saturating_sub(resident) / RESIDENT_OF_TEN * 10;
        let excess = resident.saturating_sub(target);
        let fits = (held + room).saturating_sub(excess);
        let full = self.window_full * self.windows.len() as u64 + self.in_flight_full;
        let parts = (u128::from(fits) * u128::from(PARTS) / u128::from(full.max(1))) as u64;
        let before = self.granted.load(Ordering::Relaxed);
        let granted = parts.min(before + RISE).clamp(LEAST, PARTS);
        self.granted.store(granted, Ordering::Relaxed);
        self.admission.grant(of(self.in_flight_full, granted));
    }
}

fn of(full: u64, parts: u64) -> u64 {
    (u128::from(full) * u128::from(parts) / u128::from(PARTS)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// 512 MiB, of which 180 are for one window and 128 for requests; nobody waits.
    fn governor() -> Governor {
        Governor::new(512 * MIB, Admission::new(128 * MIB, 0), 180 * MIB, 1)
    }

    #[test]
    fn everything_is_granted_while_there_is_room() {
        let governor = governor();
        governor.look(20 * MIB);
        assert!(governor.granted() > 0.9, "{}", governor.granted());
        // The allocator needs a tenth more: all fits.
        for held in (0..=180).step_by(20) {
            governor.windows[0].store(held * MIB, Ordering::Relaxed);
            governor.look((20 + held + held / 10) * MIB);
        }
        assert!(governor.granted() >= 1.0);
    }

    #[tokio::test]
    async fn an_allocator_that_needs_far_more_never_takes_the_process_over_its_limit() {
        let governor = governor();
        let mut charge = governor.admission.charge();
        let (mut window, mut peak) = (0, 0);
        for _ in 0..200 {
            // The load takes whatever is granted, 20 MiB at a time; each byte costs 1.7.
            let granted = governor.granted.load(Ordering::Relaxed);
            window = (window + 20 * MIB).min(of(180 * MIB, granted));
            let more = charge.bytes() + 20 * MIB;
            let in_flight = more.min(of(128 * MIB, granted));
            if charge.set(in_flight).await.is_err() {
                charge.set(0).await.unwrap();
            }
            governor.windows[0].store(window, Ordering::Relaxed);
            let resident = 30 * MIB + (window + charge.bytes()) / 10 * 17;
            peak = peak.max(resident);
            governor.look(resident);
        }
        assert!(peak <= 512 * MIB, "{} MiB", peak / MIB);
        assert!(governor.granted() > 0.6, "{}", governor.granted());
    }

    #[tokio::test]
    async fn memory_that_nobody_counts_leaves_a_quarter() {
        let governor = governor();
        governor.look(700 * MIB);
        assert_eq!(governor.granted.load(Ordering::Relaxed), LEAST);
        let mut charge = governor.admission.charge();
        let mut other = governor.admission.charge();
        assert!(charge.grow(31 * MIB).await.is_ok());
        assert!(other.grow(MIB).await.is_ok());
        assert!(charge.grow(MIB).await.is_err());
        // It comes back step by step.
        governor.look(60 * MIB);
        assert!(governor.granted() < 0.3);
        for _ in 0..100 {
            governor.look(60 * MIB);
        }
        assert!(governor.granted() > 0.9);
        assert!(charge.grow(MIB).await.is_ok());
    }
}

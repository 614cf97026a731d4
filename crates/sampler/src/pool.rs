//! What is usual in a whole service, or in all of them: the sum of what their call sites call
//! normal.
//!
//! A pool learns when a site's window flips, and only what the site's own gate lets through. So
//! there is one gate, it costs nothing per span, a service that is slow by nature is normal for
//! everybody as soon as it is for itself, and an incident enters no pool. (A pool with a gate of its
//! own would shut out whoever comes later and is slower.) The pool of a service judges its cold
//! sites; the pool of all sites tells great latencies from small ones.

use spanwise_hst::Grid;
use spanwise_model::Timestamp;

use crate::bits::Stored;
use crate::latency::{KEPT_PER_SLOT, MASS_MAX};
use crate::reference::{Builder, Masses, Quantiles, Scores};
use crate::slots::SLOT_NS;

/// A pool is asked only once it has seen this many spans: as many as end a site's own cold start.
const MASS_MIN: f32 = 32.0;
/// The scores are rebuilt when the mass has grown by this factor.
const REBUILD_GROWTH: f32 = 1.125;
/// What lies above this quantile and a quarter of an octave counts as empty when the scores are
/// built: the longest of all latencies stay remarkable, whoever calls them normal. At most one span
/// in a thousand is remarkable for that reason alone.
const CAP_SHARE: f64 = 0.999;

/// Masses of one latency over many sites.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) masses: Box<Masses>,
    pub(crate) total: f32,
    /// The ten-minute slot up to which the masses have faded.
    pub(crate) slot: u64,
    pub(crate) scores: Box<Scores>,
    pub(crate) built: Quantiles,
}

/// Both latencies of a pool of sites.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) dur: Pool,
    pub(crate) own: Pool,
}

impl Pool {
    fn new() -> Self {
        Self {
            masses: Box::new([0.0; Grid::N_BINS]),
            total: 0.0,
            slot: 0,
            scores: Box::new([Stored::NOT_SLOW; Grid::N_BINS]),
            built: Quantiles::default(),
        }
    }

    /// Adds what a site was taught. `is_news`: the site is new or has changed, so that the scores
    /// must follow at once and not only when the mass has grown.
    pub(crate) fn teach(&mut self, taught: &[(u16, u16)], is_news: bool, now: Timestamp) {
        self.fade(now);
        if is_news {
            self.built.total = 0.0;
        }
        for &(bin, count) in taught {
            self.masses[usize::from(bin)] += f32::from(count);
            self.total += f32::from(count);
        }
    }

    /// Adds what the same pool of another sampler has learned.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mass, more) in self.masses.iter_mut().zip(other.masses.iter()) {
            *mass += more;
        }
        self.total += other.total;
        self.slot = self.slot.max(other.slot);
    }

    /// Whether little is known yet.
    #[inline]
    pub(crate) fn is_cold(&self) -> bool {
        self.total < MASS_MIN
    }

    /// The score of a bin in bits, or `None` while little is known.
    #[inline]
    pub(crate) fn score(&mut self, bin: usize, builder: &mut Builder) -> Option<f32> {
        if self.is_cold() {
            return None;
        }
        if self.total >= REBUILD_GROWTH * self.built.total {
            self.rebuild(builder);
        }
        Some(self.scores[bin].bits())
    }

    #[cold]
    fn rebuild(&mut self, builder: &mut Builder) {
        let scores = &mut self.scores;
        let end = crate::reference::cap_of(&self.masses, CAP_SHARE) + 1;
        let beyond = std::iter::repeat_n(0.0, Grid::N_BINS - end);
        let masses = self.masses[..end].iter().copied().chain(beyond);
        self.built = builder.build(masses, CAP_SHARE, |bin, score| scores[bin] = score);
        // Growth is measured from everything there was.
        self.built.total = self.total;
    }

    fn fade(&mut self, now: Timestamp) {
        let slot = now.as_ns() / SLOT_NS;
        let n_slots = if self.slot == 0 { 0 } else { slot.saturating_sub(self.slot) };
        self.slot = slot.max(self.slot);
        let mut kept = KEPT_PER_SLOT.powi(i32::try_from(n_slots).unwrap_or(i32::MAX));
        if self.total > MASS_MAX {
            kept *= 0.5;
        }
        if kept < 1.0 {
            for mass in self.masses.iter_mut() {
                *mass *= kept;
            }
            self.total *= kept;
            // The scores of before stand until the masses have grown by as much again.
            self.built.total *= kept;
        }
    }
}

impl Pools {
    /// Bytes of both latencies.
    pub(crate) const HEAP_BYTES: usize =
        size_of::<Self>() + 2 * (size_of::<Masses>() + size_of::<Scores>());

    pub(crate) fn new() -> Self {
        Self { dur: Pool::new(), own: Pool::new() }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.dur.merge(&other.dur);
        self.own.merge(&other.own);
    }
}

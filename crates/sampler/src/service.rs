//! What is usual in a whole service: the fallback for a call site that has no reference yet.
//!
//! A service learns when its sites flip, from what they let through their gates, so it costs
//! nothing per span. Its scores are built when a cold site first asks for them.

use spanwise_hst::Grid;

use crate::bits::Stored;
use crate::reference::{Builder, Masses, Quantiles, Scores};

/// A service is asked only once it has seen this many spans: as many as end a site's own cold start.
const MASS_MIN: f32 = 32.0;
/// The scores are rebuilt when the mass has grown by this factor.
const REBUILD_GROWTH: f32 = 1.25;
/// Beyond this mass everything is halved, so that a busy service also forgets.
const MASS_MAX: f32 = 4_194_304.0;

/// Masses of one latency over all sites of a service.
#[derive(Clone, Debug)]
pub(crate) struct Fallback {
    pub(crate) masses: Box<Masses>,
    pub(crate) total: f32,
    pub(crate) scores: Box<Scores>,
    pub(crate) built: Quantiles,
}

impl Fallback {
    pub(crate) fn new() -> Self {
        Self {
            masses: Box::new([0.0; Grid::N_BINS]),
            total: 0.0,
            scores: Box::new([Stored::NOT_SLOW; Grid::N_BINS]),
            built: Quantiles::default(),
        }
    }

    pub(crate) fn teach(&mut self, bin: usize, count: u16) {
        self.masses[bin] += f32::from(count);
        self.total += f32::from(count);
        if self.total > MASS_MAX {
            for mass in self.masses.iter_mut() {
                *mass *= 0.5;
            }
            self.total *= 0.5;
        }
    }

    /// Adds what the same service has taught another sampler.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mass, more) in self.masses.iter_mut().zip(other.masses.iter()) {
            *mass += more;
        }
        self.total += other.total;
    }

    /// The score of a bin and the quantiles, or `None` while little is known.
    pub(crate) fn score(
        &mut self,
        bin: usize,
        cap_share: f64,
        builder: &mut Builder,
    ) -> Option<(Stored, Quantiles)> {
        if self.total < MASS_MIN {
            return None;
        }
        if self.total >= REBUILD_GROWTH * self.built.total {
            let scores = &mut self.scores;
            let masses = self.masses.iter().copied();
            self.built = builder.build(masses, cap_share, |bin, score| scores[bin] = score);
        }
        Some((self.scores[bin], self.built))
    }
}

/// Both latencies of a service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) dur: Fallback,
    pub(crate) own: Fallback,
}

impl Service {
    /// Bytes of both latencies.
    pub(crate) const HEAP_BYTES: usize =
        size_of::<Self>() + 2 * (size_of::<Masses>() + size_of::<Scores>());

    pub(crate) fn new() -> Self {
        Self { dur: Fallback::new(), own: Fallback::new() }
    }
}

//! What the way between a caller and a callee usually takes: the part of a gap that is network, not
//! queueing.
//!
//! Per edge (caller call site, callee call site) the 1st percentile of the raw gap over a window of
//! [`WINDOW_SPANS`] spans; the floor is the lowest such percentile that was stable, that is, within
//! a factor of two of the window before. It is the lowest and never rises, so an incident cannot
//! teach itself as normal; it is 0 until two windows have passed, so a gap is rather over- than
//! underestimated. A floor learnt in an incident that was there from the beginning would hide it;
//! therefore a caller never subtracts more than half its threshold, see
//! [`Predicates`](super::Predicates).

use rustc_hash::FxHashMap;
use spanwise_model::CallSiteId;

/// Spans in one window of an edge. 1 % of it is the second smallest value.
const WINDOW_SPANS: u16 = 200;
/// Rank of the 1st percentile, from 0.
const RANK: u16 = 1;
/// Most edges; each takes about 220 bytes. Beyond it an edge has floor 0.
const EDGES_MAX: usize = 4_096;
/// The first bin ends at 2^10 ns; shorter gaps need no floor.
const FIRST_OCTAVE: u32 = 10;
/// Bins per octave: the floor is at most 25 % too low.
const BINS_PER_OCTAVE: usize = 4;
/// 24 octaves: the last bin begins at 17 s.
const N_BINS: usize = 24 * BINS_PER_OCTAVE;

/// The floors of all edges.
#[derive(Clone, Debug, Default)]
pub(super) struct Floors {
    /// Keyed by our own dense ids, which nobody outside chooses.
    edges: FxHashMap<(CallSiteId, CallSiteId), Edge>,
    n_refused: u64,
}

#[derive(Clone, Debug)]
struct Edge {
    counts: [u16; N_BINS],
    n: u16,
    previous_ns: Option<u64>,
    floor_ns: Option<u64>,
}

impl Floors {
    /// The floor of an edge in nanoseconds, 0 while it is not known; then learns from this gap.
    /// Allocates only for an edge not seen before.
    pub(super) fn learn(&mut self, caller: CallSiteId, callee: CallSiteId, gap_ns: u64) -> u64 {
        if let Some(edge) = self.edges.get_mut(&(caller, callee)) {
            let floor = edge.floor_ns.unwrap_or(0);
            edge.learn(gap_ns);
            return floor;
        }
        if self.edges.len() < EDGES_MAX {
            let mut edge = Edge { counts: [0; N_BINS], n: 0, previous_ns: None, floor_ns: None };
            edge.learn(gap_ns);
            self.edges.insert((caller, callee), edge);
        } else {
            self.n_refused += 1;
        }
        0
    }

    /// Forgets every edge of a retired call site.
    pub(super) fn forget(&mut self, site: CallSiteId) {
        self.edges.retain(|&(caller, callee), _| caller != site && callee != site);
    }

    /// Gaps whose edge found no room.
    pub(super) fn n_refused(&self) -> u64 {
        self.n_refused
    }
}

impl Edge {
    fn learn(&mut self, gap_ns: u64) {
        self.counts[bin_of(gap_ns)] += 1;
        self.n += 1;
        if self.n < WINDOW_SPANS {
            return;
        }
        let low_ns = self.percentile();
        let previous = self.previous_ns.replace(low_ns);
        if let Some(previous) = previous
            && low_ns <= previous.saturating_mul(2)
            && previous <= low_ns.saturating_mul(2)
        {
            let stable = low_ns.max(previous);
            self.floor_ns = Some(self.floor_ns.map_or(stable, |floor| floor.min(stable)));
        }
        self.counts = [0; N_BINS];
        self.n = 0;
    }

    /// Lower edge of the bin that holds the 1st percentile.
    fn percentile(&self) -> u64 {
        let mut below = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            below += count;
            if below > RANK {
                return lower_edge_ns(bin);
            }
        }
        0
    }
}

fn bin_of(ns: u64) -> usize {
    let octave = ns.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let quarter = (ns >> (octave - 2)) as usize & (BINS_PER_OCTAVE - 1);
    ((octave - FIRST_OCTAVE) as usize * BINS_PER_OCTAVE + quarter).min(N_BINS - 1)
}

fn lower_edge_ns(bin: usize) -> u64 {
    if bin == 0 {
        return 0;
    }
    let octave = FIRST_OCTAVE + (bin / BINS_PER_OCTAVE) as u32;
    (BINS_PER_OCTAVE + bin % BINS_PER_OCTAVE) as u64 * (1 << (octave - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CallSiteId = CallSiteId(1);
    const B: CallSiteId = CallSiteId(2);
    const MS: u64 = 1_000_000;

    fn feed(floors: &mut Floors, n: u64, gap_ns: impl Fn(u64) -> u64) -> u64 {
        let mut floor = 0;
        for i in 0..n {
            floor = floors.learn(A, B, gap_ns(i));
        }
        floor
    }

    #[test]
    fn every_duration_lies_in_its_bin() {
        for shift in 0..63 {
            for ns in [1_u64 << shift, (1 << shift) + 1, (1 << shift) * 3 / 2] {
                let bin = bin_of(ns);
                assert!(lower_edge_ns(bin) <= ns, "{ns}");
                assert!(bin == N_BINS - 1 || ns < lower_edge_ns(bin + 1), "{ns}");
            }
        }
    }

    #[test]
    fn the_floor_is_known_after_two_stable_windows() {
        let mut floors = Floors::default();
        assert_eq!(feed(&mut floors, 400, |i| 2 * MS + i % 7 * MS), 0);
        let floor = floors.learn(A, B, 9 * MS);
        assert!((MS * 3 / 2..=2 * MS).contains(&floor), "{floor}");
    }

    #[test]
    fn an_incident_does_not_raise_the_floor() {
        let mut floors = Floors::default();
        feed(&mut floors, 600, |_| 2 * MS);
        let before = floors.learn(A, B, 2 * MS);
        let after = feed(&mut floors, 5_000, |_| 80 * MS);
        assert_eq!(before, after);
    }

    #[test]
    fn a_percentile_that_jumps_is_not_stable() {
        let mut floors = Floors::default();
        let floor = feed(&mut floors, 2_000, |i| if i / 200 % 2 == 0 { MS } else { 50 * MS });
        assert_eq!(floor, 0);
    }

    #[test]
    fn edges_are_bounded_and_forgotten_with_their_site() {
        let mut floors = Floors::default();
        for id in 0..5_000 {
            floors.learn(CallSiteId(id), B, MS);
        }
        assert_eq!(floors.edges.len(), EDGES_MAX);
        assert_eq!(floors.n_refused(), 5_000 - EDGES_MAX as u64);
        floors.forget(B);
        assert!(floors.edges.is_empty());
    }
}

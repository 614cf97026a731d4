//! Draws that are spread evenly: a leaf's draws in a group follow the golden ratio, so their counts
//! per code are off by two or three and not by the square root of their number.
//!
//! The order of draws is part of the format: groups in order, rows of a group in order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::coupling::Coupling;

/// 2^32 times the golden ratio's fractional part.
const STEP: u32 = 0x9e37_79b9;

/// Where each leaf of a tree is on its way.
#[derive(Debug)]
pub(crate) struct Deck {
    rng: ChaCha8Rng,
    /// One for each leaf; `None` until its first draw.
    phases: Vec<Option<u32>>,
}

/// The generator of one purpose: a seed, and numbers that tell purposes apart.
pub(crate) fn stream(seed: u64, purpose: u32, node: u32, column: u32) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&purpose.to_le_bytes());
    bytes[12..16].copy_from_slice(&node.to_le_bytes());
    bytes[16..20].copy_from_slice(&column.to_le_bytes());
    ChaCha8Rng::from_seed(bytes)
}

/// A number below `n`, which is not 0.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(n)) >> 32) as u32
}

/// A random order of 0..n.
pub(crate) fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for at in (1..items.len()).rev() {
        let other = below(rng, at as u32 + 1) as usize;
        items.swap(at, other);
    }
}

impl Deck {
    pub(crate) fn new(rng: ChaCha8Rng, n_leaves: usize) -> Self {
        Self { rng, phases: vec![None; n_leaves] }
    }

    /// One draw for each row of a group, told by their leaves; `out` is as long as `leaves`.
    pub(crate) fn draw(&mut self, leaves: &[u32], scratch: &mut Scratch, out: &mut Vec<u32>) {
        out.clear();
        out.resize(leaves.len(), 0);
        self.hand_out(leaves, None, scratch, out);
    }

    /// The same with draws handed out by the numbers of a key, one for each row: rows of a leaf with
    /// higher numbers get higher draws as often as the coupling says.
    pub(crate) fn draw_coupled(
        &mut self,
        leaves: &[u32],
        (coupling, numbers): (Coupling, [&[i64]; 2]),
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        out.clear();
        out.resize(leaves.len(), 0);
        self.hand_out(leaves, Some((coupling, numbers)), scratch, out);
    }

    fn hand_out(
        &mut self,
        leaves: &[u32],
        coupled: Option<(Coupling, [&[i64]; 2])>,
        scratch: &mut Scratch,
        out: &mut [u32],
    ) {
        let Scratch { order, draws, ranked, scores } = scratch;
        order.clear();
        order.extend(leaves.iter().enumerate().map(|(at, &leaf)| (leaf, at as u32)));
        order.sort_unstable();
        let mut rest = &order[..];
        while let Some(&(leaf, _)) = rest.first() {
            let n = rest.partition_point(|entry| entry.0 == leaf);
            let (rows, later) = rest.split_at(n);
            rest = later;
            let phase = &mut self.phases[leaf as usize];
            let mut u = phase.unwrap_or_else(|| self.rng.next_u32());
            draws.clear();
            for _ in 0..n {
                u = u.wrapping_add(STEP);
                draws.push(u);
            }
            *phase = Some(u);
            if let Some((coupling, numbers)) = coupled {
                draws.sort_unstable();
                rank(&mut self.rng, coupling, rows, numbers, ranked, scores);
                for (&(_, row), &draw) in scores.iter().zip(draws.iter()) {
                    out[row as usize] = draw;
                }
                continue;
            }
            shuffle(&mut self.rng, draws);
            for (&(_, row), &draw) in rows.iter().zip(draws.iter()) {
                out[row as usize] = draw;
            }
        }
    }
}

/// Orders rows by a mixture of the ranks of their numbers and chance.
fn rank(
    rng: &mut ChaCha8Rng,
    coupling: Coupling,
    rows: &[(u32, u32)],
    numbers: [&[i64]; 2],
    ranked: &mut Vec<(i64, u32)>,
    scores: &mut Vec<(i64, u32)>,
) {
    scores.clear();
    scores.extend(
        rows.iter().map(|&(_, row)| (i64::from(coupling.chance) * i64::from(rng.next_u32()), row)),
    );
    let n = rows.len().max(1) as u64;
    for ((_, steps), numbers) in coupling.keys.into_iter().zip(numbers) {
        if steps == 0 {
            continue;
        }
        ranked.clear();
        ranked.extend(
            rows.iter().enumerate().map(|(at, &(_, row))| (numbers[row as usize], at as u32)),
        );
        shuffle(rng, ranked);
        ranked.sort_by_key(|entry| entry.0);
        for (rank, &(_, at)) in (0_u64..).zip(ranked.iter()) {
            // Below 2^32: the middle of its place.
            let middle = ((2 * rank + 1) << 31) / n;
            scores[at as usize].0 += i64::from(steps) * middle.cast_signed();
        }
    }
    scores.sort_unstable();
}

/// Buffers of [`Deck::draw`].
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    order: Vec<(u32, u32)>,
    draws: Vec<u32>,
    ranked: Vec<(i64, u32)>,
    scores: Vec<(i64, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_any_interval_are_nearly_exact() {
        let mut deck = Deck::new(stream(1, 2, 3, 4), 1);
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let mut all = Vec::new();
        for n in [1, 10, 1000, 20_000, 79_000] {
            deck.draw(&vec![0; n], &mut scratch, &mut out);
            all.extend_from_slice(&out);
        }
        for (low, high) in [(0.0, 0.01), (0.3, 0.35), (0.1, 0.9), (0.777, 0.778)] {
            let inside = |u: &&u32| {
                let u = f64::from(**u) / 4_294_967_296.0;
                u >= low && u < high
            };
            let n = all.iter().filter(inside).count() as f64;
            assert!((n - all.len() as f64 * (high - low)).abs() <= 3.6, "{n}");
        }
    }

    #[test]
    fn a_group_is_in_random_order_and_reproducible() {
        let draw = |seed| {
            let mut out = Vec::new();
            Deck::new(stream(seed, 0, 0, 0), 3).draw(
                &[2, 0, 2, 1, 2],
                &mut Scratch::default(),
                &mut out,
            );
            out
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

//! The crate's own generator of random numbers: xoshiro256++ (Blackman and Vigna), seeded with
//! `SplitMix64`. The numbers of a seed are part of what files mean and never change.

use crate::math::{ln, normal_quantile};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of a seed and a purpose; other purposes give independent streams.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut word = seed ^ purpose.wrapping_mul(0xd134_2543_de82_ef95);
        let state = [(); 4].map(|()| {
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = word;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        });
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let out = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        out
    }

    /// A number in (0, 1), 24 bits wide, neither 0 nor 1.
    pub fn unit(&mut self) -> f32 {
        let bits = (self.bits() >> 41) as f32;
        (bits + 0.5) * (1.0 / 8_388_608.0)
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f32 {
        normal_quantile(self.unit())
    }

    /// A standard Gumbel number, -ln(-ln u).
    pub fn gumbel(&mut self) -> f32 {
        let u = self.unit();
        // Above, 1 - u is what counts: ln u is rounded to few digits there.
        let e = -ln(u);
        -ln(e.max(f32::MIN_POSITIVE))
    }

    /// Puts a slice into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut(&mut Random) -> f32) -> (f64, f64) {
        const N: usize = 200_000;
        let mut random = Random::new(7, 0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..N {
            let x = f64::from(draw(&mut random));
            sum += x;
            squares += x * x;
        }
        let mean = sum / N as f64;
        (mean, squares / N as f64 - mean * mean)
    }

    fn check(draw: impl FnMut(&mut Random) -> f32, mean: f64, variance: f64) {
        let found = moments(draw);
        let near = |a: f64, b: f64| (a - b).abs() < 0.02;
        assert!(near(found.0, mean) && near(found.1, variance), "{found:?}");
    }

    #[test]
    fn numbers_have_the_moments_of_their_laws() {
        check(Random::unit, 0.5, 1.0 / 12.0);
        check(Random::normal, 0.0, 1.0);
        check(Random::gumbel, 0.577_215_7, 1.644_934);
    }

    #[test]
    fn streams_of_purposes_differ_and_repeat() {
        let of = |purpose| Random::new(1, purpose).bits();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        // The first numbers are part of the format of files.
        assert_eq!(of(0), Random::new(1, 0).bits());
    }

    #[test]
    fn a_shuffle_keeps_what_it_shuffles() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(2, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}

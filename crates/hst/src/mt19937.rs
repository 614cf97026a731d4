//! The Mersenne Twister MT19937, seeded and read as Python's `random.Random` does.
//!
//! Why this old generator and not a better one: river draws its trees from Python's, so only the
//! same generator gives the same trees for the same seed. It is used for building trees and for
//! nothing else; it is not fit for secrets. Matsumoto and Nishimura, ACM TOMACS 8(1), 1998; the
//! seeding is `init_by_array` of their 2002 reference code.

const N: usize = 624;
const M: usize = 397;
const UPPER: u32 = 0x8000_0000;
const LOWER: u32 = 0x7fff_ffff;
/// 2^-53: the weight of the last of the 53 bits that [`Mt19937::random`] draws.
const ULP_53: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A generator whose [`random`](Mt19937::random) equals `random.Random(seed).random()` of Python.
#[derive(Clone)]
pub struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl std::fmt::Debug for Mt19937 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mt19937").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Mt19937 {
    /// The generator of `random.Random(seed)`: the seed as little-endian 32-bit words without
    /// leading zero words, at least one.
    pub fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let n_words = if words[1] == 0 { 1 } else { 2 };
        Self::from_key(&words[..n_words])
    }

    fn from_key(key: &[u32]) -> Self {
        debug_assert!(!key.is_empty(), "Python never seeds with an empty key");
        let mut state = initial_state();
        let mut i = 1;
        let mut j = 0;
        for _ in 0..N.max(key.len()) {
            state[i] = (state[i] ^ mixed(state[i - 1], 1_664_525))
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            i += 1;
            j += 1;
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
            if j >= key.len() {
                j = 0;
            }
        }
        for _ in 0..N - 1 {
            state[i] = (state[i] ^ mixed(state[i - 1], 1_566_083_941)).wrapping_sub(i as u32);
            i += 1;
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = UPPER;
        Self { state, next: N }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next >= N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number in [0, 1) of 53 random bits: Python's `random()`.
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) * ULP_53
    }

    /// Python's `uniform(low, high)`: one draw, `low + (high - low) * random()`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & UPPER) | (self.state[(i + 1) % N] & LOWER);
            let twist = if y & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ twist;
        }
        self.next = 0;
    }
}

/// `init_genrand(19650218)` of the reference code: the state every keyed seeding starts from.
fn initial_state() -> [u32; N] {
    let mut state = [0; N];
    state[0] = 19_650_218;
    for i in 1..N {
        state[i] = mixed(state[i - 1], 1_812_433_253).wrapping_add(i as u32);
    }
    state
}

fn mixed(word: u32, factor: u32) -> u32 {
    (word ^ (word >> 30)).wrapping_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `r = random.Random(seed); [r.random().hex() for _ in range(..)]` of `CPython` 3.11.
    fn check(seed: u64, nth: usize, expected_bits: u64) {
        let mut rng = Mt19937::new(seed);
        let drawn = (0..=nth).map(|_| rng.random()).last().unwrap();
        assert_eq!(drawn.to_bits(), expected_bits, "seed {seed}, draw {nth}");
    }

    #[test]
    fn draws_equal_those_of_python() {
        check(0, 0, 0x3feb_0580_f98a_7dbe);
        check(0, 1, 0x3fe8_4129_978f_9c1a);
        check(0, 311, 0x3fd9_3426_4473_a8f4);
        check(0, 312, 0x3fe0_9bad_b528_c6c9);
        check(0, 5_000, 0x3fd1_5415_568a_a2ac);
        check(1, 0, 0x3fc1_32d8_f91b_7584);
        check(1, 1, 0x3feb_1e2d_5b35_84f8);
        check(1, 311, 0x3fd4_f185_f97e_97bc);
        check(1, 312, 0x3fd4_4563_7e57_83c4);
        check(1, 5_000, 0x3fe8_2b0d_e1ff_eb24);
        check(42, 0, 0x3fe4_762f_3072_00c5);
        check(42, 1, 0x3f99_9c6b_5eeb_2060);
        check(42, 311, 0x3fca_e3c9_bae9_bec0);
        check(42, 312, 0x3fcf_f097_2aab_c25c);
        check(42, 5_000, 0x3fc0_9a70_a9d4_21b8);
        check(4_294_967_295, 0, 0x3fe4_54d9_227a_7013);
        check(4_294_967_295, 1, 0x3fca_0274_a372_0bf8);
        check(4_294_967_295, 311, 0x3fec_35e9_d234_003e);
        check(4_294_967_295, 312, 0x3fdf_f2a5_af14_442a);
        check(4_294_967_295, 5_000, 0x3fe2_42a8_e014_1e3b);
        check(4_294_967_296, 0, 0x3fbc_ed31_cb3d_f170);
        check(4_294_967_296, 1, 0x3fda_bdb5_477a_4f26);
        check(4_294_967_296, 311, 0x3fe7_d5d3_8dca_2a51);
        check(4_294_967_296, 312, 0x3fe0_73eb_769f_2b1f);
        check(4_294_967_296, 5_000, 0x3fd5_9b13_4c39_8124);
        check(9_223_372_036_854_788_153, 0, 0x3fd3_816d_d31b_bbe8);
        check(9_223_372_036_854_788_153, 1, 0x3fcb_30fa_327a_ade4);
        check(9_223_372_036_854_788_153, 311, 0x3fec_8d87_b955_adf3);
        check(9_223_372_036_854_788_153, 312, 0x3fed_daea_3cad_62bf);
        check(9_223_372_036_854_788_153, 5_000, 0x3fe4_07d7_d0ee_ca84);
        check(18_446_744_073_709_551_615, 0, 0x3f96_5979_9fd7_f980);
        check(18_446_744_073_709_551_615, 1, 0x3fd5_a35a_94f3_33d8);
        check(18_446_744_073_709_551_615, 311, 0x3fd1_f45e_cd37_05e0);
        check(18_446_744_073_709_551_615, 312, 0x3fea_cd52_954a_fa37);
        check(18_446_744_073_709_551_615, 5_000, 0x3fe5_3994_683f_504c);
    }

    #[test]
    fn numbers_lie_in_the_half_open_unit_interval() {
        let mut rng = Mt19937::new(7);
        for _ in 0..10_000 {
            let u = rng.random();
            assert!((0.0..1.0).contains(&u), "{u}");
        }
    }
}

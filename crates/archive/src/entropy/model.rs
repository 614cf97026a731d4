//! Predicts bits from several contexts at once: each context remembers how often a 1 followed, and
//! a small network weighs their opinions (logistic mixing, Mahoney 2005: "Adaptive weighing of
//! context models for lossless data compression").
//!
//! Why not a frequency table per column: spans depend on their node, parent, pod, neighbours and
//! predecessors, and no fixed choice among these is right for every column.
//!
//! Symbols come in nibbles. All 15 decisions of a nibble under one context share a cache line.

use super::range::Coder;

/// Decisions of a nibble, and the check of its bucket in front.
const BUCKET: usize = 16;
/// A context that saw nothing: probability 1/2, count 0.
const FRESH: u32 = 1 << 31;
/// A context learns by 1 / (n + 1.5) until here, and then forgets slowly.
const COUNT_MAX: u32 = 255;
/// Classes of counts, each with weights of its own: one observation is worth less than many.
const N_CLASSES: usize = 8;
/// Most contexts of one symbol.
const N_INPUTS_MAX: usize = 8;
/// Sets of weights; kinds of symbols share them modulo this.
const N_SETS: usize = 1 << 12;
/// Stretched probabilities are in 1/256 and stay within plus or minus 12.
const STRETCH_MAX: i32 = 12 * 256 - 1;
/// All weights of a set at first, together: 1.5.
const WEIGHTS_FIRST: usize = 3 << 15;
/// Learning rates of the weights in 2^-16: at first, and at last.
const RATE_FIRST: i32 = 1300;
const RATE_LAST: i32 = 100;
/// Probabilities in 2^-16 stay this far from 0 and 1.
const P_MIN: i32 = 3;

/// Memory of all contexts. What it remembers depends only on the symbols that passed.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Buckets of [`BUCKET`]: the check, then per decision 22 bits of probability, 10 of count.
    slots: Vec<u32>,
    n_buckets_log2: u32,
    sets: Vec<Weights>,
    tables: Tables,
}

#[derive(Clone, Debug)]
struct Weights {
    /// In 2^-16, by input and class of its count.
    of: [[i32; N_CLASSES]; N_INPUTS_MAX],
    rate: i32,
}

#[derive(Clone, Debug)]
struct Tables {
    /// ln(p / (1 - p)) in 1/256 by the upper 12 bits of p.
    stretch: Vec<i16>,
    /// 1 / (1 + exp(-x)) in 2^-16 by x + [`STRETCH_MAX`].
    squash: Vec<u16>,
    /// 2^16 / (n + 1.5).
    rate: Vec<u32>,
    /// Class of a count.
    class: Vec<u8>,
}

/// Folds `value` into a hash of a context.
pub(crate) const fn hash(context: u32, value: u32) -> u32 {
    let mixed = context.rotate_left(7).wrapping_add(value).wrapping_mul(0x9e37_79b1);
    mixed ^ mixed >> 15
}

impl Model {
    /// A model of 2^`n_buckets_log2` buckets of 64 bytes.
    pub(crate) fn new(n_buckets_log2: u32) -> Self {
        debug_assert!((1..=20).contains(&n_buckets_log2));
        let mut slots = vec![FRESH; BUCKET << n_buckets_log2];
        for bucket in slots.chunks_exact_mut(BUCKET) {
            bucket[0] = 0;
        }
        let weights = Weights { of: [[0; N_CLASSES]; N_INPUTS_MAX], rate: 0 };
        Self { slots, n_buckets_log2, sets: vec![weights; N_SETS], tables: Tables::new() }
    }

    /// Codes the four bits of `value` under `contexts`, which are hashes of all that is known.
    /// Symbols of one kind share a `set` of weights.
    pub(crate) fn nibble<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        set: u32,
        value: u32,
    ) -> u32 {
        let bases = contexts.map(|context| self.bucket(context));
        let weights = &mut self.sets[set as usize % N_SETS];
        weights.prepare(N);
        let mut node = 1;
        for i in (0..4).rev() {
            let slots = bases.map(|base| self.slots[base + node]);
            let (p, inputs) = weights.predict(&self.tables, &slots);
            let bit = coder.bit(p, value >> i & 1);
            weights.learn(&inputs, bit, p);
            for (base, slot) in bases.iter().zip(slots) {
                self.slots[base + node] = self.tables.observe(slot, bit);
            }
            node = node << 1 | bit as usize;
        }
        node as u32 & 15
    }

    /// The bucket of a context; whoever held it before is forgotten.
    fn bucket(&mut self, context: u32) -> usize {
        let context = context.wrapping_mul(0x85eb_ca6b);
        let check = context | 1;
        let base = (context >> (32 - self.n_buckets_log2)) as usize * BUCKET;
        let bucket = &mut self.slots[base..base + BUCKET];
        if bucket[0] != check {
            bucket.fill(FRESH);
            bucket[0] = check;
        }
        base
    }
}

impl Weights {
    /// Equal weights at first, a little more than an average, since opinions add up.
    fn prepare(&mut self, n_inputs: usize) {
        if self.rate == 0 {
            self.rate = RATE_FIRST;
            self.of =
                [[((WEIGHTS_FIRST / n_inputs) as u32).cast_signed(); N_CLASSES]; N_INPUTS_MAX];
        }
    }

    /// The probability of a 1 in 2^-16, and the inputs with the classes of their counts.
    fn predict<const N: usize>(
        &self,
        tables: &Tables,
        slots: &[u32; N],
    ) -> (u32, [(i32, usize); N]) {
        let inputs = slots.map(|slot| {
            let stretched = i32::from(tables.stretch[(slot >> 20) as usize]);
            (stretched, usize::from(tables.class[(slot & 0x3ff) as usize]))
        });
        let mut sum = 0_i64;
        for ((input, class), weights) in inputs.iter().zip(&self.of) {
            sum += i64::from(*input) * i64::from(weights[*class]);
        }
        let x = (sum >> 16).clamp(-i64::from(STRETCH_MAX), i64::from(STRETCH_MAX)) as i32;
        (u32::from(tables.squash[(x + STRETCH_MAX) as usize]), inputs)
    }

    fn learn<const N: usize>(&mut self, inputs: &[(i32, usize); N], bit: u32, p: u32) {
        let error = (bit << 16).cast_signed().wrapping_sub(p.cast_signed()) * self.rate;
        for ((input, class), weights) in inputs.iter().zip(&mut self.of) {
            let step = (i64::from(*input) * i64::from(error)) >> 24;
            weights[*class] = weights[*class].saturating_add(step as i32);
        }
        self.rate -= (self.rate - RATE_LAST) >> 8;
    }
}

impl Tables {
    fn new() -> Self {
        let stretch = |i: i32| {
            let p = (f64::from(i) + 0.5) / 4096.0;
            libm::round(libm::log(p / (1.0 - p)) * 256.0) as i16
        };
        let squash = |x: i32| {
            let p = 65_536.0 / (1.0 + libm::exp(-f64::from(x) / 256.0));
            (libm::round(p) as i32).clamp(P_MIN, 65_536 - P_MIN) as u16
        };
        let class = |n: u32| match n {
            0 => 0,
            1 => 1,
            2 => 2,
            3..=4 => 3,
            5..=9 => 4,
            10..=29 => 5,
            30..=99 => 6,
            _ => 7,
        };
        Self {
            stretch: (0..4096).map(stretch).collect(),
            squash: (-STRETCH_MAX..=STRETCH_MAX).map(squash).collect(),
            rate: (0..=COUNT_MAX).map(|n| (1 << 17) / (2 * n + 3)).collect(),
            class: (0..1024).map(class).collect(),
        }
    }

    fn observe(&self, slot: u32, bit: u32) -> u32 {
        let (p, count) = (slot >> 10, slot & 0x3ff);
        let rate = u64::from(self.rate[count.min(COUNT_MAX) as usize]);
        let p = if bit == 0 {
            p - ((u64::from(p) * rate) >> 16) as u32
        } else {
            p + ((u64::from(0x3f_ffff - p) * rate) >> 16) as u32
        };
        p << 10 | (count + 1).min(COUNT_MAX)
    }
}

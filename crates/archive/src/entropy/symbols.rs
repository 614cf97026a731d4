//! Symbols larger than a nibble: indices, signed numbers of any size, strings.

use super::model::{Model, hash};
use super::range::Coder;

/// Bits behind the first one that are modelled in times, where finer ones are noise.
const N_MANTISSA_NIBBLES: u32 = 1;

/// Which of several predictions of a number was close of late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs([u16; 4]);

impl Costs {
    /// The prediction to use: the cheapest so far, the earlier of equals.
    pub(crate) fn best(self, n: usize) -> usize {
        (0..n.min(4)).min_by_key(|&k| self.0[k]).unwrap_or(0)
    }

    /// Learns what each prediction would have cost: bits of its error.
    pub(crate) fn learn(&mut self, value: i64, predictions: &[i64]) {
        for (cost, prediction) in self.0.iter_mut().zip(predictions) {
            let error = value.wrapping_sub(*prediction).unsigned_abs();
            let bits = (64 - error.leading_zeros()) as u16 * 256;
            *cost = cost.wrapping_add_signed((bits.cast_signed() - cost.cast_signed()) >> 4);
        }
    }
}

/// Zero, or sign and number of bits: 0 to 128.
pub(crate) fn class_of(value: i64) -> u32 {
    let n_bits = 64 - value.unsigned_abs().leading_zeros();
    if n_bits == 0 { 0 } else { (n_bits - 1) * 2 + 1 + u32::from(value < 0) }
}

impl Model {
    /// A byte under `contexts`.
    pub(crate) fn byte<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        set: u32,
        value: u32,
    ) -> u32 {
        let high = self.nibble(coder, contexts, set, value >> 4);
        let inner = contexts.map(|context| hash(context, 0x100 | high));
        high << 4 | self.nibble(coder, &inner, set.wrapping_add(1), value & 15)
    }

    /// A number of `n_nibbles` nibbles, most significant first.
    pub(crate) fn index<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        (set, n_nibbles): (u32, u32),
        value: u32,
    ) -> u32 {
        let mut read = 0;
        for i in (0..n_nibbles).rev() {
            let inner = contexts.map(|context| hash(context, 0x1_0000 + (read << 3 | i)));
            read =
                read << 4 | self.nibble(coder, &inner, set.wrapping_add(i), value >> (4 * i) & 15);
        }
        read
    }

    /// A signed number: its class, the bits behind the first in `n_nibbles` nibbles, the rest raw.
    /// Returns the number and its class.
    pub(crate) fn signed<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        (set, n_nibbles): (u32, u32),
        value: i64,
    ) -> (i64, u32) {
        let class = self.byte(coder, contexts, set, class_of(value)).min(128);
        if class == 0 {
            return (0, 0);
        }
        let n_bits = (class - 1) / 2;
        let is_negative = class.is_multiple_of(2);
        let magnitude = value.unsigned_abs();
        let mut read: u64 = 1;
        let mut left = n_bits;
        let mut inner = contexts.map(|context| hash(context, 0x200 + class));
        for i in 0..n_nibbles {
            if left == 0 {
                break;
            }
            let n = left.min(4);
            left -= n;
            // A short last nibble stands in the upper bits, so that its lower bits cost nothing.
            let part = ((magnitude >> left) as u32 & ((1 << n) - 1)) << (4 - n);
            let part = self.nibble(coder, &inner, set.wrapping_add(2 + i), part) >> (4 - n);
            read = read << n | u64::from(part);
            inner = inner.map(|context| hash(context, 0x300 + part));
        }
        if left > 0 {
            let mask = if left == 64 { u64::MAX } else { (1 << left) - 1 };
            read = read << left | coder.raw(left, magnitude & mask);
        }
        let number = if is_negative { read.wrapping_neg() } else { read }.cast_signed();
        (number, class)
    }

    /// A time: most of its bits are noise.
    pub(crate) fn time<C: Coder, const N: usize>(
        &mut self,
        coder: &mut C,
        contexts: &[u32; N],
        set: u32,
        value: i64,
    ) -> (i64, u32) {
        self.signed(coder, contexts, (set, N_MANTISSA_NIBBLES), value)
    }

    /// A count or length of which little is known.
    pub(crate) fn count<C: Coder>(&mut self, coder: &mut C, context: u32, value: u64) -> u64 {
        let contexts = [hash(context, 0x400)];
        let (read, _) = self.signed(coder, &contexts, (0xf00, 3), value.cast_signed());
        read.cast_unsigned()
    }
}
